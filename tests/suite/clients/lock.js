// Takes, extends and releases a lock with ioredis; fails when anything but the expected comes back.
//
// Arguments: the proxy's port, the key, the port of each primary.
'use strict';

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const Redis = require('ioredis');

// The last primaries may hear of a decision a moment after the client does.
async function expectEverywhere(primaries, key, expected) {
  const patience = Date.now() + 20000;
  for (;;) {
    const found = await Promise.all(primaries.map((primary) => primary.get(key)));
    if (found.every((value) => value === expected)) return;
    assert(Date.now() < patience, `not every primary holds ${expected}: ${found}`);
    await sleep(5);
  }
}

async function main() {
  const [port, key, ...ports] = process.argv.slice(2);
  const proxy = new Redis(Number(port));
  const primaries = ports.map((port) => new Redis(Number(port)));

  const [token, validity] = await proxy.call('RLOCK', key, 30000);
  assert.match(token, /^[0-9a-f]{40}$/);
  assert(validity > 0 && validity <= 30000, `validity ${validity}`);
  await expectEverywhere(primaries, key, token);
  for (const primary of primaries) {
    const ttl = await primary.pttl(key);
    assert(ttl > 0 && ttl <= 30000, `ttl ${ttl}`);
  }
  assert.equal(await proxy.call('RLOCK', key, 30000), null);

  const extended = await proxy.call('REXTEND', key, token, 50000);
  assert(extended > 30000 && extended <= 50000, `extended to ${extended}`);
  assert.equal(await proxy.call('RUNLOCK', key, token), 1);
  assert.equal(await proxy.call('RUNLOCK', key, token), 0);
  assert.equal(await proxy.call('REXTEND', key, token, 50000), null);
  await expectEverywhere(primaries, key, null);
  await assert.rejects(proxy.call('RLOCK', key, 'soon'), /^ReplyError: ERR value is not an integer or out of range$/);

  // What a client that pipelines by itself sends: one write, replies in order.
  const replies = await Promise.all([0, 1, 2].map((n) => proxy.call('RLOCK', `${key}:${n}`, 30000)));
  const released = replies.map(([token], n) => proxy.call('RUNLOCK', `${key}:${n}`, token));
  assert.deepEqual(await Promise.all(released), [1, 1, 1]);

  for (const client of [proxy, ...primaries]) client.disconnect();
  console.log('done');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
