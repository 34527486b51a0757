"""A gateway as it would stand before models: lets in who has a token, or a key, of the webservice in the path.

Tokens are checked offline with the JWKS. What auth mode a webservice has, and its keys, is fetched as a Contributor
and kept for a second. Two more paths are for the tests: one has it refuse a good request, one tells what it answered.
"""

import collections
import hmac
import json
import time

import jwt

import deployment
import webserver

KEEP_SECONDS = 1

jwks = jwt.PyJWKClient(f"{deployment.BASE}/.well-known/jwks.json")
kept = {}
refusing = set()
answered = collections.defaultdict(list)


def facts(name):
    """Auth mode and keys of a webservice; None when there is no such webservice."""
    fetched_at, found = kept.get(name, (-KEEP_SECONDS, None))
    if time.monotonic() - fetched_at >= KEEP_SECONDS:
        found = fetch(name)
        kept[name] = (time.monotonic(), found)
    return found


def fetch(name):
    caller = deployment.Caller(deployment.CONTRIBUTOR)
    endpoint = caller.v2("GET", f"/onlineEndpoints/{name}")
    if endpoint.status_code != 200:
        return None
    mode = endpoint.json()["properties"]["authMode"]
    if mode != "Key":
        return mode, []
    keys = caller.v2("POST", f"/onlineEndpoints/{name}/listKeys")
    return mode, list(keys.json().values()) if keys.status_code == 200 else []


def is_token(credential, name):
    try:
        key = jwks.get_signing_key_from_jwt(credential)
        audience = deployment.audience(name)
        jwt.decode(credential, key.key, algorithms=["ES256"], audience=audience, issuer=deployment.BASE)
    except jwt.PyJWTError:
        return False
    return True


def is_let_in(name, credential):
    match facts(name):
        case ("None", _):
            return True
        case ("AMLToken", _):
            return is_token(credential, name)
        case ("Key", keys):
            given = credential.encode()
            return any([hmac.compare_digest(given, key.encode()) for key in keys])
        case _:
            return False


class Gateway(webserver.Handler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, name, verb = self.path.split("/")
        if verb == "refuse-once":
            answered[name].clear()
            refusing.add(name)
            return self.answer(200, {})
        status = self.judge(name)
        answered[name].append(status)
        if status == 200:
            self.answer(200, {"model": name, "received": json.loads(body)})
        else:
            # An object: the v2 SDK can't read anything else under `error`.
            self.answer(401, {"error": {"code": "Unauthorized", "message": "send a token or key of this webservice"}})

    def do_GET(self):
        _, name, _ = self.path.split("/")
        self.answer(200, answered[name])

    def judge(self, name):
        if name in refusing:
            refusing.discard(name)
            return 401
        scheme, _, credential = self.headers.get("Authorization", "").partition(" ")
        return 200 if is_let_in(name, credential if scheme == "Bearer" else "") else 401


if __name__ == "__main__":
    webserver.serve(Gateway, __doc__)
