"""Issuers of which principals may show tokens, as a Kubernetes cluster is one: discovery, keys, and who asked for them.

One program stands for all of them: the first segment of a path names the issuer, and with some something is wrong. As a
module it mints what a cluster mounts into its pods. The keys lie in a folder, so that tests sign with what is served.
"""

import collections
import json
import os
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import webserver
from deployment import ISSUER

SUBJECT = "system:serviceaccount:ml:scorer"
AUDIENCE = "api://AzureADTokenExchange"

# By kid. Of no use to the service is P-384: it is listed so that it can do harm to the others.
ALGORITHMS = {"rsa": "RS256", "pss": "PS256", "p256": "ES256", "ed25519": "EdDSA", "p384": "ES384"}


def new_key(algorithm):
    match algorithm:
        case "RS256" | "PS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()


def key_file(kid):
    return Path(os.environ["WSTS_KEYS"]) / f"issuer-{kid}.key"


def mint(kid="rsa", issuer="cluster", key=None, algorithm=None, **claims):
    """A token of a service account, with the header and the claims of Kubernetes. A claim of None is left out."""
    now = int(time.time())
    said = {
        "aud": [AUDIENCE],
        "exp": now + 3600,
        "iat": now,
        "iss": f"{ISSUER}/{issuer}",
        "jti": str(uuid.uuid4()),
        "kubernetes.io": {
            "namespace": "ml",
            "node": {"name": "node-1", "uid": str(uuid.uuid4())},
            "pod": {"name": "scorer-5d8f7c", "uid": str(uuid.uuid4())},
            "serviceaccount": {"name": "scorer", "uid": str(uuid.uuid4())},
        },
        "nbf": now,
        "sub": SUBJECT,
    } | claims
    said = {name: value for name, value in said.items() if value is not None}
    key = key or key_file(kid).read_bytes()
    return jwt.encode(said, key, algorithm or ALGORITHMS[kid], headers={"kid": kid, "typ": None})


def requested(issuer):
    """How often an issuer's configuration and keys were asked for."""
    return requests.get(f"{ISSUER}/{issuer}/requested", timeout=10).json()


def change(issuer, **state):
    """`keys`: the kids that it lists from now on; `fails`: whether it answers everything with 500."""
    requests.post(f"{ISSUER}/{issuer}/change", json=state, timeout=10).raise_for_status()


counts = collections.defaultdict(lambda: {"configuration": 0, "keys": 0})
states = collections.defaultdict(lambda: {"keys": list(ALGORITHMS), "fails": False})
states["rotating"]["keys"] = ["rsa"]
states["failing"]["fails"] = True


def configuration(name):
    # The same server under another name: another origin, and one that would do.
    origin = f"https://127.0.0.1:{urlsplit(ISSUER).port}" if name == "elsewhere" else ISSUER
    return {
        "issuer": f"{ISSUER}/{'cluster' if name == 'misnamed' else name}",
        "jwks_uri": f"{origin}/{name}/keys",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    }


def listed(kid):
    """A key's JWK. One has no `alg` and more members than a service needs, as Entra lists its own."""
    key = serialization.load_pem_private_key(key_file(kid).read_bytes(), None).public_key()
    jwk = jwt.get_algorithm_by_name(ALGORITHMS[kid]).to_jwk(key, as_dict=True)
    more = {"x5t": "AAAA", "cloud_instance_name": "example"} if kid == "pss" else {"alg": ALGORITHMS[kid]}
    return jwk | {"use": "sig", "kid": kid} | more


class Issuer(webserver.Handler):
    def do_GET(self):
        _, name, *document = self.path.split("/")
        match document:
            case ["requested"]:
                self.answer(200, counts[name])
            case [".well-known", "openid-configuration"] if name != "bare":
                self.serve(name, "configuration", configuration(name))
            case ["keys"]:
                self.serve(name, "keys", {"keys": [listed(kid) for kid in states[name]["keys"]]})
            case _:
                self.answer(404, {})

    def serve(self, name, what, document):
        counts[name][what] += 1
        if states[name]["fails"]:
            return self.answer(500, {})
        self.answer(200, document)

    def do_POST(self):
        _, name, _ = self.path.split("/")
        states[name] |= json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, {})


def main():
    for kid, algorithm in ALGORITHMS.items():
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_file(kid).write_bytes(new_key(algorithm).private_bytes(*form))
    webserver.serve(Issuer, __doc__)


if __name__ == "__main__":
    main()
