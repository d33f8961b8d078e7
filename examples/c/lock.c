#include "lock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static _Thread_local char error[256];

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// The reply, or null and the reason in `error`.
static redisReply *checked(redisContext *redis, redisReply *reply) {
  if (reply == NULL) {
    snprintf(error, sizeof error, "%s", redis->errstr);
  } else if (reply->type == REDIS_REPLY_ERROR) {
    snprintf(error, sizeof error, "%s", reply->str);
    freeReplyObject(reply);
    reply = NULL;
  }
  return reply;
}

// Validity is counted from the moment of asking in all of these: the way of the reply is not in it.

LockResult lock_take(Lock *lock, redisContext *redis, const char *key, int ttl_ms) {
  int64_t asked = now_ms();
  redisReply *reply = checked(redis, redisCommand(redis, "RLOCK %s %d", key, ttl_ms));
  if (reply == NULL) return LOCK_ERROR;
  LockResult result = reply->type == REDIS_REPLY_ARRAY ? LOCK_OK : LOCK_NO;
  if (result == LOCK_OK) {
    lock->redis = redis;
    lock->key = key;
    snprintf(lock->token, sizeof lock->token, "%s", reply->element[0]->str);
    lock->end_ms = asked + reply->element[1]->integer;
  }
  freeReplyObject(reply);
  return result;
}

LockResult lock_extend(Lock *lock, int ttl_ms) {
  int64_t asked = now_ms();
  redisReply *reply = checked(lock->redis, redisCommand(lock->redis, "REXTEND %s %s %d", lock->key, lock->token, ttl_ms));
  if (reply == NULL) return LOCK_ERROR;
  LockResult result = reply->type == REDIS_REPLY_INTEGER ? LOCK_OK : LOCK_NO;
  if (result == LOCK_OK) lock->end_ms = asked + reply->integer;
  freeReplyObject(reply);
  return result;
}

LockResult lock_release(Lock *lock) {
  redisReply *reply = checked(lock->redis, redisCommand(lock->redis, "RUNLOCK %s %s", lock->key, lock->token));
  if (reply == NULL) return LOCK_ERROR;
  LockResult result = reply->integer == 1 ? LOCK_OK : LOCK_NO;
  freeReplyObject(reply);
  return result;
}

int64_t lock_left_ms(const Lock *lock) {
  return lock->end_ms - now_ms();
}

const char *lock_error(void) {
  return error;
}
