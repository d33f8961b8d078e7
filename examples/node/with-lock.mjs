// A lock for as long as some work takes, renewed meanwhile. Take this file along: it needs nothing but a client.

/**
 * Runs `work(signal)` under the lock on `key`; what it returns, or null when somebody else holds the lock.
 *
 * `owner` names who asks: whoever may not work at the same time needs another name. When the lock cannot be renewed in
 * time, the signal is aborted: look at it, or pass it on, before each step that must not be done twice.
 */
export async function withLock(redis, key, { owner, ttl }, work) {
  const lock = new AbortController();
  let expiry;
  // The validity counts from before the command was sent, since nobody knows how long the reply was on its way.
  const holdUntil = (end) => {
    clearTimeout(expiry);
    expiry = setTimeout(() => lock.abort(new Error(`the lock on ${key} is lost`)), end - performance.now());
  };

  const asked = performance.now();
  // ioredis repeats what was unanswered when a connection broke. By its OWNER the repeated command gets the lock again.
  const granted = await redis.call('RLOCK', key, ttl, 'OWNER', owner);
  if (granted === null) return null;
  const [token, validity] = granted;
  holdUntil(asked + validity);

  let working = true;
  const renew = async () => {
    const asked = performance.now();
    // NOQUORUM, or no connection: what was granted before stands, and the next renewal may do better.
    const validity = await redis.call('REXTEND', key, token, ttl).catch(() => undefined);
    if (working && validity !== undefined) holdUntil(validity === null ? 0 : asked + validity);
  };
  const renewal = setInterval(renew, ttl / 3);
  try {
    return await work(lock.signal);
  } finally {
    working = false;
    clearInterval(renewal);
    clearTimeout(expiry);
    // Should this fail, the lock ends with its ttl.
    await redis.call('RUNLOCK', key, token).catch((error) => console.error(`${key} is not released: ${error.message}`));
  }
}
