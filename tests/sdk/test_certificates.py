"""Certificates in the place of secrets: MSAL, azure-identity and azure-ai-ml, and assertions that are refused."""

import base64
import hmac
import os
import time
import unittest
from unittest import mock

import msal
import requests
from azure.ai.ml import MLClient
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientAssertionCredential, EnvironmentCredential
from azure.identity.aio import CertificateCredential as AsyncCertificateCredential
from azure.identity.aio import EnvironmentCredential as AsyncEnvironmentCredential
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from jwt.algorithms import RSAAlgorithm

import assertions
import deployment
import guard
from assertions import (
    MISDIRECTED, P256, RSA, SCOPE, TOKEN_ENDPOINT, UNKNOWN_CLIENT, UNMATCHED, UNPROVEN, UNREADABLE, UNREGISTERED,
    UNTIMELY, AssertionTest, base64url, compact, present, sign, unverified,
)
from deployment import BASE, CERTIFIED, GROUP, ISSUER, OWNER, READER, SECRETS, SUBSCRIPTION, TENANT, WORKSPACE

# What `EnvironmentCredential` reads.
ENVIRONMENT = {
    "AZURE_AUTHORITY_HOST": BASE,
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": CERTIFIED,
    "AZURE_CLIENT_CERTIFICATE_PATH": RSA.path,
}


def tearDownModule():
    guard.check()


