#!/usr/bin/env bash
# Every way to a token, by hand. See README.md for the environment variables.
set -euo pipefail
: "${WSTS_URL:?}" "${WSTS_CA:?}" "${AZURE_TENANT_ID:?}" "${AZURE_CLIENT_ID:?}" "${AZURE_CLIENT_SECRET:?}"
: "${AZURE_SUBSCRIPTION_ID:?}" "${AZURE_RESOURCE_GROUP:?}" "${AZUREML_WORKSPACE:?}" "${AZUREML_WEBSERVICE:?}"

workspace=/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/$AZURE_RESOURCE_GROUP
workspace+=/providers/Microsoft.MachineLearningServices/workspaces/$AZUREML_WORKSPACE
endpoint=$workspace/onlineEndpoints/$AZUREML_WEBSERVICE

sts() { curl --silent --show-error --fail-with-body --cacert "$WSTS_CA" "$@"; }
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# The secret and the tokens go by standard input, so that they are not in the list of processes.
oauth() {
  printf %s "$AZURE_CLIENT_SECRET" |
    sts "$WSTS_URL/$AZURE_TENANT_ID/oauth2/v2.0/token" --data grant_type=client_credentials \
      --data client_id="$AZURE_CLIENT_ID" --data-urlencode client_secret@- --data-urlencode scope="$1/.default"
}
authorized() { sts --header @- "$@" <<<"Authorization: Bearer $management_token"; }

# 1. A management token: it opens the API, never a webservice.
management_token=$(oauth "$WSTS_URL" | member access_token)
echo "a management token of ${#management_token} characters"

# 2. With it a webservice's token, as Azure ML v1 does it.
token=$(authorized --request POST "$WSTS_URL/modelmanagement/v1.0$workspace/services/$AZUREML_WEBSERVICE/token" |
  member accessToken)
echo "by v1 a token of ${#token} characters"

# 3. The same as Azure ML v2 does it.
token=$(authorized --request POST "$WSTS_URL$endpoint/token?api-version=2022-02-01-preview" | member accessToken)
echo "by v2 a token of ${#token} characters"

# 4. The same in one round trip, which is the way for callers without an SDK.
token=$(oauth "$WSTS_URL$endpoint" | member access_token)
echo "in one round trip a token of ${#token} characters"

# 5. What a gateway verifies it with: the key that the token's header names.
sts "$WSTS_URL/.well-known/jwks.json" | python3 -c '
import base64, json, sys
header = sys.argv[1]
kid = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
published = [key["kid"] for key in json.load(sys.stdin)["keys"]]
sys.exit(f"{kid} is not among {published}") if kid not in published else print("the JWKS names the key of the token")
' "${token%%.*}"
