"""Other issuers' tokens in the place of secrets, as Kubernetes mounts them: azure-identity and azure-ai-ml."""

import hmac
import os
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from azure.ai.ml import MLClient
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential, WorkloadIdentityCredential
from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential
from cryptography.hazmat.primitives import serialization

import deployment
import guard
import issuer
from assertions import (
    RSA, SCOPE, UNKNOWN_CLIENT, UNMATCHED, UNREADABLE, UNTIMELY, AssertionTest, compact, present, unverified,
)
from deployment import BASE, CERTIFIED, GROUP, ISSUER, SUBSCRIPTION, TENANT, WORKLOAD, WORKSPACE
from issuer import AUDIENCE, change, mint, requested

RELEASER = "system:serviceaccount:ml:releaser"


def setUpModule():
    # The service waits before it asks an issuer again: that time passes during the tests before `Waiting`.
    for name, status in (("rotating", 200), ("failing", 503)):
        answer = present(mint(issuer=name), WORKLOAD)
        if answer.status_code != status:
            raise AssertionError(f"{name}: {answer.status_code} {answer.text}")


def tearDownModule():
    guard.check()


def mounted(token):
    """The path of a file as a cluster mounts one."""
    file = tempfile.NamedTemporaryFile("w", suffix=".token", delete=False)
    with file:
        file.write(token)
    return file.name


def credential(kind, token):
    return kind(tenant_id=TENANT, client_id=WORKLOAD, token_file_path=mounted(token), authority=BASE)


def environment(token):
    """What a cluster's webhook sets in a pod, with this service for Microsoft's."""
    return {
        "AZURE_AUTHORITY_HOST": BASE,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": WORKLOAD,
        "AZURE_FEDERATED_TOKEN_FILE": mounted(token),
    }


class Sync(unittest.TestCase):
    def check_token(self, credential, audience=BASE):
        token = credential.get_token(f"{audience}/.default").token
        self.assertEqual(deployment.claims_of(token, audience)["client_id"], WORKLOAD)
        return token

    def test_workload_identity_credential(self):
        token = mint()
        header, claims = unverified(token)
        self.assertEqual(header, {"alg": "RS256", "kid": "rsa"})
        self.assertEqual(claims["aud"], [AUDIENCE])
        self.check_token(credential(WorkloadIdentityCredential, token))

    def test_the_environment_of_a_pod(self):
        with mock.patch.dict(os.environ, environment(mint())):
            self.check_token(WorkloadIdentityCredential())
            self.check_token(DefaultAzureCredential())

    def test_a_webservice_token_in_one_round_trip(self):
        before = deployment.token_requests()
        token = self.check_token(credential(WorkloadIdentityCredential, mint()), deployment.audience("token-aks"))
        self.assertEqual(deployment.token_requests(), before + 1)
        self.assertEqual(deployment.score("token-aks", token), 200)
        self.assertEqual(deployment.score("token-kubernetes", token), 401)

    def test_the_token_of_an_endpoint(self):
        asking = credential(WorkloadIdentityCredential, mint())
        endpoints = MLClient(asking, SUBSCRIPTION, GROUP, WORKSPACE).online_endpoints
        token = endpoints.get_keys("token-aks").access_token
        self.assertEqual(deployment.claims_of(token, deployment.audience("token-aks"))["client_id"], WORKLOAD)
        self.assertEqual(deployment.score("token-aks", token), 200)

    def test_a_refusal_is_told(self):
        for token, (_, words) in (
            (mint(sub="system:serviceaccount:ml:default"), UNMATCHED),
            (mint(exp=int(time.time()) - 600), UNTIMELY),
            (mint(key=issuer.new_key("RS256")), UNMATCHED),
        ):
            with self.subTest(words), self.assertRaisesRegex(ClientAuthenticationError, words):
                credential(WorkloadIdentityCredential, token).get_token(SCOPE)


class Async(unittest.IsolatedAsyncioTestCase):
    async def check_token(self, credential, audience=BASE):
        async with credential:
            token = (await credential.get_token(f"{audience}/.default")).token
        self.assertEqual(deployment.claims_of(token, audience)["client_id"], WORKLOAD)
        return token

    async def test_workload_identity_credential(self):
        await self.check_token(credential(AsyncWorkloadIdentityCredential, mint("p256")))

    async def test_the_environment_of_a_pod(self):
        with mock.patch.dict(os.environ, environment(mint())):
            await self.check_token(AsyncWorkloadIdentityCredential())

    async def test_a_webservice_token_in_one_round_trip(self):
        asking = credential(AsyncWorkloadIdentityCredential, mint())
        token = await self.check_token(asking, deployment.audience("token-aks"))
        self.assertEqual(deployment.score("token-aks", token), 200)

    async def test_a_refusal_is_told(self):
        token = mint(aud=["api://somebody-else"])
        async with credential(AsyncWorkloadIdentityCredential, token) as asking:
            with self.assertRaisesRegex(ClientAuthenticationError, UNMATCHED[1]):
                await asking.get_token(SCOPE)