class Client(requests.Session):
    """An HTTP client for MSAL, which takes any, that keeps the assertions it sends."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def post(self, url, data=None, **options):
        self.sent.append(data["client_assertion"])
        return super().post(url, data=data, timeout=10, **options)


class Msal(unittest.TestCase):
    def application(self, credential, **options):
        self.client = Client()
        if "oidc_authority" not in options:
            options = {"authority": f"{BASE}/{TENANT}", "instance_discovery": False} | options
        return msal.ConfidentialClientApplication(CERTIFIED, credential, http_client=self.client, **options)

    def sent_header(self, credential, **options):
        """The header of the assertion with which MSAL got a token; the claims are the same in all its forms."""
        answer = self.application(credential, **options).acquire_token_for_client([SCOPE])
        self.assertIn("access_token", answer, answer)
        self.assertEqual(deployment.claims_of(answer["access_token"], BASE)["client_id"], CERTIFIED)
        header, claims = unverified(self.client.sent[0])
        self.assertEqual((claims["iss"], claims["sub"]), (CERTIFIED, CERTIFIED))
        self.assertIsInstance(claims["exp"], float)
        self.assertNotIn("nbf", claims)
        return header

    def test_a_thumbprint(self):
        header = self.sent_header({"private_key": RSA.key, "thumbprint": RSA.sha1.hex()})
        self.assertEqual((header["alg"], header["x5t"]), ("RS256", base64url(RSA.sha1)))
        self.assertTrue(header["x5t"].endswith("="))
        self.assertNotIn("x5c", header)

    def test_a_thumbprint_with_the_certificate(self):
        credential = {"private_key": RSA.key, "thumbprint": RSA.sha1.hex(), "public_certificate": RSA.text}
        header = self.sent_header(credential)
        self.assertEqual((header["alg"], header["x5t"]), ("RS256", base64url(RSA.sha1)))
        # Line breaks are no base64 (RFC 7515, section 4.1.6), but MSAL sends them.
        self.assertIn("\n", header["x5c"][0])

    def test_a_certificate(self):
        for authority in ({}, {"oidc_authority": f"{BASE}/{TENANT}/v2.0"}):
            with self.subTest(authority):
                header = self.sent_header({"private_key": RSA.key, "public_certificate": RSA.text}, **authority)
                self.assertEqual((header["alg"], header["x5t#S256"]), ("PS256", base64url(RSA.sha256)))
                self.assertTrue(header["x5t#S256"].endswith("="))
                self.assertIn("\n", header["x5c"][0])

    def test_the_alias_that_makes_msal_use_older_ways(self):
        credential = {"private_key": RSA.key, "public_certificate": RSA.text}
        header = self.sent_header(credential, authority=f"{BASE}/adfs/{TENANT}")
        self.assertEqual((header["alg"], header["x5t"]), ("RS256", base64url(RSA.sha1)))
        self.assertNotIn("x5t#S256", header)

    def test_one_assertion_for_several_tokens(self):
        """MSAL keeps an assertion for nine minutes, and shows it whenever it asks."""
        app = self.application({"private_key": RSA.key, "public_certificate": RSA.text})
        audience = deployment.audience("token-aks")
        for scope, expected in ((SCOPE, BASE), (f"{audience}/.default", audience)):
            answer = app.acquire_token_for_client([scope])
            self.assertEqual(answer["token_source"], "identity_provider")
            deployment.claims_of(answer["access_token"], expected)
        self.assertEqual(len(self.client.sent), 2)
        self.assertEqual(*self.client.sent)

    def test_a_webservice_token_in_one_round_trip(self):
        audience = deployment.audience("token-aks")
        app = self.application({"private_key": RSA.key, "thumbprint": RSA.sha1.hex()})
        answer = app.acquire_token_for_client([f"{audience}/.default"])
        self.assertEqual(deployment.claims_of(answer["access_token"], audience)["client_id"], CERTIFIED)
        self.assertEqual(len(self.client.sent), 1)
        self.assertEqual(deployment.score("token-aks", answer["access_token"]), 200)
        self.assertEqual(deployment.score("token-kubernetes", answer["access_token"]), 401)

    def test_a_certificate_or_a_key_of_somebody_else(self):
        code, words = UNPROVEN
        for credential in (
            {"private_key": UNREGISTERED.key, "thumbprint": UNREGISTERED.sha1.hex()},
            {"private_key": UNREGISTERED.key, "public_certificate": UNREGISTERED.text},
            {"private_key": UNREGISTERED.key, "thumbprint": RSA.sha1.hex()},
            {"private_key": UNREGISTERED.key, "thumbprint": RSA.sha1.hex(), "public_certificate": UNREGISTERED.text},
        ):
            with self.subTest(names=sorted(credential)):
                answer = self.application(credential).acquire_token_for_client([SCOPE])
                self.assertEqual((answer["error"], answer["error_codes"]), ("invalid_client", [code]))
                self.assertIn(words, answer["error_description"])

    def test_a_refusal_is_not_held_against_the_right_key(self):
        """MSAL would remember a 400 for a minute."""
        app = self.application({"private_key": UNREGISTERED.key, "thumbprint": RSA.sha1.hex()})
        for _ in range(2):
            self.assertNotIn("access_token", app.acquire_token_for_client([SCOPE]))
        self.assertEqual(len(self.client.sent), 2)


class Identity(unittest.TestCase):
    def setUp(self):
        self.sent = []

    def keep(self, request):
        if request.http_request.method == "POST":
            self.sent.append(request.http_request.data["client_assertion"])

    def credential(self, certificate=RSA, **options):
        options = {"authority": BASE, "disable_instance_discovery": True, "raw_request_hook": self.keep} | options
        return CertificateCredential(TENANT, CERTIFIED, certificate.path, **options)

    def check_token(self, credential, audience=BASE):
        token = credential.get_token(f"{audience}/.default").token
        self.assertEqual(deployment.claims_of(token, audience)["client_id"], CERTIFIED)
        return token

    def test_certificate_credential(self):
        self.check_token(self.credential())
        header, claims = unverified(self.sent[0])
        self.assertEqual((header["alg"], header["x5t"]), ("RS256", base64url(RSA.sha1)))
        self.assertNotIn("x5c", header)
        self.assertIsInstance(claims["iat"], float)

    def test_with_the_chain(self):
        self.check_token(self.credential(send_certificate_chain=True))
        header, _ = unverified(self.sent[0])
        self.assertEqual(len(header["x5c"]), 1)

    def test_environment_credential(self):
        with mock.patch.dict(os.environ, ENVIRONMENT):
            self.check_token(EnvironmentCredential(disable_instance_discovery=True))

    def test_a_webservice_token_in_one_round_trip(self):
        token = self.check_token(self.credential(), deployment.audience("token-aks"))
        self.assertEqual(len(self.sent), 1)
        self.assertEqual(deployment.score("token-aks", token), 200)

    def test_a_certificate_that_nobody_registered(self):
        with self.assertRaisesRegex(ClientAuthenticationError, UNPROVEN[1]):
            self.credential(UNREGISTERED).get_token(SCOPE)

    def test_an_elliptic_curve(self):
        """The credential for certificates can't, but the one for assertions takes what PyJWT makes."""
        credential = ClientAssertionCredential(TENANT, CERTIFIED, lambda: sign(P256, "ES256"), authority=BASE)
        token = self.check_token(credential, deployment.audience("token-aks"))
        self.assertEqual(deployment.score("token-aks", token), 200)

    def test_the_token_of_an_endpoint(self):
        endpoints = MLClient(self.credential(), SUBSCRIPTION, GROUP, WORKSPACE).online_endpoints
        token = endpoints.get_keys("token-aks").access_token
        self.assertEqual(deployment.claims_of(token, deployment.audience("token-aks"))["client_id"], CERTIFIED)
        self.assertEqual(deployment.score("token-aks", token), 200)


