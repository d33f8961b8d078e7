// What the drivers of the JavaScript libraries share: the loop over the orders (../README.md) and the load generator.
//
// A library is an object; its functions throw when the library says, in whichever way, that it did not do it.
//   shortestDelay                between two tries, in milliseconds
//   acquire(key, ttl, retries)   a lock: { value, … }; with undefined retries as many as the library makes by default
//   extend(lock, ttl)            the lock from then on
//   release(lock)
//
// There is one connection to each primary for all workers: ioredis sends what many ask without waiting for replies.
import { readFileSync } from 'node:fs';
import readline from 'node:readline';

/** The clients of the primaries, connected. */
export async function connectToPrimaries(Redis) {
  const ports = process.env.PRIMARY_PORTS ?? fail('PRIMARY_PORTS is not set: name the ports of the primaries');
  const clients = ports.split(' ').map((port) => new Redis({ host: '127.0.0.1', port: Number(port) }));
  for (const client of clients) client.on('error', (error) => console.error(String(error)));
  await Promise.all(clients.map((client) => client.ping()));
  return clients;
}

/** Answers orders until there are no more. The version is the one that the library's package.json, a URL, tells. */
export async function serve(name, packageJson, clients, library) {
  const { version } = JSON.parse(readFileSync(packageJson, 'utf8'));
  const held = new Map();
  console.log(`ready ${name} ${version.replace(/^v/, '')}`);
  for await (const order of readline.createInterface({ input: process.stdin })) {
    console.log(await answer(order.split(' '), library, held));
  }
  for (const client of clients) client.disconnect();
}

async function answer([verb, ...words], library, held) {
  const lockOn = (key) => held.get(key) ?? fail(`this driver took no lock on ${key}`);
  const [key, ttl] = [words[0], Number(words[1])];
  try {
    switch (`${verb}/${words.length}`) {
      case 'acquire/2':
        held.set(key, await library.acquire(key, ttl, 0));
        return `held ${Buffer.from(held.get(key).value).toString('hex')}`;
      case 'extend/2':
        held.set(key, await library.extend(lockOn(key), ttl));
        return 'extended';
      case 'release/1':
        await library.release(lockOn(key));
        return 'released';
      case 'drive/4':
        if (!['distinct', 'contended'].includes(words[0])) break;
        return JSON.stringify(await drive(library, ...words));
    }
  } catch (error) {
    return `${verb === 'acquire' ? 'refused' : 'failed'} ${String(error.message).replace(/\s+/g, ' ')}`;
  } finally {
    if (verb === 'release') held.delete(key);
  }
  return 'error unknown command';
}

/** Locks and unlocks in a closed loop. What is done by the end counts; a lock that comes later is only given back. */
async function drive(library, keys, count, milliseconds, name) {
  const contended = keys === 'contended';
  const pairs = new Array(Number(count)).fill(0);
  const latencies = [];
  let errors = 0;
  // Pairs that were another worker's than the one before.
  let handOvers = 0;
  let last;
  const began = performance.now();
  const end = began + Number(milliseconds);
  const work = async (worker) => {
    const key = contended ? name : `${name}${worker}`;
    for (let asked = performance.now(); asked < end; asked = performance.now()) {
      // As many as do not give up before the time is up.
      const retries = contended ? Math.ceil((end - asked) / library.shortestDelay) : undefined;
      try {
        await library.release(await library.acquire(key, 30_000, retries));
      } catch (error) {
        // Who still waits when the time is up has lost nothing but the race.
        if (contended && performance.now() > end) return;
        if (errors++ === 0) console.error(String(error));
        continue;
      }
      const done = performance.now();
      if (done > end) return;
      pairs[worker] += 1;
      if (worker !== last) handOvers++;
      last = worker;
      latencies.push(done - asked);
    }
  };
  await Promise.all(pairs.map((_, worker) => work(worker)));
  const sorted = Float64Array.from(latencies).sort();
  const percentile = (share) => Math.round((sorted[Math.ceil(share * sorted.length) - 1] ?? 0) * 1000);
  return {
    pairs: sorted.length,
    hand_overs: handOvers,
    elapsed_us: Math.round((end - began) * 1000),
    p50_us: percentile(0.5),
    p99_us: percentile(0.99),
    p999_us: percentile(0.999),
    errors,
    clients: pairs,
  };
}

function fail(message) {
  throw new Error(message);
}
