#!/usr/bin/env bash
# npm's jose verifies a token over HTTPS by its remote JWKS, and refuses one for another audience.
source "$(dirname "$0")/common.bash"
folder=$tools/jose-6
if [ ! -d "$folder/node_modules/jose" ]; then
  mkdir -p "$folder"
  (cd "$folder" && npm init -y >/dev/null 2>&1 && npm install --silent --no-audit --no-fund jose@6 >/dev/null)
fi
start_service
token=$(fetch_token)
cat > "$folder/verify.mjs" <<'JAVASCRIPT'
import { createRemoteJWKSet, jwtVerify } from 'jose';
const [base, webservice, token] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(base + '/.well-known/jwks.json'));
const options = { issuer: base, audience: base + webservice, typ: 'at+jwt', algorithms: ['ES256'] };
const { payload } = await jwtVerify(token, keys, options);
const refused = await jwtVerify(token, keys, { ...options, audience: base + '/other' }).catch((error) => error.code);
if (refused !== 'ERR_JWT_CLAIM_VALIDATION_FAILED') throw new Error('a token for another audience was taken');
console.log('jose verified', payload.webservice, 'for', payload.client_id);
JAVASCRIPT
NODE_EXTRA_CA_CERTS=$ca node "$folder/verify.mjs" "$base" "$webservice" "$token"