class AsyncIdentity(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.sent = []

    def keep(self, request):
        self.sent.append(request.http_request.data["client_assertion"])

    def credential(self, certificate=RSA):
        return AsyncCertificateCredential(
            TENANT, CERTIFIED, certificate.path, authority=BASE, raw_request_hook=self.keep
        )

    async def check_token(self, credential, audience=BASE):
        async with credential:
            token = (await credential.get_token(f"{audience}/.default")).token
        self.assertEqual(deployment.claims_of(token, audience)["client_id"], CERTIFIED)
        return token

    async def test_certificate_credential(self):
        await self.check_token(self.credential())
        header, claims = unverified(self.sent[0])
        self.assertEqual((header["alg"], header["x5t#S256"]), ("PS256", base64url(RSA.sha256)))
        self.assertEqual((claims["exp"] - claims["nbf"], "iat" in claims), (1800, False))
        # Against RFC 7515, section 2. The header is padded too, but its length asks for nothing.
        parts = self.sent[0].split(".")
        self.assertTrue(all(len(part) % 4 == 0 for part in parts), parts)
        self.assertTrue(parts[1].endswith("=") and parts[2].endswith("="), parts)

    async def test_environment_credential(self):
        with mock.patch.dict(os.environ, ENVIRONMENT):
            await self.check_token(AsyncEnvironmentCredential())

    async def test_a_webservice_token_in_one_round_trip(self):
        token = await self.check_token(self.credential(), deployment.audience("token-aks"))
        self.assertEqual(deployment.score("token-aks", token), 200)

    async def test_a_certificate_that_nobody_registered(self):
        async with self.credential(UNREGISTERED) as asking:
            with self.assertRaisesRegex(ClientAuthenticationError, UNPROVEN[1]):
                await asking.get_token(SCOPE)


class Accepted(AssertionTest):
    """Assertions as the RFCs allow them, whether or not one of Azure's clients makes them so."""

    def test_each_name_of_a_certificate(self):
        for certificate, algorithm in ((RSA, "RS256"), (RSA, "PS256"), (P256, "ES256")):
            for name, value in (("x5t", certificate.sha1), ("x5t#S256", certificate.sha256)):
                for written in (base64url(value), base64url(value).rstrip("=")):
                    with self.subTest(algorithm=algorithm, header={name: written}):
                        self.accepted(sign(certificate, algorithm, {name: written}))

    def test_the_id_that_the_service_gave_a_certificate(self):
        url = f"{BASE}/v1.0/servicePrincipals/{CERTIFIED.replace('a', 'b', 1)}/keyCredentials"
        listed = deployment.Caller(OWNER).session.get(url, timeout=10).json()["value"]
        ids = {base64.b64decode(entry["customKeyIdentifier"]): entry["keyId"] for entry in listed}
        for certificate, algorithm in ((RSA, "PS256"), (P256, "ES256")):
            self.accepted(sign(certificate, algorithm, {"kid": ids[certificate.sha1]}))

    def test_the_client_id_is_left_out(self):
        """The assertion says it (RFC 7521, section 4.2)."""
        self.assertEqual(present(sign(), client_id=None).status_code, 200)

    def test_each_audience(self):
        for endpoint in (TOKEN_ENDPOINT, f"{BASE}/{TENANT}/oauth2/token", f"{BASE}/oauth2/token"):
            for audience in (BASE, endpoint):
                with self.subTest(endpoint=endpoint, audience=audience):
                    self.accepted(sign(aud=audience), endpoint=endpoint)

    def test_the_same_one_again(self):
        assertion = sign()
        self.assertNotEqual(self.accepted(assertion), self.accepted(assertion))

    def test_times(self):
        now = time.time()
        for times in (
            {"iat": None}, {"nbf": None}, {"iat": None, "nbf": None}, {"exp": now + 599.5, "iat": now, "nbf": now},
            {"exp": int(now) + 1800},
            # Clocks may differ by a minute.
            {"exp": now - 20, "iat": now - 600, "nbf": now - 600}, {"nbf": now + 20, "iat": now + 20},
        ):
            with self.subTest(times):
                self.accepted(sign(**times))

    def test_padding_in_all_parts(self):
        key = serialization.load_pem_private_key(RSA.key.encode(), None)
        padded, bare = base64url(RSA.sha256), base64url(RSA.sha256).rstrip("=")
        seen = [set(), set()]
        for number, header in enumerate(({"x5t#S256": padded}, {"x5t#S256": bare}, {"typ": "JWT", "x5t#S256": bare})):
            assertion = compact(
                {"alg": "RS256"} | header, assertions.claims(jti="1" * (number + 1)),
                lambda signed: key.sign(signed, padding.PKCS1v15(), hashes.SHA256()),
            )
            for lengths, part in zip(seen, assertion.split(".")):
                lengths.add(part.count("="))
            self.accepted(assertion)
        self.assertEqual(seen, [{0, 1, 2}, {0, 1, 2}])


class Refused(AssertionTest):
    def test_somebody_elses_certificate(self):
        self.refused(sign(UNREGISTERED), UNPROVEN)

    def test_another_key_under_the_right_name(self):
        self.refused(sign(key=UNREGISTERED.key), UNPROVEN)
        self.refused(sign(key=UNREGISTERED.key, algorithm="RS256", header={"x5t": base64url(RSA.sha1)}), UNPROVEN)

    def test_no_name_of_a_key(self):
        self.refused(sign(header={"typ": "JWT"}), UNREADABLE)
        self.refused(sign(header={"kid": "a name that only the client knows"}), UNPROVEN)

    def test_names_of_two_keys(self):
        header = {"x5t": base64url(RSA.sha1), "x5t#S256": base64url(P256.sha256)}
        self.refused(sign(header=header), UNPROVEN)

    def test_another_principals_assertion(self):
        self.refused(sign(), UNPROVEN, client_id=READER)
        self.refused(sign(iss=READER, sub=READER), UNPROVEN, client_id=READER)

    def test_an_unknown_client(self):
        for certificate in (UNREGISTERED, RSA):
            assertion = sign(certificate, iss=UNKNOWN_CLIENT, sub=UNKNOWN_CLIENT)
            self.refused(assertion, UNPROVEN, client_id=UNKNOWN_CLIENT)

    def test_without_a_key_nobody_learns_which_clients_exist(self):
        now = int(time.time())
        for changed in ({}, {"exp": now - 600}, {"aud": "https://elsewhere.example"}, {"exp": now + 7200}):
            with self.subTest(changed):
                said = {
                    self.refused(sign(UNREGISTERED, iss=client, sub=client, **changed), UNPROVEN, client_id=client)
                    for client in (CERTIFIED, READER, UNKNOWN_CLIENT)
                }
                self.assertEqual(len(said), 1, said)

    def test_untimely(self):
        now = int(time.time())
        for times in (
            {"exp": now - 120, "iat": now - 720, "nbf": now - 720},
            {"exp": now + 900, "nbf": now + 300},
            {"exp": now + 900, "iat": now + 300, "nbf": None},
            # Nobody needs two hours to hand in an assertion.
            {"exp": now + 7200}, {"exp": now + 7200, "iat": None}, {"exp": now + 7200, "iat": None, "nbf": None},
        ):
            with self.subTest({name: value and value - now for name, value in times.items()}):
                self.refused(sign(**times), UNTIMELY)

    def test_for_somebody_else(self):
        for audience in (
            "https://elsewhere.example/oauth2/v2.0/token", f"{BASE}/oauth2/token", f"{BASE}/{TENANT}/oauth2/token",
            f"{BASE}/{TENANT}", f"{BASE}.evil", deployment.audience("token-aks"), "api://AzureADTokenExchange", "",
        ):
            with self.subTest(audience=audience):
                self.refused(sign(aud=audience), MISDIRECTED)

    def test_issuer_and_subject(self):
        self.refused(sign(sub=READER), UNREADABLE)
        self.refused(sign(iss=READER), UNPROVEN)
        # From another issuer, as far as anyone can tell: and this principal trusts none.
        self.refused(sign(iss="https://elsewhere.example"), UNMATCHED)

    def test_missing_claims(self):
        for name in ("jti", "exp", "aud", "sub", "iss"):
            with self.subTest(name):
                self.refused(sign(**{name: None}), UNREADABLE)

    def test_a_public_key_as_a_secret(self):
        public = serialization.load_pem_private_key(RSA.key.encode(), None).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        for secret in (
            RSA.text.encode(), RSA.text.strip().encode(), public.public_bytes(serialization.Encoding.PEM, form),
            public.public_bytes(serialization.Encoding.DER, form),
        ):
            header = {"alg": "HS256", "typ": "JWT", "x5t#S256": base64url(RSA.sha256)}
            with self.subTest(secret=secret[:30]):
                make = lambda signed: hmac.digest(secret, signed, "sha256")
                self.refused(compact(header, assertions.claims(), make), UNREADABLE)

    def test_no_signature(self):
        for algorithm, expected in (
            ("none", UNREADABLE), ("None", UNREADABLE), ("", UNREADABLE), ("RS256", UNPROVEN), ("PS256", UNPROVEN),
        ):
            header = {"alg": algorithm, "typ": "JWT", "x5t#S256": base64url(RSA.sha256)}
            with self.subTest(algorithm):
                self.refused(compact(header, assertions.claims(), lambda _: b""), expected)

    def test_a_key_that_comes_along(self):
        """The chain is never believed, nor any other key, nor an address of one."""
        body = "".join(UNREGISTERED.text.split("-----")[2].split())
        thumbprint = {"x5t#S256": base64url(UNREGISTERED.sha256)}
        key = serialization.load_pem_private_key(UNREGISTERED.key.encode(), None).public_key()
        for more, expected in (
            ({"x5c": [body]}, UNPROVEN), ({"jwk": RSAAlgorithm.to_jwk(key, as_dict=True)}, UNREADABLE),
            ({"x5u": f"{ISSUER}/cluster/keys"}, UNREADABLE), ({"jku": f"{ISSUER}/cluster/keys"}, UNREADABLE),
        ):
            with self.subTest(names=list(more)):
                self.refused(sign(UNREGISTERED, header=thumbprint | more), expected)
                self.refused(sign(key=UNREGISTERED.key, header={"x5t#S256": base64url(RSA.sha256)} | more), expected)

    def test_an_algorithm_that_is_not_the_keys(self):
        for certificate, algorithm, key, expected in (
            (P256, "RS256", RSA.key, UNPROVEN), (RSA, "ES256", P256.key, UNPROVEN),
            (RSA, "RS512", RSA.key, UNREADABLE), (RSA, "PS384", RSA.key, UNREADABLE),
        ):
            with self.subTest(algorithm):
                self.refused(sign(certificate, algorithm, key=key), expected)

    def test_a_changed_letter(self):
        good = sign()
        head, said, signature = good.split(".")
        another = "B" if signature[0] == "A" else "A"
        self.refused(f"{head}.{said}.{another}{signature[1:]}", UNPROVEN)
        self.refused(f"{head}.{sign().split('.')[1]}.{signature}", UNPROVEN)
        for wrong in (
            f"{head}.{said}", f"{good}.", f"{good}.{signature}", f" {good}", f"{good}\n", f"{head}=.{said}.{signature}",
        ):
            with self.subTest(end=wrong[-12:]):
                self.refused(wrong, UNREADABLE)
        self.accepted(good)

    def test_garbage(self):
        for garbage in ("x", "..", "a.b.c", "{}", "\0", "é" * 40, "e30.e30.e30", "W10.MQ.", "bnVsbA.bnVsbA.bnVsbA"):
            with self.subTest(garbage):
                self.refused(garbage, UNREADABLE)


class Malformed(AssertionTest):
    """Requests that are wrong whatever the assertion is worth."""

    def test_an_assertion_and_a_secret(self):
        for client_id, secret in ((CERTIFIED, "secret"), (READER, SECRETS[READER])):
            self.malformed(present(sign(), client_id, client_secret=secret), "client secret")
        form = {
            "grant_type": "client_credentials", "scope": SCOPE,
            "client_assertion_type": assertions.TYPE, "client_assertion": sign(),
        }
        # The secret in a header instead.
        basic = requests.post(TOKEN_ENDPOINT, data=form, auth=(READER, SECRETS[READER]), timeout=10)
        self.malformed(basic, "client secret")

    def test_two_assertions(self):
        self.malformed(present([sign(), sign()]), "client_assertion")

    def test_the_type(self):
        for kind in ("", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", [assertions.TYPE] * 2):
            with self.subTest(kind):
                self.malformed(present(sign(), client_assertion_type=kind), "client_assertion_type")

    def test_an_assertion_that_is_too_long(self):
        for length in (13_000, 20_000):
            with self.subTest(length):
                self.malformed(present(sign(more="x" * length)), "client_assertion")

    def test_one_that_is_longer_than_any_request(self):
        for length in (40_000, 400_000):
            answer = present("x" * length)
            self.assertEqual((answer.status_code, answer.json()["error"]), (413, "invalid_request"), answer.text)


class Metadata(unittest.TestCase):
    def test_the_method_is_listed(self):
        for path in ("", f"/{TENANT}/v2.0", f"/adfs/{TENANT}"):
            with self.subTest(path):
                answer = requests.get(f"{BASE}{path}/.well-known/openid-configuration", timeout=10).json()
                methods = answer["token_endpoint_auth_methods_supported"]
                self.assertLessEqual({"client_secret_post", "client_secret_basic", "private_key_jwt"}, set(methods))

    def test_a_principal_may_have_no_secret(self):
        self.assertNotIn(CERTIFIED, SECRETS)


if __name__ == "__main__":
    unittest.main()
