// What the points in client.c are made of: connections, and replies compared with what they should be.
//
// A reply is compared as text: +OK, $string, :42, _ (null), -ERR and so on, [$a $b :1]. What is not as expected ends
// the program, in whichever thread.

#ifndef SUPPORT_H
#define SUPPORT_H

#include <hiredis/hiredis.h>

enum { TTL = 30000 };

/// A short string by value: a key, a token, an expectation.
typedef struct {
  char text[512];
} Text;

Text format(const char *format, ...) __attribute__((format(printf, 1, 2)));
Text key(const char *name);
const char *environment(const char *name);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

redisContext *connect_to(const char *port);

/// Sends a command and returns its reply, which the caller frees.
redisReply *ask(redisContext *redis, const char *format, ...);

/// Sends a command, whose reply must be this. Of an error only the beginning is named.
void expect(redisContext *redis, const char *expected, const char *format, ...);

/// The same for the next reply on a connection: of a pipeline, a subscription, a blocking command.
void expect_next(redisContext *redis, const char *expected);

/// Sends a command again and again until the reply is this, which another connection is about to bring about.
void expect_at_last(redisContext *redis, const char *expected, const char *format, ...);

/// Sends what has been appended without waiting for a reply.
void flush(redisContext *redis);

/// The token of the next reply, which must be RLOCK's and grant.
Text granted_next(redisContext *redis);
void validity_next(redisContext *redis);

/// Takes a lock that must be free.
Text take(redisContext *redis, Text key);

/// Takes a lock when it becomes free.
Text take_at_last(redisContext *redis, Text key);
void release(redisContext *redis, Text key, Text token);

void pause_milliseconds(long milliseconds);

#endif
