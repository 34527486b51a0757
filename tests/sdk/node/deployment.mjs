// Where the service is, what its tokens must say, and a watch over where the clients connect to.

import assert from 'node:assert/strict';
import net from 'node:net';
import { createRemoteJWKSet, jwtVerify } from 'jose';

export const base = process.env.WSTS_URL;
export const tenant = process.env.AZURE_TENANT_ID;
export const clientId = process.env.AZURE_CLIENT_ID;
export const secret = process.env.AZURE_CLIENT_SECRET;
export const webservice = base + process.env.WEBSERVICE;

const jwks = createRemoteJWKSet(new URL(base + '/.well-known/jwks.json'));

/** What a token says, once jose has verified it. */
export async function claimsOf(token, audience) {
  const { payload } = await jwtVerify(token, jwks, { issuer: base, audience, typ: 'at+jwt', algorithms: ['ES256'] });
  return payload;
}

/** Token requests so far, as the service counts them. */
export async function tokenRequests() {
  const text = await (await fetch(process.env.WSTS_OPS_URL + '/metrics')).text();
  const counts = text.matchAll(/^sts_token_requests_total\{[^}]*endpoint="oauth"[^}]*\} (\d+)/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

const allowed = new Set([base, process.env.WSTS_OPS_URL].map((url) => Number(new URL(url).port)));
export const foreign = [];
const connect = net.Socket.prototype.connect;
// Every TCP connection of Node.js begins here, whichever HTTP library asks for it.
net.Socket.prototype.connect = function (...given) {
  const options = Array.isArray(given[0]) ? given[0][0] : given[0];
  if (!['localhost', '127.0.0.1'].includes(options.host) || !allowed.has(Number(options.port))) {
    foreign.push(`${options.host}:${options.port}`);
    throw new Error(`the suite lets nobody reach ${options.host}`);
  }
  return connect.apply(this, given);
};

/** For the end of each program: a client that swallowed the refusal is found here. */
export function checkThatNobodyElseWasReached() {
  assert.deepEqual(foreign, []);
}
