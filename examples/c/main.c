// A back-up in three parts. Before each, the time that the lock is good for is looked at, and more is asked for when
// it is short. Meanwhile, another machine that wants to do the same is told that somebody does.

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lock.h"

enum { TTL_MS = 30000, PART_MS = 29500 };

static const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value != NULL ? value : otherwise;
}

static redisContext *connect_to_proxy(void) {
  redisContext *redis = redisConnect("127.0.0.1", atoi(setting("PROXY_PORT", "6379")));
  if (redis != NULL && !redis->err) return redis;
  fprintf(stderr, "no proxy: %s\n", redis != NULL ? redis->errstr : "no memory");
  exit(1);
}

static void expect(LockResult expected, LockResult result, const char *what) {
  static const char *const words[] = {"yes", "no", "not known"};
  if (result == expected) return;
  fprintf(stderr, "%s: %s %s\n", what, words[result], result == LOCK_ERROR ? lock_error() : "");
  exit(1);
}

int main(void) {
  char key[512];
  snprintf(key, sizeof key, "%sback-up", setting("KEY_PREFIX", ""));
  redisContext *redis = connect_to_proxy(), *another = connect_to_proxy();
  Lock lock, others;

  expect(LOCK_OK, lock_take(&lock, redis, key, TTL_MS), "the lock is taken");
  expect(LOCK_NO, lock_take(&others, another, key, TTL_MS), "another has taken it as well");
  printf("one machine makes the back-up, another need not\n");

  for (int part = 1; part <= 3; part++) {
    // So long a part may take; what is left of the lock must do for it.
    if (lock_left_ms(&lock) < PART_MS) expect(LOCK_OK, lock_extend(&lock, TTL_MS), "the lock is extended");
    printf("part %d, with %lld ms of the lock left\n", part, (long long)lock_left_ms(&lock));
    nanosleep(&(struct timespec){.tv_nsec = 200 * 1000000}, NULL);
  }

  expect(LOCK_OK, lock_release(&lock), "the lock was held until the end");
  expect(LOCK_OK, lock_take(&others, another, key, TTL_MS), "another takes it afterwards");
  expect(LOCK_OK, lock_release(&others), "and releases it");
  printf("the back-up is made, the lock is free\n");
  redisFree(redis);
  redisFree(another);
}
