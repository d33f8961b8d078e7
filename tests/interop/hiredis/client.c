// hiredis through the proxy: what tests/interop/README.md lists. RESP2 only; this version cannot read RESP3.
//
// Its synchronous calls: redisCommand for one command, redisAppendCommand and redisGetReply for a pipeline, for
// messages and for the reply to a command that blocks. A context belongs to one thread.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sequences.h"
#include "support.h"

enum { WORKERS = 8, ROUNDS = 50, MEGABYTE = 1 << 20 };

static void greets_and_authenticates(void) {
  redisContext *redis = connect_to(environment("AUTH_PORT"));
  Text lock = key("auth");
  expect(redis, "-NOAUTH Authentication required.", "RLOCK %s %d", lock.text, TTL);
  expect(redis, "-WRONGPASS ", "AUTH wrong");
  expect(redis, "+OK", "AUTH %s", environment("AUTH_PASSWORD"));
  release(redis, lock, take(redis, lock));
  redisFree(redis);
}

static void comes_back(redisContext *redis, const unsigned char *bytes, size_t length) {
  Text data = key("bytes");
  expect(redis, "+OK", "SET %s %b", data.text, bytes, length);
  redisReply *reply = ask(redis, "GET %s", data.text);
  if (reply->type != REDIS_REPLY_STRING || reply->len != length || memcmp(reply->str, bytes, length) != 0) {
    fail("%zu bytes did not come back as they were", length);
  }
  freeReplyObject(reply);
}

static void does_ordinary_work(redisContext *redis) {
  Text text = key("text"), hash = key("hash"), list = key("list");
  expect(redis, "_", "GET %s", text.text);
  expect(redis, "+OK", "SET %s 41", text.text);
  expect(redis, "$41", "GET %s", text.text);
  expect(redis, ":42", "INCR %s", text.text);
  expect(redis, ":2", "HSET %s a 1 b 2", hash.text);
  expect(redis, "[$1 $2 _]", "HMGET %s a b c", hash.text);
  expect(redis, ":3", "RPUSH %s x y z", list.text);
  expect(redis, "[$x $y $z]", "LRANGE %s 0 -1", list.text);
  unsigned char *bytes = malloc(MEGABYTE);
  if (bytes == NULL) fail("no memory");
  for (int i = 0; i < MEGABYTE; i++) bytes[i] = (unsigned char)i;
  comes_back(redis, bytes, 256);
  comes_back(redis, bytes, MEGABYTE);
  free(bytes);
  expect(redis, "-WRONGTYPE Operation against a key", "INCR %s", list.text);
  expect(redis, "$42", "GET %s", text.text);
}

static void locks(redisContext *redis, redisContext *other) {
  const char *wrong = "0000000000000000000000000000000000000000";
  Text lock = key("lock"), token = take(redis, lock);
  char *rest, *ports = strdup(environment("PRIMARY_PORTS"));
  for (char *port = strtok_r(ports, " ", &rest); port != NULL; port = strtok_r(NULL, " ", &rest)) {
    redisContext *primary = connect_to(port);
    // The last of the primaries may hear of a lock after the client does.
    expect_at_last(primary, format("$%s", token.text).text, "GET %s", lock.text);
    redisFree(primary);
  }
  free(ports);
  expect(redis, "_", "RLOCK %s %d", lock.text, TTL);
  expect(redis, ":0", "RUNLOCK %s %s", lock.text, wrong);
  expect(redis, "_", "REXTEND %s %s %d", lock.text, wrong, TTL);
  redisAppendCommand(redis, "REXTEND %s %s %d", lock.text, token.text, TTL);
  validity_next(redis);
  expect(redis, "-ERR syntax error", "RLOCK %s %d NONSENSE", lock.text, TTL);
  release(redis, lock, token);
  expect(redis, ":0", "RUNLOCK %s %s", lock.text, token.text);
  release(other, lock, take(other, lock));
}

static void *work(void *number) {
  redisContext *redis = connect_to(environment("PROXY_PORT"));
  Text own = key(format("own:%d", *(int *)number).text), shared = key("shared"), counter = key("counter");
  for (int round = 0; round < ROUNDS; round++) {
    release(redis, own, take(redis, own));
    Text token = take_at_last(redis, shared);
    redisReply *count = ask(redis, "GET %s", counter.text);
    expect(redis, "+OK", "SET %s %d", counter.text, count->type == REDIS_REPLY_NIL ? 1 : atoi(count->str) + 1);
    freeReplyObject(count);
    release(redis, shared, token);
  }
  redisFree(redis);
  return NULL;
}

static void eight_threads(redisContext *redis) {
  pthread_t threads[WORKERS];
  int numbers[WORKERS];
  for (int i = 0; i < WORKERS; i++) {
    numbers[i] = i;
    if (pthread_create(&threads[i], NULL, work, &numbers[i]) != 0) fail("no thread");
  }
  for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  expect(redis, format("$%d", WORKERS * ROUNDS).text, "GET %s", key("counter").text);
}

static void done(int point, const char *what) {
  printf("ok %d RESP2 %s\n", point, what);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("hiredis %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
  redisContext *redis = connect_to(environment("PROXY_PORT")), *other = connect_to(environment("PROXY_PORT"));
  greets_and_authenticates();
  done(1, "greeting and password");
  does_ordinary_work(redis);
  done(2, "ordinary work");
  locks(redis, other);
  done(3, "locks");
  eight_threads(redis);
  done(4, "eight threads");
  pipelines(redis);
  done(5, "pipelines");
  publish_and_subscribe(redis, other);
  done(6, "publish and subscribe");
  transactions(redis, other);
  done(7, "transactions");
  a_blocking_command(redis, other);
  done(8, "a blocking command");
  redisFree(redis);
  redisFree(other);
}
