"""azure-ai-ml (v2): online endpoints through `MLClient`."""

import json
import tempfile
import unittest

from azure.ai.ml import MLClient
from azure.ai.ml.entities import ManagedOnlineEndpoint
from azure.ai.ml.exceptions import ValidationException
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential

import deployment
import guard
from deployment import (
    BASE, CONTRIBUTOR, CROWD, CROWDED_WORKSPACE, GROUP, NEIGHBOUR, READER, SECRETS, STRANGER, SUBSCRIPTION, TENANT,
    WORKSPACE,
)


def tearDownModule():
    guard.check()


def client(client_id, workspace=WORKSPACE, secret=None, **options):
    credential = ClientSecretCredential(
        TENANT, client_id, secret or SECRETS[client_id], authority=BASE, disable_instance_discovery=True
    )
    return MLClient(credential, SUBSCRIPTION, GROUP, workspace, **options)


def request_file(value):
    file = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
    with file:
        json.dump(value, file)
    return file.name


class Endpoints(unittest.TestCase):
    """What a Contributor does."""

    @classmethod
    def setUpClass(cls):
        cls.endpoints = client(CONTRIBUTOR).online_endpoints

    def test_get(self):
        endpoint = self.endpoints.get("token-aks")
        self.assertEqual(endpoint.name, "token-aks")
        self.assertEqual(endpoint.auth_mode, "aml_token")
        self.assertEqual(endpoint.scoring_uri, f"{deployment.GATEWAY}/token-aks/score")
        self.assertEqual(endpoint.description, "takes tokens")
        self.assertEqual(endpoint.tags, {"team": "fraud"})
        self.assertEqual(endpoint.provisioning_state, "Succeeded")
        self.assertTrue(endpoint.id.lower().endswith("/workspaces/sdk/onlineendpoints/token-aks"))
        self.assertEqual(self.endpoints.get("key-aks").auth_mode, "key")

    def test_the_cloud_by_its_name(self):
        endpoint = client(READER, cloud="wsts").online_endpoints.get("token-aks")
        self.assertEqual(endpoint.name, "token-aks")

    def test_list(self):
        names = {endpoint.name for endpoint in self.endpoints.list()}
        self.assertLessEqual({"token-aks", "key-aks", "token-kubernetes"}, names)
        self.assertNotIn("foreign", names)

    def test_a_list_of_several_pages(self):
        names = [endpoint.name for endpoint in client(READER, CROWDED_WORKSPACE).online_endpoints.list()]
        self.assertEqual(len(names), CROWD)
        self.assertEqual(len(set(names)), CROWD)

    def test_the_token_of_an_endpoint(self):
        for name in ("token-aks", "token-kubernetes"):
            with self.subTest(name):
                token = self.endpoints.get_keys(name)
                claims = deployment.claims_of(token.access_token, deployment.audience(name))
                self.assertEqual(token.token_type, "Bearer")
                self.assertAlmostEqual(token.expiry_time_utc, claims["exp"], delta=5)
                self.assertAlmostEqual(token.refresh_after_time_utc, claims["refresh_by"], delta=5)
                self.assertEqual(claims["client_id"], CONTRIBUTOR)
                self.assertEqual(deployment.score(name, token.access_token), 200)

    def test_the_keys_of_an_endpoint(self):
        keys = self.endpoints.get_keys("key-aks")
        self.assertNotEqual(keys.primary_key, keys.secondary_key)
        self.assertEqual(deployment.score("key-aks", keys.primary_key), 200)
        self.assertEqual(deployment.score("key-aks", keys.secondary_key), 200)
        self.assertEqual(deployment.score("key-aks", keys.primary_key[:-1]), 401)
        self.assertEqual(deployment.score("key-aci", keys.primary_key), 401)

    def test_regenerating_one_key_keeps_the_other(self):
        name = "regenerated-v2"
        for key_type, changed, kept in (
            ("primary", "primary_key", "secondary_key"),
            ("secondary", "secondary_key", "primary_key"),
        ):
            with self.subTest(key_type):
                before = self.endpoints.get_keys(name)
                # The SDK sends the present value along: that has to mean a new one.
                self.endpoints.begin_regenerate_keys(name, key_type=key_type).result(timeout=60)
                after = self.endpoints.get_keys(name)
                self.assertNotEqual(getattr(after, changed), getattr(before, changed))
                self.assertEqual(getattr(after, kept), getattr(before, kept))
                self.assertEqual(deployment.score(name, getattr(after, kept)), 200)
                old = getattr(before, changed)
                self.assertTrue(deployment.wait_until(lambda: deployment.score(name, old) == 401, 5))
                new = getattr(after, changed)
                self.assertTrue(deployment.wait_until(lambda: deployment.score(name, new) == 200, 5))

    def test_the_end_of_a_regeneration_by_either_of_its_links(self):
        """The SDK follows the first; other clients of ARM know only the second."""
        caller = deployment.Caller(CONTRIBUTOR)
        answer = caller.v2("POST", "/onlineEndpoints/regenerated-v2/regenerateKeys", json={"keyType": "Secondary"})
        self.assertEqual(answer.status_code, 202)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        links = [answer.headers[name] for name in ("Azure-AsyncOperation", "Location")]
        operation, result = (caller.session.get(link, timeout=10) for link in links)
        self.assertEqual((operation.status_code, operation.json()["status"]), (200, "Succeeded"))
        self.assertIn(result.status_code, (200, 204))
        for link in links:
            self.assertTrue(link.startswith(f"{BASE}/subscriptions/"), link)
            self.assertEqual(deployment.Caller(STRANGER).session.get(link, timeout=10).status_code, 404)

    def test_invoke(self):
        file = request_file({"data": [1, 2]})
        for name in ("token-aks", "key-aks"):
            with self.subTest(name):
                answer = self.endpoints.invoke(endpoint_name=name, request_file=file)
                self.assertEqual(json.loads(answer), {"model": name, "received": {"data": [1, 2]}})

    def test_invoke_shows_a_refusal_of_the_gateway(self):
        deployment.refuse_once("token-kubernetes")
        with self.assertRaisesRegex(HttpResponseError, "send a token or key of this webservice"):
            self.endpoints.invoke(endpoint_name="token-kubernetes", request_file=request_file({}))
        self.assertEqual(deployment.statuses("token-kubernetes"), [401])

    def test_create_update_and_delete(self):
        for auth_mode in ("aml_token", "key"):
            with self.subTest(auth_mode):
                name = "made-" + auth_mode.replace("_", "-")
                endpoint = ManagedOnlineEndpoint(name=name, auth_mode=auth_mode, description="made", tags={"a": "b"})
                made = self.endpoints.begin_create_or_update(endpoint).result(timeout=60)
                self.assertEqual((made.name, made.auth_mode, made.description), (name, auth_mode, "made"))
                credentials = self.endpoints.get_keys(name)
                self.assertTrue(credentials.access_token if auth_mode == "aml_token" else credentials.primary_key)

                changed = self.endpoints.get(name)
                changed.tags = {"a": "c"}
                self.endpoints.begin_create_or_update(changed).result(timeout=60)
                found = self.endpoints.get(name)
                self.assertEqual((found.tags, found.description, found.auth_mode), ({"a": "c"}, "made", auth_mode))

                self.endpoints.begin_delete(name).result(timeout=60)
                with self.assertRaises(ResourceNotFoundError):
                    self.endpoints.get(name)


    def test_an_update_keeps_what_the_sdk_never_sends(self):
        """The SDK knows no scoring URI of a caller's own, no lifetime and no compute type."""
        name = "updated-v2"
        endpoint = self.endpoints.get(name)
        endpoint.tags = {"stage": "test"}
        self.endpoints.begin_create_or_update(endpoint).result(timeout=60)
        after = self.endpoints.get(name)
        self.assertEqual(after.tags, {"stage": "test"})
        self.assertEqual((after.description, after.auth_mode), ("as registered", "aml_token"))
        self.assertEqual(after.scoring_uri, f"{deployment.GATEWAY}/{name}/score")
        properties = deployment.Caller(READER).v2("GET", f"/onlineEndpoints/{name}").json()["properties"]
        self.assertEqual((properties["computeType"], properties["tokenLifetimeSeconds"]), ("AKS", 1800))


