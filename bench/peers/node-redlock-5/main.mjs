// The driver of node-redlock 5, of which there are betas only (on npm: redlock), over ioredis.
import { Redis } from 'ioredis';
import Redlock from 'redlock';
import { connectToPrimaries, serve } from '../javascript/driver.mjs';

const clients = await connectToPrimaries(Redis);
const redlock = new Redlock(clients);

await serve('node-redlock', new URL('node_modules/redlock/package.json', import.meta.url), clients, {
  shortestDelay: redlock.settings.retryDelay - redlock.settings.retryJitter,
  acquire: (key, ttl, retries) => redlock.acquire([key], ttl, retries === undefined ? {} : { retryCount: retries }),
  extend: (lock, ttl) => lock.extend(ttl),
  release: (lock) => lock.release(),
});
