"""Assertions that no SDK would make, and what becomes of any when it is shown: by itself, and by an SDK to its user."""

import base64
import json
import os
import re
import time
import unittest
import uuid
from pathlib import Path

import jwt
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientAssertionCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from deployment import BASE, CERTIFIED, TENANT

SCOPE = f"{BASE}/.default"
TOKEN_ENDPOINT = f"{BASE}/{TENANT}/oauth2/v2.0/token"
UNKNOWN_CLIENT = "a0000000-0000-0000-0000-0000000000ff"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# What `error_codes` has, and the words by which a user knows what to mend.
UNPROVEN = 700027, "no certificate or key of it made this assertion"
UNTIMELY = 700024, "the assertion has expired or is not yet valid"
MISDIRECTED = 700023, "the assertion's audience"
UNMATCHED = 700213, "no federated credential"
UNREADABLE = 50027, "the assertion can't be taken"


def base64url(value):
    return base64.urlsafe_b64encode(value).decode()


class Certificate:
    """One that azureml.sh made: `path` has key and certificate, `key` and `text` have one of them."""

    def __init__(self, name):
        folder = Path(os.environ["WSTS_KEYS"])
        self.path = str(folder / f"{name}.pem")
        self.key = (folder / f"{name}.key").read_text()
        self.text = (folder / f"{name}.crt").read_text()
        parsed = x509.load_pem_x509_certificate(self.text.encode())
        self.sha1, self.sha256 = parsed.fingerprint(hashes.SHA1()), parsed.fingerprint(hashes.SHA256())


RSA, P256, UNREGISTERED = map(Certificate, ("rsa", "p256", "unregistered"))


def claims(**changed):
    """A good assertion's claims, changed; one of None is left out."""
    now = int(time.time())
    said = {
        "iss": CERTIFIED, "sub": CERTIFIED, "aud": TOKEN_ENDPOINT, "jti": str(uuid.uuid4()),
        "iat": now, "nbf": now, "exp": now + 600,
    } | changed
    return {name: value for name, value in said.items() if value is not None}


def sign(certificate=RSA, algorithm="PS256", header=None, key=None, **changed):
    header = header or {"x5t#S256": base64url(certificate.sha256)}
    return jwt.encode(claims(**changed), key or certificate.key, algorithm, headers=header)


def compact(header, said, make_signature):
    """A JWS by hand, padded as azure.identity.aio pads: for what PyJWT would not make."""
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, said))
    return f"{signed}.{base64url(make_signature(signed.encode()))}"


def unverified(assertion):
    """Header and claims."""
    return jwt.get_unverified_header(assertion), jwt.decode(assertion, options={"verify_signature": False})


def present(assertion, client_id=CERTIFIED, endpoint=TOKEN_ENDPOINT, **more):
    form = {
        "grant_type": "client_credentials", "client_id": client_id, "scope": SCOPE,
        "client_assertion_type": TYPE, "client_assertion": assertion,
    } | more
    return requests.post(endpoint, data=form, timeout=30)


class AssertionTest(unittest.TestCase):
    """What both kinds of assertions are checked with; `client_id` is who shows them."""

    client_id = CERTIFIED

    def accepted(self, assertion, **request):
        answer = present(assertion, self.client_id, **request)
        self.assertEqual(answer.status_code, 200, answer.text)
        return answer.json()["access_token"]

    def refused(self, assertion, expected, client_id=None):
        """By itself, with all that the answer says; then by an SDK, whose user has to see the words."""
        client_id = client_id or self.client_id
        code, words = expected
        answer = present(assertion, client_id)
        body = answer.json()
        told = answer.status_code, body["error"], body["error_codes"]
        self.assertEqual(told, (401, "invalid_client", [code]), body)
        self.assertIn(words, body["error_description"])
        self.assertNotIn("access_token", body)
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        asking = ClientAssertionCredential(TENANT, client_id, lambda: assertion, authority=BASE)
        with self.assertRaisesRegex(ClientAuthenticationError, re.escape(words)):
            asking.get_token(SCOPE)
        return body["error_description"]

    def malformed(self, answer, words):
        """A 400: the request, not the proof, is at fault."""
        body = answer.json()
        self.assertEqual((answer.status_code, body["error"]), (400, "invalid_request"), body)
        self.assertIn(words, body["error_description"])
