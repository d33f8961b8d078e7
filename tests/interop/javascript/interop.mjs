// What the JavaScript clients of this folder have in common: what the runner tells them by the environment, the switch
// of the outage, and what a granted lock looks like. What is asked of the proxy stands in each client's own program.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

function variable(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: this program is started by \`make interop\``);
  return value;
}

export const host = '127.0.0.1';
export const proxyPort = Number(variable('PROXY_PORT'));
export const authPort = Number(variable('AUTH_PORT'));
export const password = variable('AUTH_PASSWORD');
export const outagePort = Number(variable('OUTAGE_PORT'));
export const primaryPorts = variable('PRIMARY_PORTS').split(' ').map(Number);
export const keyPrefix = variable('KEY_PREFIX');

export const ttl = 30_000;
export const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
export const megabyte = 'm'.repeat(1024 * 1024);

/** The token of a granted RLOCK, after a look at the whole reply. */
export function granted(reply, owner) {
  assert(Array.isArray(reply) && reply.length === 2, `RLOCK answered ${reply}`);
  const [token, validity] = reply;
  assert.match(token, owner === undefined ? /^[0-9a-f]{40}$/ : new RegExp(`^${owner}:[0-9a-f]{40}$`));
  assertValidity(validity, ttl);
  return token;
}

export function assertValidity(validity, ttl) {
  assert(Number.isInteger(validity) && validity > 0 && validity <= ttl, `validity ${validity} of a ttl of ${ttl}`);
}

/** Asks again until it is so: the last of the primaries may hear of a decision after the client does. */
export async function eventually(claim, holds) {
  const patience = performance.now() + 60_000;
  while (!(await holds())) {
    assert(performance.now() < patience, `after a minute it is still not so that ${claim}`);
    await sleep(5);
  }
}

/** Makes the upstream of the outage's proxy reachable ('up') or not ('down'); it is so when this returns. */
export async function turnUpstream(state) {
  const socket = net.connect(Number(variable('SWITCH_PORT')), host);
  socket.write(`${state}\n`);
  const [answer] = await once(socket, 'data');
  socket.destroy();
  assert.equal(String(answer), 'ok\n');
}

/** Asks for the lock until it is granted; its token. */
export async function lockAtLast(ask) {
  let reply;
  // Never the same pause: contenders that come again in step would meet for ever.
  while ((reply = await ask()) === null) await sleep(1 + Math.random() * 9);
  return granted(reply);
}
