// Certificates in the place of secrets: @azure/identity and @azure/msal-node.

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { ClientCertificateCredential } from '@azure/identity';
import { ConfidentialClientApplication } from '@azure/msal-node';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { base, checkThatNobodyElseWasReached, claimsOf, tenant, webservice } from './deployment.mjs';

after(checkThatNobodyElseWasReached);

const clientId = process.env.CERTIFIED;
const file = (name, ending) => `${process.env.WSTS_KEYS}/${name}.${ending}`;
const text = (name, ending) => readFileSync(file(name, ending), 'utf8');
const certificate = new X509Certificate(text('certified', 'crt'));
const sha1 = certificate.fingerprint.replaceAll(':', '');
const sha256 = certificate.fingerprint256.replaceAll(':', '');
const unproven = /no certificate or key of it made this assertion/;

/** The assertion within a form. */
const assertionOf = (body) => new URLSearchParams(body).get('client_assertion');

const credential = (name, more = {}) => new ClientCertificateCredential(tenant, clientId, file(name, 'pem'), {
  // Else Microsoft is asked whether the authority is one of theirs.
  authorityHost: base, disableInstanceDiscovery: true, ...more,
});

/** An application, and the assertions that it sends: it takes any HTTP client. */
function application(clientCertificate) {
  const sent = [];
  const exchange = async (url, method, { headers, body } = {}) => {
    if (body) sent.push(assertionOf(body));
    const answer = await fetch(url, { method, headers, body });
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.json() };
  };
  const networkClient = {
    sendGetRequestAsync: (url, options) => exchange(url, 'GET', options),
    sendPostRequestAsync: (url, options) => exchange(url, 'POST', options),
  };
  const app = new ConfidentialClientApplication({
    auth: {
      clientId, clientCertificate, authority: `${base}/${tenant}`, knownAuthorities: [new URL(base).host],
    },
    system: { networkClient },
  });
  return { app, sent };
}

test('the credential of a certificate, with its chain and without', async () => {
  for (const sendCertificateChain of [false, true]) {
    const sent = [];
    const policy = {
      name: 'keep',
      sendRequest: (request, next) => {
        if (request.body) sent.push(assertionOf(request.body));
        return next(request);
      },
    };
    const additionalPolicies = [{ policy, position: 'perRetry' }];
    const { token } = await credential('certified', { sendCertificateChain, additionalPolicies })
      .getToken(`${base}/.default`);
    assert.equal((await claimsOf(token, base)).client_id, clientId);
    const header = decodeProtectedHeader(sent[0]);
    assert.deepEqual([header.alg, header['x5t#S256']], ['PS256', Buffer.from(sha256, 'hex').toString('base64url')]);
    assert.equal(header.x5c?.length, sendCertificateChain ? 1 : undefined);
  }
});

test('a webservice token in one round trip', async () => {
  const { token } = await credential('certified').getToken(`${webservice}/.default`);
  assert.equal((await claimsOf(token, webservice)).client_id, clientId);
});

test('MSAL with either thumbprint', async () => {
  const privateKey = text('certified', 'key');
  for (const [named, algorithm, header] of [
    [{ thumbprintSha256: sha256 }, 'PS256', 'x5t#S256'],
    [{ thumbprintSha256: sha256, x5c: text('certified', 'crt') }, 'PS256', 'x5t#S256'],
    [{ thumbprint: sha1 }, 'RS256', 'x5t'],
  ]) {
    const { app, sent } = application({ privateKey, ...named });
    const token = await app.acquireTokenByClientCredential({ scopes: [`${base}/.default`] });
    assert.equal((await claimsOf(token.accessToken, base)).client_id, clientId);
    const found = decodeProtectedHeader(sent[0]);
    assert.equal(found.alg, algorithm);
    assert.ok(found[header]);
    assert.equal('x5c' in found, 'x5c' in named);
    assert.equal(decodeJwt(sent[0]).sub, clientId);
  }
});

test('one assertion for several tokens', async () => {
  const { app, sent } = application({ privateKey: text('certified', 'key'), thumbprintSha256: sha256 });
  for (const audience of [base, webservice]) {
    const token = await app.acquireTokenByClientCredential({ scopes: [`${audience}/.default`] });
    await claimsOf(token.accessToken, audience);
  }
  assert.equal(sent.length, 2);
  assert.equal(sent[0], sent[1]);
});

test('a certificate that nobody registered, and another key under the right name', async () => {
  await assert.rejects(credential('unregistered').getToken(`${base}/.default`), { message: unproven });
  const { app } = application({ privateKey: text('unregistered', 'key'), thumbprintSha256: sha256 });
  const request = app.acquireTokenByClientCredential({ scopes: [`${base}/.default`] });
  await assert.rejects(request, { errorCode: 'invalid_client', message: unproven });
});
