#!/usr/bin/env bash
# Azure's clients for Node.js, unpatched: tokens for the API and for a webservice, refusals, and no other host.
source "$(dirname "$0")/common.bash"
here=$root/tests/sdk/node
folder=$tools/node-$(sha256sum <"$here/package.json" | cut -c1-12)
if [ ! -e "$folder/complete" ]; then
  mkdir -p "$folder"
  cp "$here/package.json" "$folder/"
  (cd "$folder" && npm install --silent --no-audit --no-fund --no-package-lock >/dev/null)
  touch "$folder/complete"
fi
# Node looks for packages beside the program and above, so it runs from where they are.
cp "$here"/*.mjs "$folder/"
start_service
for program in msal identity; do
  env --ignore-environment PATH="$PATH" HOME="$work" NODE_EXTRA_CA_CERTS="$ca" \
    WSTS_URL="$base" WSTS_OPS_URL="$ops" WEBSERVICE="$webservice" \
    AZURE_AUTHORITY_HOST="$base" AZURE_TENANT_ID=11111111-1111-1111-1111-111111111111 \
    AZURE_CLIENT_ID="$client_id" AZURE_CLIENT_SECRET="$(cat "$secret_file")" \
    node --test --test-reporter=spec "$folder/$program.test.mjs"
done
