#include "sequences.h"

#include <stdlib.h>
#include <string.h>

#include "support.h"

void pipelines(redisContext *redis) {
  Text data = key("text"), a = key("a"), b = key("b");
  redisAppendCommand(redis, "SET %s 1", data.text);
  redisAppendCommand(redis, "RLOCK %s %d", a.text, TTL);
  redisAppendCommand(redis, "GET %s", data.text);
  redisAppendCommand(redis, "RLOCK %s %d", b.text, TTL);
  redisAppendCommand(redis, "RLOCK %s %d", a.text, TTL);
  redisAppendCommand(redis, "RLOCK %s soon", a.text);
  redisAppendCommand(redis, "INCR %s", data.text);
  expect_next(redis, "+OK");
  Text token_a = granted_next(redis);
  expect_next(redis, "$1");
  Text token_b = granted_next(redis);
  expect_next(redis, "_");
  expect_next(redis, "-ERR value is not an integer or out of range");
  expect_next(redis, ":2");
  redisAppendCommand(redis, "REXTEND %s %s %d", a.text, token_a.text, TTL);
  redisAppendCommand(redis, "GET %s", data.text);
  redisAppendCommand(redis, "RUNLOCK %s %s", a.text, token_a.text);
  redisAppendCommand(redis, "RUNLOCK %s %s", b.text, token_b.text);
  redisAppendCommand(redis, "RUNLOCK %s %s", a.text, token_a.text);
  redisAppendCommand(redis, "INCR %s", data.text);
  validity_next(redis);
  const char *replies[] = {"$2", ":1", ":1", ":0", ":3"};
  for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) expect_next(redis, replies[i]);
}

void publish_and_subscribe(redisContext *redis, redisContext *subscriber) {
  Text news = key("news"), lock = key("lock");
  expect(subscriber, format("[$subscribe $%s :1]", news.text).text, "SUBSCRIBE %s", news.text);
  Text token = take(redis, lock);
  // RESP2 allows no lock on the subscriber's own connection while it is subscribed, and any afterwards.
  expect(subscriber, "-ERR Can't execute 'rlock'", "RLOCK %s %d", news.text, TTL);
  expect(redis, ":1", "PUBLISH %s %s", news.text, "good\r\nnews");
  expect_next(subscriber, format("[$message $%s $good\r\nnews]", news.text).text);
  release(redis, lock, token);
  expect(subscriber, format("[$unsubscribe $%s :0]", news.text).text, "UNSUBSCRIBE");
  release(subscriber, news, take(subscriber, news));
}

void transactions(redisContext *redis, redisContext *other) {
  Text data = key("text"), lock = key("lock");
  expect(redis, "+OK", "WATCH %s", data.text);
  expect(redis, "+OK", "MULTI");
  expect(redis, "+QUEUED", "SET %s 1", data.text);
  expect(redis, "+QUEUED", "INCR %s", data.text);
  expect(redis, "[+OK :2]", "EXEC");
  expect(redis, "+OK", "WATCH %s", data.text);
  expect(other, "+OK", "SET %s 10", data.text);
  expect(redis, "+OK", "MULTI");
  expect(redis, "+QUEUED", "INCR %s", data.text);
  expect(redis, "_", "EXEC");
  expect(redis, "+OK", "MULTI");
  expect(redis, "+QUEUED", "INCR %s", data.text);
  expect(redis, "-ERR Command not allowed inside a transaction", "RLOCK %s %d", lock.text, TTL);
  expect(redis, "-EXECABORT Transaction discarded because of previous errors.", "EXEC");
  expect(redis, "$10", "GET %s", data.text);
  release(redis, lock, take(redis, lock));
}

static int blocked_clients(redisContext *redis) {
  redisReply *clients = ask(redis, "INFO clients");
  const char *field = strstr(clients->str, "blocked_clients:");
  if (field == NULL) fail("INFO clients: %s", clients->str);
  int blocked = atoi(strchr(field, ':') + 1);
  freeReplyObject(clients);
  return blocked;
}

void a_blocking_command(redisContext *redis, redisContext *popper) {
  Text queue = key("queue");
  redisAppendCommand(popper, "BLPOP %s 30", queue.text);
  flush(popper);
  for (int attempt = 0; blocked_clients(redis) < 1; attempt++) {
    if (attempt == 10000) fail("after 20 s no client is blocked");
    pause_milliseconds(2);
  }
  expect(redis, ":1", "RPUSH %s work", queue.text);
  expect_next(popper, format("[$%s $work]", queue.text).text);
}
