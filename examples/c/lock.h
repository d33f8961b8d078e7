// A lock held through redlock-proxy, with hiredis.

#ifndef LOCK_H
#define LOCK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  redisContext *redis;
  const char *key;
  char token[41];
  int64_t end_ms;
} Lock;

typedef enum {
  LOCK_OK,
  LOCK_NO,    // somebody else has it
  LOCK_ERROR, // not known: no quorum, no connection; lock_error says which
} LockResult;

LockResult lock_take(Lock *lock, redisContext *redis, const char *key, int ttl_ms);

/// LOCK_NO: it is lost, stop. After LOCK_ERROR the time that was left before is left still.
LockResult lock_extend(Lock *lock, int ttl_ms);

/// LOCK_NO: it was not held any longer.
LockResult lock_release(Lock *lock);

/// How many milliseconds the lock is good for; look at it before each effect.
int64_t lock_left_ms(const Lock *lock);

/// What the last LOCK_ERROR was about.
const char *lock_error(void);

#endif
