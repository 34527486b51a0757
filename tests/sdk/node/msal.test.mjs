// @azure/msal-node: tokens for the API and, in one round trip, for a webservice.

import assert from 'node:assert/strict';
import https from 'node:https';
import { after, test } from 'node:test';
import { ConfidentialClientApplication } from '@azure/msal-node';
import {
  base, checkThatNobodyElseWasReached, claimsOf, clientId, foreign, secret, tenant, tokenRequests, webservice,
} from './deployment.mjs';

after(checkThatNobodyElseWasReached);

const application = (clientSecret = secret, ofTenant = tenant) =>
  new ConfidentialClientApplication({
    // Known, so that Microsoft is not asked whether it is one of theirs.
    auth: { clientId, clientSecret, authority: `${base}/${ofTenant}`, knownAuthorities: [new URL(base).host] },
  });

test('a management token, and the kept one again', async () => {
  const app = application();
  const first = await app.acquireTokenByClientCredential({ scopes: [`${base}/.default`] });
  const claims = await claimsOf(first.accessToken, base);
  assert.equal(claims.client_id, clientId);
  assert.equal(first.tokenType, 'Bearer');
  assert.ok(Math.abs(first.expiresOn.getTime() / 1000 - claims.exp) <= 5);
  const before = await tokenRequests();
  const second = await app.acquireTokenByClientCredential({ scopes: [`${base}/.default`] });
  assert.equal(second.fromCache, true);
  assert.equal(second.accessToken, first.accessToken);
  assert.equal(await tokenRequests(), before);
});

test('a webservice token in one round trip', async () => {
  const token = await application().acquireTokenByClientCredential({ scopes: [`${webservice}/.default`] });
  assert.equal((await claimsOf(token.accessToken, webservice)).webservice, 'scorer');
  await assert.rejects(claimsOf(token.accessToken, base), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' });
});

test('a wrong secret is named', async () => {
  const request = application('not the secret').acquireTokenByClientCredential({ scopes: [`${base}/.default`] });
  await assert.rejects(request, { errorCode: 'invalid_client', message: /its secret is wrong/ });
});

test('a webservice that is not there', async () => {
  const scopes = [`${webservice}-not/.default`];
  await assert.rejects(application().acquireTokenByClientCredential({ scopes }), { message: /no such webservice/ });
});

test('an unknown tenant', async () => {
  const unknown = application(secret, '77777777-7777-7777-7777-777777777777');
  await assert.rejects(unknown.acquireTokenByClientCredential({ scopes: [`${base}/.default`] }));
});

test('the watch sees another host', () => {
  assert.throws(() => https.get('https://foreign.example/'), /lets nobody reach/);
  assert.deepEqual(foreign.splice(0), ['foreign.example:443']);
});