class Workload(AssertionTest):
    client_id = WORKLOAD

    def unavailable(self, token):
        """The service can't tell, so it is no refusal: the caller may try again."""
        answer = present(token, WORKLOAD)
        self.assertEqual((answer.status_code, answer.json()["error"]), (503, "temporarily_unavailable"), answer.text)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)


class Accepted(Workload):
    def test_each_key_of_the_issuer(self):
        # Beside them is one of a kind that the service does not know.
        self.assertIn("p384", issuer.ALGORITHMS)
        for kid in ("rsa", "pss", "p256", "ed25519"):
            with self.subTest(kid):
                self.accepted(mint(kid))
        # A key that does not say what it is for is for both kinds of signatures.
        self.accepted(mint("pss", algorithm="RS256"))

    def test_each_form_of_the_audience(self):
        for audience in (AUDIENCE, [AUDIENCE]):
            self.accepted(mint(aud=audience))

    def test_the_same_one_again(self):
        token = mint()
        self.assertNotEqual(self.accepted(token), self.accepted(token))

    def test_times(self):
        now = int(time.time())
        for times in (
            {"iat": None}, {"nbf": None}, {"jti": None}, {"iat": now + 0.25, "exp": now + 600.75},
            {"exp": now + 24 * 3600 - 5}, {"iat": now - 3600, "nbf": now - 3600, "exp": now - 20},
        ):
            with self.subTest(times):
                self.accepted(mint(**times))

    def test_a_further_claim(self):
        self.accepted(mint(sub=RELEASER, environment="production"))

    def test_an_issuer_without_discovery(self):
        self.accepted(mint(issuer="bare"))
        self.assertEqual(requested("bare"), {"configuration": 0, "keys": 1})


class Refused(Workload):
    def test_claims_that_no_credential_has(self):
        for changed in (
            {"sub": "system:serviceaccount:ml:default"}, {"sub": issuer.SUBJECT.upper()}, {"sub": f"{issuer.SUBJECT} "},
            {"sub": f"{issuer.SUBJECT}-2"}, {"sub": "system:serviceaccount:*:*"},
            {"aud": "https://kubernetes.default.svc"}, {"aud": [BASE]}, {"aud": AUDIENCE.lower()}, {"aud": []},
            {"iss": f"{ISSUER}/cluster/"}, {"iss": f"{ISSUER}/CLUSTER"}, {"iss": ISSUER},
            {"iss": "https://elsewhere.example"},
        ):
            with self.subTest(changed):
                self.refused(mint(**changed), UNMATCHED)

    def test_a_further_claim(self):
        for changed in ({}, {"environment": "test"}, {"environment": ["production"]}, {"environment": None}):
            with self.subTest(changed):
                self.refused(mint(sub=RELEASER, **changed), UNMATCHED)

    def test_an_issuer_that_is_not_configured(self):
        """The principal names it, but nobody said that the service may ask it."""
        self.refused(mint(issuer="untrusted"), UNMATCHED)
        self.assertEqual(requested("untrusted"), {"configuration": 0, "keys": 0})

    def test_another_principal(self):
        for client_id in (CERTIFIED, UNKNOWN_CLIENT):
            with self.subTest(client_id):
                self.refused(mint(), UNMATCHED, client_id=client_id)

    def test_untimely(self):
        now = int(time.time())
        for times in (
            {"exp": now - 120, "iat": now - 3600, "nbf": now - 3600}, {"nbf": now + 300}, {"exp": now + 25 * 3600},
            {"exp": now + 365 * 24 * 3600, "iat": None, "nbf": None},
        ):
            with self.subTest({name: value and value - now for name, value in times.items()}):
                self.refused(mint(**times), UNTIMELY)

    def test_a_foreign_key_under_a_known_name(self):
        for kid in ("rsa", "pss", "p256", "ed25519"):
            with self.subTest(kid):
                self.refused(mint(kid, key=issuer.new_key(issuer.ALGORITHMS[kid])), UNMATCHED)

    def test_a_name_that_is_not_listed(self):
        self.refused(mint("unlisted", key=issuer.new_key("RS256"), algorithm="RS256"), UNMATCHED)

    def test_a_principals_own_certificate(self):
        self.refused(mint("rsa", key=RSA.key), UNMATCHED)

    def test_a_key_of_a_kind_that_is_not_offered(self):
        self.refused(mint("p384"), UNREADABLE)
        self.refused(mint("p384", key=issuer.key_file("p256").read_bytes(), algorithm="ES256"), UNMATCHED)

    def test_an_algorithm_that_is_not_the_keys(self):
        for kid, algorithm, other, expected in (
            ("rsa", "PS256", "rsa", UNMATCHED), ("rsa", "ES256", "p256", UNMATCHED),
            ("p256", "EdDSA", "ed25519", UNMATCHED), ("rsa", "RS512", "rsa", UNREADABLE),
        ):
            with self.subTest(kid=kid, algorithm=algorithm):
                self.refused(mint(kid, key=issuer.key_file(other).read_bytes(), algorithm=algorithm), expected)

    def test_a_public_key_as_a_secret_and_no_signature(self):
        _, claims = unverified(mint())
        public = serialization.load_pem_private_key(issuer.key_file("rsa").read_bytes(), None).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        secret = public.public_bytes(serialization.Encoding.PEM, form)
        for algorithm, make, expected in (
            ("HS256", lambda signed: hmac.digest(secret, signed, "sha256"), UNREADABLE),
            ("none", lambda _: b"", UNREADABLE), ("RS256", lambda _: b"", UNMATCHED),
        ):
            with self.subTest(algorithm):
                self.refused(compact({"alg": algorithm, "kid": "rsa"}, claims, make), expected)

    def test_missing_claims(self):
        for name in ("exp", "aud", "sub", "iss"):
            with self.subTest(name):
                self.refused(mint(**{name: None}), UNREADABLE)

    def test_a_token_of_this_service(self):
        self.refused(self.accepted(mint()), UNREADABLE)


