#!/usr/bin/env bash
# Azure's own SDKs for Python, unpatched, against the service and a scoring gateway; then the examples, as they stand.
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

venv=$tools/azureml-$(sha256sum <"$here/requirements.txt" | cut -c1-12)
if [ ! -e "$venv/complete" ]; then
  "$(interpreter)" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  touch "$venv/complete"
fi
python=$venv/bin/python

start_service
port=$(free_port)
gateway_url=https://localhost:$port
mkdir "$work/home" "$work/tmp"

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

reader=a0000000-0000-0000-0000-000000000001
(sed "s|GATEWAY|$gateway_url|" "$here/registry.toml"; crowd) >"$work/registry.toml"
"$wsts" apply --config "$work/data/wsts.toml" --file "$work/registry.toml" --secrets-to "$work/secrets" >"$work/applied"

# What the clients see of the world: nothing of this machine's own settings or caches. A zone west of UTC, because v1
# makes local times of what the service says.
world=(
  TZ=PST8
  PATH="$PATH" HOME="$work/home" TMPDIR="$work/tmp" AZURE_CONFIG_DIR="$work/home/.azure" LANG=C.UTF-8
  REQUESTS_CA_BUNDLE="$ca" SSL_CERT_FILE="$ca"
  ARM_CLOUD_METADATA_URL="$base/metadata/endpoints?api-version=2019-05-01"
  WSTS_URL="$base" WSTS_OPS_URL="$ops" WSTS_SECRETS="$work/secrets" GATEWAY_URL="$gateway_url"
  PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here" PYTHONWARNINGS=ignore
)

env --ignore-environment "${world[@]}" "$python" "$here/gateway.py" --port "$port" \
  --certificate "$work/data/server.pem" --key "$work/data/server.key" >"$work/gateway.log" 2>&1 &
gateway=$!
trap 'kill "$gateway" 2>/dev/null || true; wait "$gateway" 2>/dev/null || true; finish' EXIT
for _ in $(seq 100); do
  curl -sS --fail --cacert "$ca" "$gateway_url/none/statuses" >/dev/null 2>&1 && break
  kill -0 "$gateway" 2>/dev/null || { echo "the gateway did not start:"; cat "$work/gateway.log"; exit 1; }
  sleep 0.1
done

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
for program in test_msal test_identity test_v1 test_v2 test_bad_input; do
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