class Roles(unittest.TestCase):
    def test_a_reader_fetches_tokens_and_never_sees_keys(self):
        endpoints = client(READER).online_endpoints
        token = endpoints.get_keys("token-aks").access_token
        self.assertEqual(deployment.claims_of(token, deployment.audience("token-aks"))["client_id"], READER)
        keys = client(CONTRIBUTOR).online_endpoints.get_keys("key-aks")
        for attempt, action in (
            (lambda: endpoints.get_keys("key-aks"), "listKeys/action"),
            (lambda: endpoints.begin_regenerate_keys("key-aks", key_type="primary").result(timeout=60), "Keys/action"),
            (lambda: endpoints.invoke(endpoint_name="key-aks", request_file=request_file({})), "listKeys/action"),
        ):
            with self.subTest(action), self.assertRaisesRegex(HttpResponseError, action) as refused:
                attempt()
            self.assertEqual(refused.exception.status_code, 403)
            self.assertNotIn(keys.primary_key, str(refused.exception))
            self.assertNotIn(keys.secondary_key, str(refused.exception))
        after = client(CONTRIBUTOR).online_endpoints.get_keys("key-aks")
        self.assertEqual((after.primary_key, after.secondary_key), (keys.primary_key, keys.secondary_key))

    def test_a_reader_changes_nothing(self):
        endpoints = client(READER).online_endpoints
        with self.assertRaises(HttpResponseError) as refused:
            endpoints.begin_create_or_update(
                ManagedOnlineEndpoint(name="readers-own", auth_mode="key", location="local")
            ).result(timeout=60)
        # What is not there can't be told from what may not be seen.
        self.assertIn(refused.exception.status_code, (403, 404))
        with self.assertRaises(HttpResponseError) as refused:
            endpoints.begin_delete("token-aks").result(timeout=60)
        self.assertEqual(refused.exception.status_code, 403)
        names = {endpoint.name for endpoint in endpoints.list()}
        self.assertIn("token-aks", names)
        self.assertNotIn("readers-own", names)

    def test_without_a_role_an_endpoint_is_as_if_it_were_not_there(self):
        for client_id in (STRANGER, NEIGHBOUR):
            endpoints = client(client_id).online_endpoints
            said = set()
            for name in ("token-aks", "key-aks", "no-such-endpoint"):
                for attempt in (endpoints.get, endpoints.get_keys):
                    with self.assertRaises(ResourceNotFoundError) as refused:
                        attempt(name)
                    said.add((refused.exception.error.code, refused.exception.error.message))
            self.assertEqual(len(said), 1, said)
            self.assertIn("no role", said.pop()[1])
            with self.assertRaises(ResourceNotFoundError):
                list(endpoints.list())

    def test_somebody_elses_endpoint_is_not_found(self):
        with self.assertRaises(ResourceNotFoundError):
            client(CONTRIBUTOR).online_endpoints.get("foreign")


class Refusals(unittest.TestCase):
    def test_a_wrong_secret_is_named(self):
        endpoints = client(READER, secret="not the secret").online_endpoints
        with self.assertRaisesRegex(ClientAuthenticationError, "its secret is wrong"):
            endpoints.get("token-aks")

    def test_keys_that_the_sdk_itself_refuses_to_regenerate(self):
        endpoints = client(CONTRIBUTOR).online_endpoints
        with self.assertRaisesRegex(ValidationException, "does not use keys"):
            endpoints.begin_regenerate_keys("token-aks", key_type="primary")
        before = endpoints.get_keys("key-aks")
        with self.assertRaisesRegex(ValidationException, "primary.* or .*secondary"):
            endpoints.begin_regenerate_keys("key-aks", key_type="tertiary")
        self.assertEqual(endpoints.get_keys("key-aks").primary_key, before.primary_key)

    def test_many_calls_take_one_token_request(self):
        endpoints = client(READER).online_endpoints
        before = deployment.token_requests()
        for _ in range(3):
            endpoints.get("token-aks")
            endpoints.get_keys("token-aks")
        self.assertEqual(deployment.token_requests(), before + 1)


if __name__ == "__main__":
    unittest.main()
