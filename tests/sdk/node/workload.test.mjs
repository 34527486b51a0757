// Another issuer's tokens in the place of secrets, as Kubernetes mounts them: @azure/identity. The issuer is in here.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, mock, test } from 'node:test';
import { WorkloadIdentityCredential } from '@azure/identity';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { base, checkThatNobodyElseWasReached, claimsOf, tenant, webservice } from './deployment.mjs';

const clientId = process.env.WORKLOAD;
const issuer = process.env.ISSUER_URL;
const { publicKey, privateKey } = await generateKeyPair('ES256');
const listed = { ...(await exportJWK(publicKey)), kid: 'cluster', alg: 'ES256', use: 'sig' };
const answer = mock.fn((request, response) => {
  const documents = {
    '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/keys` },
    '/keys': { keys: [listed] },
  };
  const document = documents[request.url];
  response.writeHead(document ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(document));
});
const tls = { key: readFileSync(process.env.TLS_KEY), cert: readFileSync(process.env.TLS_CERTIFICATE) };
const server = createServer(tls, answer);

before(() => new Promise((listening) => server.listen(new URL(issuer).port, '127.0.0.1', listening)));
after(() => {
  server.close();
  server.closeAllConnections();
  checkThatNobodyElseWasReached();
});

/** A credential that finds a token of the cluster in a file; `key` is what signed it. */
async function credential({ subject = 'system:serviceaccount:ml:scorer', life = '1h', key = privateKey } = {}) {
  const token = await new SignJWT({ 'kubernetes.io': { namespace: 'ml', serviceaccount: { name: 'scorer' } } })
    .setProtectedHeader({ alg: 'ES256', kid: 'cluster' })
    .setIssuer(issuer).setSubject(subject).setAudience(['api://AzureADTokenExchange'])
    .setIssuedAt().setNotBefore('0s').setExpirationTime(life).sign(key);
  const tokenFilePath = join(mkdtempSync(join(tmpdir(), 'token-')), 'token');
  writeFileSync(tokenFilePath, token);
  return new WorkloadIdentityCredential({
    tenantId: tenant, clientId, tokenFilePath, authorityHost: base, disableInstanceDiscovery: true,
  });
}

test('tokens for the API and for a webservice', async () => {
  for (const audience of [base, webservice]) {
    const { token } = await (await credential()).getToken(`${audience}/.default`);
    assert.equal((await claimsOf(token, audience)).client_id, clientId);
  }
  // One for discovery, one for the keys.
  assert.equal(answer.mock.callCount(), 2);
});

test('a refusal is told', async () => {
  const foreign = (await generateKeyPair('ES256')).privateKey;
  for (const [wrong, message] of [
    [{ subject: 'system:serviceaccount:ml:default' }, /no federated credential/],
    [{ life: '-10m' }, /has expired or is not yet valid/],
    [{ key: foreign }, /no key of that issuer made it/],
  ]) {
    await assert.rejects((await credential(wrong)).getToken(`${base}/.default`), { message });
  }
});
