// The driver of redlock-universal, over ioredis. A lock object of it belongs to one key, and it waits without jitter.
//
// Its package asks for Node.js 22; it uses nothing that 20 lacks, and npm only warns.
import { Redis } from 'ioredis';
import { createRedlock, IoredisAdapter } from 'redlock-universal';
import { connectToPrimaries, serve } from '../javascript/driver.mjs';

const clients = await connectToPrimaries(Redis);
const adapters = clients.map((client) => new IoredisAdapter(client));

await serve('redlock-universal', new URL('node_modules/redlock-universal/package.json', import.meta.url), clients, {
  shortestDelay: createRedlock({ adapters, key: 'any' }).getConfig().retryDelay,
  acquire: async (key, ttl, retries) => {
    const redlock = createRedlock({ adapters, key, ttl, retryAttempts: retries });
    const handle = await redlock.acquire();
    return { redlock, handle, value: handle.value };
  },
  extend: async (lock, ttl) => {
    if (!(await lock.redlock.extend(lock.handle, ttl))) throw new Error('no quorum extended it');
    return lock;
  },
  release: async ({ redlock, handle }) => {
    if (!(await redlock.release(handle))) throw new Error('no quorum released it');
  },
});
