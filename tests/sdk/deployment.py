"""The deployment that azureml.sh started: where it is, who is in its registry, and plain requests to it.

Knows no SDK: what a client is checked against must not come from a client.
"""

import json
import os
import re
import time
from pathlib import Path

import jwt
import requests

BASE = os.environ["WSTS_URL"]
OPS = os.environ["WSTS_OPS_URL"]
GATEWAY = os.environ["GATEWAY_URL"]
ISSUER = os.environ["ISSUER_URL"]

TENANT = "11111111-1111-1111-1111-111111111111"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
GROUP, WORKSPACE = "sdk-rg", "sdk"
OTHER_GROUP, OTHER_WORKSPACE = "other-rg", "elsewhere"
# Has more webservices than one page of a list holds: azureml.sh makes them.
CROWDED_WORKSPACE, CROWD = "crowded", 205

READER, CONTRIBUTOR, STRANGER, NEIGHBOUR, CERTIFIED, WORKLOAD, OWNER = (
    f"a0000000-0000-0000-0000-00000000000{n}" for n in range(1, 8)
)
SECRETS = {
    line["client_id"]: line["client_secret"]
    for line in map(json.loads, Path(os.environ["WSTS_SECRETS"]).read_text().splitlines())
}


def workspace_id(group=GROUP, workspace=WORKSPACE):
    provider = "Microsoft.MachineLearningServices"
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/{provider}/workspaces/{workspace}"


def audience(name):
    """The audience of a webservice's tokens."""
    return f"{BASE}{workspace_id()}/onlineEndpoints/{name}"


def fetch_token(client_id, resource=BASE):
    """A management token, or in one round trip a webservice's: whatever `resource` names."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": SECRETS[client_id],
        "resource": resource,
    }
    answer = requests.post(f"{BASE}/{TENANT}/oauth2/v2.0/token", data=form, timeout=10)
    answer.raise_for_status()
    return answer.json()["access_token"]


def claims_of(token, expected_audience):
    """What a token says, once PyJWT has verified it with the public JWKS."""
    key = jwt.PyJWKClient(f"{BASE}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    required = {"require": ["exp", "iat", "nbf", "jti", "sub"]}
    return jwt.decode(
        token, key.key, algorithms=["ES256"], audience=expected_audience, issuer=BASE, options=required
    )


class Caller:
    """A principal that sends plain requests with a management token."""

    def __init__(self, client_id):
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {fetch_token(client_id)}"

    def v1(self, method, path, workspace=None, **request):
        """A request to model management; `path` begins behind the workspace."""
        url = f"{BASE}/modelmanagement/v1.0{workspace or workspace_id()}{path}"
        return self.session.request(method, url, timeout=10, **request)

    def v2(self, method, path, workspace=None, params=(("api-version", "2022-02-01-preview"),), **request):
        """The same to ARM."""
        url = f"{BASE}{workspace or workspace_id()}{path}"
        return self.session.request(method, url, params=params, timeout=10, **request)


def score(name, credential=None):
    """The status of one scoring request at the gateway."""
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return requests.post(f"{GATEWAY}/{name}/score", json={"data": [1, 2]}, headers=headers, timeout=10).status_code


def refuse_once(name):
    """Has the gateway answer the next scoring request of a webservice with 401, and forget the ones before."""
    requests.post(f"{GATEWAY}/{name}/refuse-once", timeout=10).raise_for_status()


def statuses(name):
    """What the gateway answered to the scoring requests of a webservice since `refuse_once`."""
    return requests.get(f"{GATEWAY}/{name}/statuses", timeout=10).json()


def _count(metric):
    text = requests.get(f"{OPS}/metrics", timeout=10).text
    return sum(map(int, re.findall(rf"^{metric} (\d+)$", text, re.MULTILINE)))


def token_requests():
    """Requests for tokens at the OAuth endpoints so far, as the service counts them."""
    return _count(r'sts_token_requests_total\{.*endpoint="oauth".*\}')


def requests_answered():
    """All requests so far, but those for metrics."""
    return _count(r"http_server_request_duration_seconds_count\{.*\}")


def wait_until(condition, seconds):
    """Whether a condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
