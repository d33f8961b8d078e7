// node-redis through the proxy, over RESP2 and RESP3.
//
// It sends as one pipeline what is given in one turn of the event loop, has a pool, and connects again by itself. What
// was unanswered when a connection broke fails, and the caller decides. Over RESP3 it opens with HELLO and CLIENT
// MAINT_NOTIFICATIONS, which few servers know: it goes on after the error.
import assert from 'node:assert/strict';
import { createClient, createClientPool, RESP_TYPES, WatchError } from 'redis';
import { assertValidity, eventually, everyByte, granted, lockAtLast, megabyte } from '../javascript/interop.mjs';
import { authPort, host, keyPrefix, outagePort, password, primaryPorts } from '../javascript/interop.mjs';
import { proxyPort, ttl, turnUpstream } from '../javascript/interop.mjs';

await check('RESP2', 2);
await check('RESP3', 3);

async function check(label, RESP) {
  const key = (name) => `${keyPrefix}${label}:${name}`;
  // The library gives up what it could not send for five seconds; a busy machine may need longer.
  const options = (port, more) => ({ RESP, socket: { host, port }, commandOptions: { timeout: 60_000 }, ...more });
  const open = [];
  const opened = (client) => {
    open.push(client.on('error', () => {}));
    return client.connect();
  };
  const connect = (port, more) => opened(createClient(options(port, more)));
  const rlock = (name, ...more) => ['RLOCK', key(name), String(ttl), ...more];
  const rextend = (name, token, ms = ttl) => ['REXTEND', key(name), token, String(ms)];
  const lock = async (client, name) => granted(await client.sendCommand(rlock(name)));
  const unlock = (client, name, token) => client.sendCommand(['RUNLOCK', key(name), token]);
  const ok = (point, what) => console.log(`ok ${point} ${label}: ${what}`);

  // 1. Greeting and password. Over RESP3 a stranger does not get as far as the lock: its HELLO is refused.
  const known = await connect(authPort, { password });
  assert.equal(await unlock(known, 'auth', await lock(known, 'auth')), 1);
  assert.equal((await known.hello()).proto, RESP);
  const stranger = () => connect(authPort, { socket: { host, port: authPort, reconnectStrategy: false } });
  const noauth = RESP === 3 ? /^Error: NOAUTH HELLO must be called/ : /^Error: NOAUTH Authentication required\.$/;
  await assert.rejects(async () => lock(await stranger(), 'auth'), noauth);
  ok(1, 'greeting and password');

  // 2. Ordinary work.
  const client = await connect(proxyPort);
  const s = key('string');
  assert.deepEqual(await Promise.all([client.set(s, '41'), client.get(s), client.incr(s)]), ['OK', '41', 42]);
  assert.equal(await client.hSet(key('hash'), { one: '1', two: '2' }), 2);
  assert.deepEqual({ ...(await client.hGetAll(key('hash'))) }, { one: '1', two: '2' });
  assert.equal(await client.rPush(key('list'), ['a', 'b', 'c']), 3);
  assert.deepEqual(await client.lRange(key('list'), 0, -1), ['a', 'b', 'c']);
  await client.set(key('bytes'), everyByte);
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  assert.deepEqual(await binary.get(key('bytes')), everyByte);
  await client.set(key('big'), megabyte);
  assert.equal(await client.get(key('big')), megabyte);
  await assert.rejects(client.lPush(s, 'x'), /^Error: WRONGTYPE Operation against a key/);
  ok(2, 'ordinary work');

  // 3. Locks.
  const token = await lock(client, 'job');
  const primary = await connect(primaryPorts[0]);
  await eventually('the primary holds the token', async () => (await primary.get(key('job'))) === token);
  assert.equal(await client.sendCommand(rlock('job')), null);
  assert.equal(await unlock(client, 'job', 'f'.repeat(40)), 0);
  assert.equal(await client.sendCommand(rextend('job', 'f'.repeat(40))), null);
  assertValidity(await client.sendCommand(rextend('job', token, 2 * ttl)), 2 * ttl);
  assert.equal(await unlock(client, 'job', token), 1);
  await eventually('the primary holds nothing', async () => (await primary.get(key('job'))) === null);
  await assert.rejects(client.sendCommand(rlock('job', 'NOW')), /^Error: ERR syntax error$/);
  assert.equal(await unlock(client, 'job', await lock(client, 'job')), 1);
  ok(3, 'locks');

  // 4. A pool of eight connections and twice as many tasks: locks of their own, and one around a counter.
  const pool = await opened(createClientPool(options(proxyPort), { minimum: 8, maximum: 8, acquireTimeout: 0 }));
  const work = async (_, number) => {
    for (let round = 0; round < 50; round++) {
      assert.equal(await unlock(pool, `own ${number}`, await lock(pool, `own ${number}`)), 1);
      const shared = await lockAtLast(() => pool.sendCommand(rlock('shared')));
      await pool.set(key('counter'), Number(await pool.get(key('counter'))) + 1);
      assert.equal(await unlock(pool, 'shared', shared), 1);
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  assert.equal(await client.get(key('counter')), '800');
  ok(4, 'a pool');

  // 5. Pipelines: one of the library's builder, and what is given in one turn.
  const taking = client.multi().set(s, '1').sendCommand(rlock('a')).get(s).sendCommand(rlock('b')).incr(s);
  const [set, a, one, b, two, held] = await taking.sendCommand(rlock('a')).execAsPipeline();
  assert.deepEqual([set, one, two, held], ['OK', '1', 2, null]);
  const [extended, ...rest] = await Promise.allSettled([
    client.sendCommand(rextend('a', granted(a))),
    client.incr(s),
    unlock(client, 'a', a[0]),
    client.sendCommand(['RLOCK', key('c'), 'soon']),
    unlock(client, 'b', granted(b)),
    unlock(client, 'a', a[0]),
  ]);
  assertValidity(extended.value, ttl);
  assert.equal(rest[2].reason.message, 'ERR value is not an integer or out of range');
  assert.deepEqual(rest.map(({ value }) => value), [3, 1, undefined, 1, 0]);
  ok(5, 'pipelines');

  // 6. Subscriptions. Over RESP2 a lock on the subscribed connection is refused, over RESP3 it is in order.
  const subscriber = await connect(proxyPort);
  const heard = [];
  await subscriber.subscribe(key('news'), (message) => heard.push(message));
  if (RESP === 2) await assert.rejects(lock(subscriber, 'beside'), /^Error: ERR Can't execute 'rlock': only \(P\|S\)/);
  const beside = await lock(RESP === 2 ? client : subscriber, 'beside');
  assert.equal(await client.publish(key('news'), 'hello'), 1);
  await eventually('the message is here', () => heard.length > 0);
  assert.deepEqual(heard, ['hello']);
  assert.equal(await unlock(client, 'beside', beside), 1);
  ok(6, 'subscriptions');

  // 7. Transactions. Of a refused one the library tells the first error; with its generic call one sees them all.
  assert.deepEqual(await client.multi().set(s, '1').incr(s).exec(), ['OK', 2]);
  await client.watch(s);
  await pool.set(s, 'changed');
  await assert.rejects(client.multi().set(s, 'lost').exec(), WatchError);
  const inside = 'ERR Command not allowed inside a transaction';
  await assert.rejects(client.multi().set(s, 'lost').sendCommand(rlock('job')).exec(), { message: inside });
  const raw = [['MULTI'], rlock('job'), ['EXEC']].map((command) => client.sendCommand(command).catch(String));
  const aborted = 'Error: EXECABORT Transaction discarded because of previous errors.';
  assert.deepEqual(await Promise.all(raw), ['OK', `Error: ${inside}`, aborted]);
  assert.equal(await client.get(s), 'changed');
  assert.equal(await unlock(client, 'job', await lock(client, 'job')), 1);
  ok(7, 'transactions');

  // 8. A blocking command.
  const popped = pool.blPop(key('queue'), 0);
  await eventually('a client is blocked', async () => /blocked_clients:[1-9]/.test(await client.info('clients')));
  await client.rPush(key('queue'), 'work');
  assert.deepEqual({ ...(await popped) }, { key: key('queue'), element: 'work' });
  ok(8, 'a blocking command');

  // 9. An outage of the upstream. Locks go on, and the same client does ordinary work as soon as it is back.
  await turnUpstream('down');
  const steady = await connect(outagePort);
  assert.equal(await unlock(steady, 'outage', await lock(steady, 'outage')), 1);
  await assert.rejects(steady.set(s, 'lost'), /^Error: UPSTREAMDOWN /);
  await turnUpstream('up');
  await eventually('the upstream is back', () => steady.set(s, 'back').catch(() => false));
  assert.equal(await unlock(steady, 'outage', await lock(steady, 'outage')), 1);
  assert.equal(await steady.get(s), 'back');
  const cut = new Promise((resolve) => steady.once('reconnecting', resolve));
  await turnUpstream('down');
  await cut;
  assert.equal(await unlock(steady, 'outage', await lock(steady, 'outage')), 1);
  await assert.rejects(steady.get(s), /^Error: UPSTREAMDOWN /);
  ok(9, 'an outage of the upstream');
  for (const each of open) each.destroy();
}
