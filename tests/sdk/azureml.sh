#!/usr/bin/env bash
# Azure's own SDKs for Python, unpatched, against the service, a scoring gateway and a cluster's issuer; then the
# examples, as they stand.
#
#   tests/sdk/azureml.sh                   everything
#   tests/sdk/azureml.sh test_v1 [-k ...]  one program of it, with arguments of unittest
source "$(dirname "$0")/common.bash"
here=$root/tests/sdk

# azureml-core names 3.11 as its last Python: a newer one is taken only when there is no other.
interpreter() {
  local name
  for name in python3.11 python3.10 python3.12 python3; do
    if "$name" -c 'import ensurepip, venv' 2>/dev/null; then echo "$name"; return; fi
  done
  echo "no Python with venv: install python3-venv" >&2
  return 1
}

interpreter=$(interpreter)
python=$(python_environment azureml "$here/requirements.txt" "$interpreter")/bin/python

gateway_port=$(free_port); issuer_port=$(free_port)
gateway_url=https://localhost:$gateway_port; issuer_url=https://localhost:$issuer_port
mkdir "$work/home" "$work/tmp"

debian openssl
certificate rsa rsa:2048
certificate p256 ec -pkeyopt ec_paramgen_curve:P-256
certificate unregistered rsa:2048

# The issuers that the service may trust. One has no discovery; of one nobody has vouched for the certificate. The CA
# comes with the quickstart: its file is read when keys are fetched.
issuers() {
  local name
  for name in cluster counted rotating unsteady failing misnamed elsewhere; do
    printf '{issuer="%s/%s",ca_file="%s",allow_private_addresses=true},' "$issuer_url" "$name" "$work/data/ca.pem"
  done
  printf '{issuer="%s/bare",ca_file="%s",jwks_uri="%s/bare/keys",allow_private_addresses=true},' "$issuer_url" "$work/data/ca.pem" "$issuer_url"
  printf '{issuer="%s/unverified",allow_private_addresses=true}' "$issuer_url"
}
WSTS_FEDERATION__ISSUERS="[$(issuers)]"
export WSTS_FEDERATION__ISSUERS
# The refusals of two programs come from one client at one address, and by the hundred.
export WSTS_LIMITS__MAX_FAILURES_PER_MINUTE=0
start_service

# A workspace with more webservices than fit on one page of a list.
crowd() {
  local workspace=/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/sdk-rg
  workspace+=/providers/Microsoft.MachineLearningServices/workspaces/crowded
  printf '\n[[workspaces]]\nid = "%s"\nhome_region = "local"\n' "$workspace"
  printf '\n[[role_assignments]]\nprincipal = "%s"\nrole = "Reader"\nscope = "%s"\n' "$reader" "$workspace"
  for number in $(seq 205); do
    printf '\n[[webservices]]\nworkspace = "%s"\nname = "one-of-many-%s"\ncompute_type = "AKS"\n' "$workspace" "$number"
  done
}

# The suite's registry, with what is new in each run.
registry() {
  sed -e "s|GATEWAY|$gateway_url|; s|ISSUER|$issuer_url|" \
    -e "/^RSA\$/{r $work/keys/rsa.crt" -e 'd}' -e "/^P256\$/{r $work/keys/p256.crt" -e 'd}' "$here/registry.toml"
}

reader=a0000000-0000-0000-0000-000000000001
(registry; crowd) >"$work/registry.toml"
"$wsts" apply --config "$work/data/wsts.toml" --file "$work/registry.toml" --secrets-to "$work/secrets" >"$work/applied"

# What the clients see of the world: nothing of this machine's own settings or caches. A zone west of UTC, because v1
# makes local times of what the service says.
world=(
  TZ=PST8
  PATH="$PATH" HOME="$work/home" TMPDIR="$work/tmp" AZURE_CONFIG_DIR="$work/home/.azure" LANG=C.UTF-8
  REQUESTS_CA_BUNDLE="$ca" SSL_CERT_FILE="$ca"
  ARM_CLOUD_METADATA_URL="$base/metadata/endpoints?api-version=2019-05-01"
  WSTS_URL="$base" WSTS_OPS_URL="$ops" WSTS_SECRETS="$work/secrets" WSTS_KEYS="$work/keys"
  GATEWAY_URL="$gateway_url" ISSUER_URL="$issuer_url"
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here" PYTHONWARNINGS=ignore
)

# Starts a program that listens at a port, and waits until it answers there.
start_program() {
  local name=$1 port=$2 path=$3
  env --ignore-environment "${world[@]}" "$python" "$here/$name.py" --port "$port" \
    --certificate "$work/data/server.pem" --key "$work/data/server.key" >"$work/$name.log" 2>&1 &
  programs+=($!)
  for _ in $(seq 100); do
    curl -sS --fail --cacert "$ca" "https://localhost:$port$path" >/dev/null 2>&1 && return
    kill -0 "${programs[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "the $name did not start:"; cat "$work/$name.log"; return 1
}
start_program gateway "$gateway_port" /none/statuses
start_program issuer "$issuer_port" /none/requested

run_tests() {
  echo "-- $1"
  # Not from within a work tree: what the SDKs send must not depend on this one.
  env --chdir="$work/tmp" --ignore-environment "${world[@]}" "$python" -m unittest --buffer "$@" 2>&1
}

if [ $# -gt 0 ]; then
  run_tests "$@"
  exit
fi
failed=0
for program in test_msal test_identity test_certificates test_workload test_v1 test_v2 test_bad_input; do
  run_tests "$program" || failed=1
done

# The examples, as a Reader of the workspace.
example=(
  "${world[@]}"
  AZURE_TENANT_ID=11111111-1111-1111-1111-111111111111 AZURE_CLIENT_ID="$reader"
  AZURE_CLIENT_SECRET="$("$python" -c 'import json, sys
print(next(line["client_secret"] for line in map(json.loads, sys.stdin) if line["client_id"] == sys.argv[1]))' \
    "$reader" <"$work/secrets")"
  AZURE_SUBSCRIPTION_ID=22222222-2222-2222-2222-222222222222 AZURE_RESOURCE_GROUP=sdk-rg
  AZUREML_WORKSPACE=sdk AZUREML_WEBSERVICE=token-aks WSTS_CA="$ca"
)
run_example() {
  local expected=$1 output
  shift
  echo "-- ${*: -1}"
  output=$(env --chdir="$root/examples" --ignore-environment "${example[@]}" "$@" 2>&1) &&
    grep -q "$expected" <<<"$output" && return
  printf '%s\n' "the example did not end with: $expected" "$output"
  return 1
}
run_example '"model": "token-aks"' "$python" "$here/guard.py" azureml-v1/score.py || failed=1
run_example '"model": "token-aks"' "$python" "$here/guard.py" azureml-v2/score.py || failed=1
run_example 'the JWKS names the key of the token' bash curl/tokens.sh || failed=1
exit "$failed"
