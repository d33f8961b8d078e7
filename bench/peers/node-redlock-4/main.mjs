// The driver of node-redlock 4 (on npm: redlock), over ioredis.
import { Redis } from 'ioredis';
import Redlock from 'redlock';
import { connectToPrimaries, serve } from '../javascript/driver.mjs';

const clients = await connectToPrimaries(Redis);
const redlock = new Redlock(clients);
// `retryCount: 0` counts as not given in the options of one lock, only a whole Redlock can be told so.
const once = new Redlock(clients, { retryCount: 0 });

await serve('node-redlock', new URL('node_modules/redlock/package.json', import.meta.url), clients, {
  shortestDelay: redlock.retryDelay - redlock.retryJitter,
  acquire: (key, ttl, retries) => {
    if (retries === 0) return once.lock(key, ttl);
    return retries === undefined ? redlock.lock(key, ttl) : redlock.lockWithOptions(key, ttl, { retryCount: retries });
  },
  extend: (lock, ttl) => redlock.extend(lock, ttl),
  release: (lock) => redlock.unlock(lock),
});
