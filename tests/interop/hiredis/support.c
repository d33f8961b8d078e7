#include "support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("FAILED: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

Text format(const char *format, ...) {
  Text made;
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(made.text, sizeof made.text, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof made.text) fail("%s... is too long for a Text", made.text);
  return made;
}

const char *environment(const char *name) {
  const char *value = getenv(name);
  if (value == NULL) fail("%s is not set: this program is started by `make interop`", name);
  return value;
}

Text key(const char *name) {
  return format("%s%s", environment("KEY_PREFIX"), name);
}

redisContext *connect_to(const char *port) {
  struct timeval against_hanging = {.tv_sec = 30};
  redisContext *redis = redisConnectWithTimeout("127.0.0.1", atoi(port), against_hanging);
  if (redis == NULL || redis->err) fail("port %s: %s", port, redis ? redis->errstr : "no memory");
  if (redisSetTimeout(redis, against_hanging) != REDIS_OK) fail("port %s: %s", port, redis->errstr);
  return redis;
}

static redisReply *vask(redisContext *redis, const char *format, va_list arguments) {
  redisReply *reply = redisvCommand(redis, format, arguments);
  if (reply == NULL) fail("%s: %s", format, redis->errstr);
  return reply;
}

redisReply *ask(redisContext *redis, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  redisReply *reply = vask(redis, format, arguments);
  va_end(arguments);
  return reply;
}

static redisReply *next(redisContext *redis) {
  void *reply = NULL;
  if (redisGetReply(redis, &reply) != REDIS_OK) fail("the next reply: %s", redis->errstr);
  return reply;
}

static Text shown(const redisReply *reply) {
  switch (reply->type) {
    case REDIS_REPLY_STATUS: return format("+%s", reply->str);
    case REDIS_REPLY_STRING: return format("$%s", reply->str);
    case REDIS_REPLY_ERROR: return format("-%s", reply->str);
    case REDIS_REPLY_INTEGER: return format(":%lld", reply->integer);
    case REDIS_REPLY_NIL: return format("_");
    case REDIS_REPLY_ARRAY: break;
    default: fail("a reply of type %d", reply->type);
  }
  Text list = format("[");
  for (size_t i = 0; i < reply->elements; i++) {
    list = format("%s%s%s", list.text, i > 0 ? " " : "", shown(reply->element[i]).text);
  }
  return format("%s]", list.text);
}

static int is(redisReply *reply, const char *expected, Text *seen) {
  *seen = shown(reply);
  freeReplyObject(reply);
  if (expected[0] == '-') return strncmp(seen->text, expected, strlen(expected)) == 0;
  return strcmp(seen->text, expected) == 0;
}

void expect(redisContext *redis, const char *expected, const char *format, ...) {
  Text seen;
  va_list arguments;
  va_start(arguments, format);
  if (!is(vask(redis, format, arguments), expected, &seen)) fail("%s: %s, not %s", format, seen.text, expected);
  va_end(arguments);
}

void expect_next(redisContext *redis, const char *expected) {
  Text seen;
  if (!is(next(redis), expected, &seen)) fail("the next reply is %s, not %s", seen.text, expected);
}

void expect_at_last(redisContext *redis, const char *expected, const char *format, ...) {
  Text seen;
  for (int attempt = 0; attempt < 20000; attempt++) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = vask(redis, format, arguments);
    va_end(arguments);
    if (is(reply, expected, &seen)) return;
    pause_milliseconds(2);
  }
  fail("%s: after 40 s still %s, not %s", format, seen.text, expected);
}

void flush(redisContext *redis) {
  for (int done = 0; !done;) {
    if (redisBufferWrite(redis, &done) != REDIS_OK) fail("writing: %s", redis->errstr);
  }
}

static void check_validity(const redisReply *reply) {
  if (reply->type != REDIS_REPLY_INTEGER || reply->integer <= 0 || reply->integer > TTL) {
    fail("%s is no validity", shown(reply).text);
  }
}

static Text granted(redisReply *reply) {
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) fail("RLOCK: %s", shown(reply).text);
  check_validity(reply->element[1]);
  Text token = format("%s", reply->element[0]->str);
  if (strlen(token.text) != 40 || strspn(token.text, "0123456789abcdef") != 40) fail("the token %s", token.text);
  freeReplyObject(reply);
  return token;
}

Text granted_next(redisContext *redis) {
  return granted(next(redis));
}

void validity_next(redisContext *redis) {
  redisReply *reply = next(redis);
  check_validity(reply);
  freeReplyObject(reply);
}

Text take(redisContext *redis, Text key) {
  return granted(ask(redis, "RLOCK %s %d", key.text, TTL));
}

Text take_at_last(redisContext *redis, Text key) {
  for (;;) {
    redisReply *reply = ask(redis, "RLOCK %s %d", key.text, TTL);
    if (reply->type != REDIS_REPLY_NIL) return granted(reply);
    freeReplyObject(reply);
    // Of random length, so that two that came at once do not come at once again.
    pause_milliseconds(1 + rand() % 8);
  }
}

void release(redisContext *redis, Text key, Text token) {
  expect(redis, ":1", "RUNLOCK %s %s", key.text, token.text);
}

void pause_milliseconds(long milliseconds) {
  nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL);
}
