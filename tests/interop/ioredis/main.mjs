// ioredis through the proxy: version 5 (RESP2) and version 6 (RESP2 and RESP3).
//
// An ioredis object has one connection and there is no pool, so several objects stand for one. Commands given while
// there is no connection wait in the offline queue, and what was unanswered when a connection broke is sent again on
// the next one: hence OWNER where a connection is cut, or a lock that the first sending took would refuse the second.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Redis as Redis5, Command as Command5 } from 'ioredis-5';
import { Redis as Redis6, Command as Command6 } from 'ioredis-6';
import { assertValidity, eventually, everyByte, granted, lockAtLast, megabyte, ttl } from '../javascript/interop.mjs';
import { authPort, host, keyPrefix, password, primaryPorts, proxyPort } from '../javascript/interop.mjs';

const required = /^ReplyError: NOAUTH Authentication required\.$/;
// With RESP3 a stranger does not get as far as the lock: its HELLO is refused.
const greeted = /^ReplyError: NOAUTH HELLO must be called with the client already authenticated/;
await check('ioredis 5, RESP2', Redis5, Command5, {}, { protocol: 2, noauth: required });
await check('ioredis 6, RESP2', Redis6, Command6, { protocol: 2 }, { protocol: 2, noauth: required });
await check('ioredis 6, RESP3', Redis6, Command6, { protocol: 3 }, { protocol: 3, noauth: greeted });

