// Two workers want to do the same job. Only one may at a time, however long it takes.
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { withLock } from './with-lock.mjs';

const port = Number(process.env.PROXY_PORT ?? 6379);
const job = `${process.env.KEY_PREFIX ?? ''}report`;
const [anna, ben] = [new Redis(port), new Redis(port)];

const first = await withLock(anna, job, { owner: 'anna', ttl: 6_000 }, async (signal) => {
  console.log('anna works');
  await sleep(7_000, undefined, { signal }); // Longer than the ttl: the lock is renewed meanwhile.
  const meanwhile = await withLock(ben, job, { owner: 'ben', ttl: 6_000 }, () => 'ben works as well');
  if (meanwhile !== null) throw new Error('both work at the same time');
  console.log('ben is told that somebody else does it');
  return 'anna is done';
});
console.log(first);

const second = await withLock(ben, job, { owner: 'ben', ttl: 6_000 }, () => 'now ben gets it');
if (second === null) throw new Error('the lock was not released');
console.log(second);

for (const redis of [anna, ben]) redis.disconnect();