class Fetching(Workload):
    """How often an issuer is asked for its keys, and what becomes of callers while it can't answer."""

    def test_once_for_many_tokens_and_for_many_unknown_names(self):
        def ask(token):
            return present(token, WORKLOAD).status_code

        def unlisted(number):
            return mint(f"unlisted-{number}", key=foreign, algorithm="RS256", issuer="counted")

        foreign = issuer.new_key("RS256")
        with ThreadPoolExecutor(8) as threads:
            self.assertEqual(set(threads.map(ask, [mint(issuer="counted") for _ in range(24)])), {200})
            self.assertEqual(requested("counted"), {"configuration": 1, "keys": 1})
            self.assertEqual(set(threads.map(ask, map(unlisted, range(20)))), {401})
        self.assertLessEqual(requested("counted")["keys"], 2)
        self.assertLessEqual(requested("counted")["configuration"], 2)
        # What was known is still known.
        self.accepted(mint(issuer="counted"))
        self.accepted(mint("p256", issuer="counted"))

    def test_an_issuer_that_fails_after_its_keys_were_fetched(self):
        self.accepted(mint(issuer="unsteady"))
        change("unsteady", fails=True)
        for kid in ("rsa", "p256"):
            self.accepted(mint(kid, issuer="unsteady"))

    def test_a_failing_issuer_is_not_asked_for_every_token(self):
        before = requested("misnamed")["configuration"]
        for _ in range(20):
            self.unavailable(mint(issuer="misnamed"))
        self.assertLessEqual(requested("misnamed")["configuration"] - before, 5)

    def test_a_configuration_that_names_another_issuer(self):
        self.unavailable(mint(issuer="misnamed"))
        self.assertEqual(requested("misnamed")["keys"], 0)

    def test_keys_at_another_origin(self):
        self.unavailable(mint(issuer="elsewhere"))
        self.assertEqual(requested("elsewhere")["keys"], 0)

    def test_an_issuer_that_nobody_vouches_for(self):
        self.unavailable(mint(issuer="unverified"))
        self.assertEqual(requested("unverified"), {"configuration": 0, "keys": 0})


class Waiting(Workload):
    """What the service does not see at once. Last of all by its name: one wait is then enough."""

    def becomes_accepted(self, kid, name):
        def is_accepted():
            return present(mint(kid, issuer=name), WORKLOAD).status_code == 200

        return deployment.wait_until(is_accepted, 60)

    def test_a_failing_issuer_that_is_well_again(self):
        change("failing", fails=False)
        self.assertTrue(self.becomes_accepted("rsa", "failing"))

    def test_new_keys_of_an_issuer(self):
        self.accepted(mint(issuer="rotating"))
        change("rotating", keys=["p256"])
        self.assertTrue(self.becomes_accepted("p256", "rotating"))
        self.refused(mint("rsa", issuer="rotating"), UNMATCHED)
        self.assertEqual(requested("rotating")["keys"], 2)


if __name__ == "__main__":
    unittest.main()
