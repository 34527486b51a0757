"""azure-identity: its credentials, sync and async, and how seldom they ask for a token."""

import os
import time
import unittest
from unittest import mock

from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, EnvironmentCredential
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from azure.identity.aio import EnvironmentCredential as AsyncEnvironmentCredential

import deployment
import guard
from deployment import BASE, READER, SECRETS, TENANT

SCOPE = f"{BASE}/.default"
# What `EnvironmentCredential` reads.
ENVIRONMENT = {
    "AZURE_AUTHORITY_HOST": BASE,
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": READER,
    "AZURE_CLIENT_SECRET": SECRETS[READER],
}


def tearDownModule():
    guard.check()


def credential(kind, secret=SECRETS[READER]):
    # Else the sync ones first ask Microsoft whether the authority is one of theirs.
    return kind(TENANT, READER, secret, authority=BASE, disable_instance_discovery=True)


def clock_ahead_by(seconds):
    """This process's clock, moved. The service's own is not."""
    now = time.time
    return mock.patch("time.time", lambda: now() + seconds)


class Sync(unittest.TestCase):
    def check_token(self, credential):
        token = credential.get_token(SCOPE)
        claims = deployment.claims_of(token.token, BASE)
        self.assertEqual(claims["client_id"], READER)
        self.assertAlmostEqual(token.expires_on, claims["exp"], delta=5)

    def test_client_secret_credential(self):
        self.check_token(credential(ClientSecretCredential))

    def test_environment_credential(self):
        with mock.patch.dict(os.environ, ENVIRONMENT):
            self.check_token(EnvironmentCredential(disable_instance_discovery=True))

    def test_a_webservice_token_in_one_round_trip(self):
        audience = deployment.audience("token-aks")
        token = credential(ClientSecretCredential).get_token(f"{audience}/.default")
        deployment.claims_of(token.token, audience)
        self.assertEqual(deployment.score("token-aks", token.token), 200)

    def test_a_wrong_secret_is_named(self):
        with self.assertRaisesRegex(ClientAuthenticationError, "its secret is wrong"):
            credential(ClientSecretCredential, "not the secret").get_token(SCOPE)

    def test_no_second_request_in_the_first_half_of_a_tokens_life(self):
        asking = credential(ClientSecretCredential)
        first = asking.get_token_info(SCOPE)
        life = first.expires_on - time.time()
        before = deployment.token_requests()
        for share in (0.0, 0.25, 0.49):
            with clock_ahead_by(life * share):
                self.assertEqual(asking.get_token(SCOPE).token, first.token)
        self.assertEqual(deployment.token_requests(), before)
        # When the service said so it is renewed, and the counter counts.
        self.assertGreaterEqual(first.refresh_on, time.time() + 0.49 * life)
        with clock_ahead_by(first.refresh_on - time.time() + 1):
            self.assertNotEqual(asking.get_token(SCOPE).token, first.token)
        self.assertEqual(deployment.token_requests(), before + 1)


class Async(unittest.IsolatedAsyncioTestCase):
    async def check_token(self, credential):
        async with credential:
            token = await credential.get_token(SCOPE)
        claims = deployment.claims_of(token.token, BASE)
        self.assertEqual(claims["client_id"], READER)
        self.assertAlmostEqual(token.expires_on, claims["exp"], delta=5)

    async def test_client_secret_credential(self):
        await self.check_token(credential(AsyncClientSecretCredential))

    async def test_environment_credential(self):
        with mock.patch.dict(os.environ, ENVIRONMENT):
            await self.check_token(AsyncEnvironmentCredential())

    async def test_a_wrong_secret_is_named(self):
        async with credential(AsyncClientSecretCredential, "not the secret") as asking:
            with self.assertRaisesRegex(ClientAuthenticationError, "its secret is wrong"):
                await asking.get_token(SCOPE)

    async def test_no_second_request_in_the_first_half_of_a_tokens_life(self):
        async with credential(AsyncClientSecretCredential) as asking:
            first = await asking.get_token_info(SCOPE)
            life = first.expires_on - time.time()
            before = deployment.token_requests()
            for share in (0.0, 0.25, 0.49):
                with clock_ahead_by(life * share):
                    self.assertEqual((await asking.get_token(SCOPE)).token, first.token)
            self.assertEqual(deployment.token_requests(), before)
            self.assertGreaterEqual(first.refresh_on, time.time() + 0.49 * life)
            with clock_ahead_by(first.refresh_on - time.time() + 1):
                self.assertNotEqual((await asking.get_token(SCOPE)).token, first.token)
            self.assertEqual(deployment.token_requests(), before + 1)


if __name__ == "__main__":
    unittest.main()