async function check(label, Redis, Command, options, { protocol, noauth }) {
  const key = (name) => `${keyPrefix}${label}:${name}`;
  const open = [];
  const connect = (port, more = {}) => {
    open.push(new Redis({ host, port, ...options, ...more }));
    return open.at(-1);
  };
  const lock = async (redis, name) => granted(await redis.call('RLOCK', key(name), ttl));
  const unlock = (redis, name, token) => redis.call('RUNLOCK', key(name), token);
  const ok = (point, what) => console.log(`ok ${point} ${label}: ${what}`);

  // 1. Greeting and password. Without the ready check, an INFO, which would be refused before the lock is.
  const known = connect(authPort, { password });
  assert.equal(await unlock(known, 'auth', await lock(known, 'auth')), 1);
  const hello = await known.call('HELLO');
  assert.equal(hello[hello.indexOf('proto') + 1], protocol);
  const stranger = connect(authPort, { enableReadyCheck: false }).on('error', () => {});
  await assert.rejects(stranger.call('RLOCK', key('auth'), ttl), noauth);
  ok(1, 'greeting and password');

  // 2. Ordinary work; the first commands wait in the offline queue.
  const redis = connect(proxyPort);
  assert.equal(redis.status, 'connecting');
  const s = key('string');
  assert.deepEqual(await Promise.all([redis.set(s, '41'), redis.get(s), redis.incr(s)]), ['OK', '41', 42]);
  assert.equal(await redis.hset(key('hash'), { one: '1', two: '2' }), 2);
  assert.deepEqual(await redis.hgetall(key('hash')), { one: '1', two: '2' });
  assert.equal(await redis.rpush(key('list'), 'a', 'b', 'c'), 3);
  assert.deepEqual(await redis.lrange(key('list'), 0, -1), ['a', 'b', 'c']);
  await redis.set(key('bytes'), everyByte);
  assert.deepEqual(await redis.getBuffer(key('bytes')), everyByte);
  await redis.set(key('big'), megabyte);
  assert.equal(await redis.get(key('big')), megabyte);
  await assert.rejects(redis.lpush(s, 'x'), /^ReplyError: WRONGTYPE Operation against a key/);
  ok(2, 'ordinary work');

  // 3. Locks.
  const token = await lock(redis, 'job');
  const primary = connect(primaryPorts[0], { protocol: 2 });
  await eventually('the primary holds the token', async () => (await primary.get(key('job'))) === token);
  assert.equal(await redis.call('RLOCK', key('job'), ttl), null);
  assert.equal(await unlock(redis, 'job', 'f'.repeat(40)), 0);
  assert.equal(await redis.call('REXTEND', key('job'), 'f'.repeat(40), ttl), null);
  assertValidity(await redis.call('REXTEND', key('job'), token, 2 * ttl), 2 * ttl);
  assert.equal(await unlock(redis, 'job', token), 1);
  await eventually('the primary holds nothing', async () => (await primary.get(key('job'))) === null);
  await assert.rejects(redis.call('RLOCK', key('job'), ttl, 'NOW'), /^ReplyError: ERR syntax error$/);
  const command = new Command('RLOCK', [key('job'), ttl], { replyEncoding: 'utf8' });
  assert.equal(await unlock(redis, 'job', granted(await redis.sendCommand(command))), 1);
  ok(3, 'locks');

  // 4. Several connections: locks of their own, and one around a counter that must lose no increment.
  const workers = Array.from({ length: 8 }, () => connect(proxyPort));
  const work = async (worker, number) => {
    for (let round = 0; round < 50; round++) {
      assert.equal(await unlock(worker, `own ${number}`, await lock(worker, `own ${number}`)), 1);
      const shared = await lockAtLast(() => worker.call('RLOCK', key('shared'), ttl));
      await worker.set(key('counter'), Number(await worker.get(key('counter'))) + 1);
      assert.equal(await unlock(worker, 'shared', shared), 1);
    }
  };
  await Promise.all(workers.map(work));
  assert.equal(await redis.get(key('counter')), '400');
  ok(4, 'eight connections');

  // 5. Pipelines: [error, reply] of each command, in order.
  const taking = redis.pipeline().set(s, '1').call('RLOCK', key('a'), ttl).get(s).call('RLOCK', key('b'), ttl);
  const taken = await taking.call('RLOCK', key('a'), ttl).call('RLOCK', key('c'), 'soon').incr(s).exec();
  const [a, b] = [granted(taken[1][1]), granted(taken[3][1])];
  assert.deepEqual([0, 2, 4, 6].map((i) => taken[i]), [[null, 'OK'], [null, '1'], [null, null], [null, 2]]);
  assert.equal(taken[5][0].message, 'ERR value is not an integer or out of range');
  const giving = redis.pipeline().call('REXTEND', key('a'), a, ttl).incr(s).call('RUNLOCK', key('a'), a);
  const given = await giving.call('RUNLOCK', key('b'), b).get(s).call('RUNLOCK', key('a'), a).exec();
  assertValidity(given[0][1], ttl);
  assert.deepEqual(given.slice(1).map(([, reply]) => reply), [3, 1, 1, '3', 0]);
  ok(5, 'pipelines');

  // 6. Subscriptions. On such a RESP2 connection ioredis itself refuses other commands; with RESP3 they are in order.
  const subscriber = connect(proxyPort);
  assert.equal(await subscriber.subscribe(key('news')), 1);
  const message = once(subscriber, 'message');
  const on = protocol === 3 ? subscriber : redis;
  const beside = await lock(on, 'beside');
  assert.equal(await redis.publish(key('news'), 'hello'), 1);
  assert.deepEqual(await message, [key('news'), 'hello']);
  assert.equal(await unlock(on, 'beside', beside), 1);
  ok(6, 'subscriptions');

  // 7. Transactions.
  const other = workers[0];
  assert.deepEqual(await redis.multi().set(s, '1').incr(s).exec(), [[null, 'OK'], [null, 2]]);
  await redis.watch(s);
  await other.set(s, 'changed');
  assert.equal(await redis.multi().set(s, 'lost').exec(), null);
  const refused = await redis.multi().set(s, 'lost').call('RLOCK', key('job'), ttl).exec().catch((error) => error);
  assert.equal(refused.message, 'EXECABORT Transaction discarded because of previous errors.');
  assert.deepEqual(refused.previousErrors.map(String), ['ReplyError: ERR Command not allowed inside a transaction']);
  assert.equal(await redis.get(s), 'changed');
  assert.equal(await unlock(redis, 'job', await lock(redis, 'job')), 1);
  ok(7, 'transactions');

  // 8. A blocking command.
  const popped = other.blpop(key('queue'), 0);
  await eventually('a client is blocked', async () => /blocked_clients:[1-9]/.test(await redis.info('clients')));
  await redis.rpush(key('queue'), 'work');
  assert.deepEqual(await popped, [key('queue'), 'work']);
  ok(8, 'a blocking command');

  // The offline queue once more: what is asked for when the connection has just been cut is done on the next one.
  const late = once(redis, 'close').then(() => {
    assert.equal(redis.status, 'reconnecting');
    return redis.call('RLOCK', key('late'), ttl, 'OWNER', 'me');
  });
  assert.equal(await other.client('KILL', 'ID', await redis.client('ID')), 1);
  assert.equal(await unlock(redis, 'late', granted(await late, 'me')), 1);
  ok('-', 'the offline queue');
  for (const redis of open) redis.disconnect();
}
