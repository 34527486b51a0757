// @azure/identity: its credentials, and how seldom they ask for a token.

import assert from 'node:assert/strict';
import { after, mock, test } from 'node:test';
import { ClientSecretCredential, EnvironmentCredential } from '@azure/identity';
import {
  base, checkThatNobodyElseWasReached, claimsOf, clientId, secret, tenant, tokenRequests, webservice,
} from './deployment.mjs';

after(checkThatNobodyElseWasReached);

// Else Microsoft is asked whether the authority is one of theirs.
const options = { authorityHost: base, disableInstanceDiscovery: true };
const credential = (clientSecret = secret) => new ClientSecretCredential(tenant, clientId, clientSecret, options);

test('tokens of each credential', async () => {
  for (const asking of [credential(), new EnvironmentCredential(options)]) {
    const token = await asking.getToken(`${base}/.default`);
    const claims = await claimsOf(token.token, base);
    assert.equal(claims.client_id, clientId);
    assert.ok(Math.abs(token.expiresOnTimestamp / 1000 - claims.exp) <= 5);
  }
});

test('a webservice token in one round trip', async () => {
  const { token } = await credential().getToken(`${webservice}/.default`);
  assert.equal((await claimsOf(token, webservice)).webservice, 'scorer');
});

test('a wrong secret is named', async () => {
  const request = credential('not the secret').getToken(`${base}/.default`);
  await assert.rejects(request, { message: /its secret is wrong/ });
});

test('no second request in the first half of a token\'s life', async () => {
  const asking = credential();
  const first = await asking.getToken(`${base}/.default`);
  const life = first.expiresOnTimestamp - Date.now();
  const before = await tokenRequests();
  const now = Date.now();
  for (const share of [0, 0.25, 0.49]) {
    mock.timers.enable({ apis: ['Date'], now: now + life * share });
    assert.equal((await asking.getToken(`${base}/.default`)).token, first.token);
    mock.timers.reset();
  }
  assert.equal(await tokenRequests(), before);
  // Near its end a token is renewed: so the counter does count.
  mock.timers.enable({ apis: ['Date'], now: now + life * 0.97 });
  assert.notEqual((await asking.getToken(`${base}/.default`)).token, first.token);
  mock.timers.reset();
  assert.equal(await tokenRequests(), before + 1);
});
