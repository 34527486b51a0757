#!/usr/bin/env bash
# Azure's clients for Node.js, unpatched, with a secret, a certificate and a cluster's token: tokens for the API and for
# a webservice, refusals, and no other host.
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

debian openssl
certificate certified rsa:2048
certificate unregistered rsa:2048
# One of the programs is the issuer, and serves it itself.
issuer=https://localhost:$(free_port)
export WSTS_FEDERATION__ISSUERS="[{issuer=\"$issuer\",ca_file=\"$work/data/ca.pem\",allow_private_addresses=true}]"
start_service

certified=a0000000-0000-0000-0000-000000000005
workload=a0000000-0000-0000-0000-000000000006
tenant=11111111-1111-1111-1111-111111111111
registry() {
  cat <<TOML
[[principals]]
client_id = "$certified"
tenant = "$tenant"
name = "certified"
certificates = ["""
$(<"$work/keys/certified.crt")
"""]

[[principals]]
client_id = "$workload"
tenant = "$tenant"
name = "workload"

[[principals.federated_credentials]]
name = "cluster"
issuer = "$issuer"
subject = "system:serviceaccount:ml:scorer"
audience = "api://AzureADTokenExchange"
TOML
  printf '\n[[role_assignments]]\nprincipal = "%s"\nrole = "Reader"\nscope = "%s"\n' \
    "$certified" "${webservice%/onlineEndpoints/*}" "$workload" "${webservice%/onlineEndpoints/*}"
}
registry >"$work/registry.toml"
"$wsts" apply --config "$work/data/wsts.toml" --file "$work/registry.toml" >/dev/null

for program in msal identity certificate workload; do
  env --ignore-environment PATH="$PATH" HOME="$work" TMPDIR="$work" NODE_EXTRA_CA_CERTS="$ca" \
    WSTS_URL="$base" WSTS_OPS_URL="$ops" WEBSERVICE="$webservice" \
    AZURE_AUTHORITY_HOST="$base" AZURE_TENANT_ID="$tenant" \
    AZURE_CLIENT_ID="$client_id" AZURE_CLIENT_SECRET="$(cat "$secret_file")" \
    CERTIFIED="$certified" WORKLOAD="$workload" WSTS_KEYS="$work/keys" ISSUER_URL="$issuer" \
    TLS_KEY="$work/data/server.key" TLS_CERTIFICATE="$work/data/server.pem" \
    node --test --test-reporter=spec "$folder/$program.test.mjs"
done
