"""azureml-core (v1): workspaces and webservices. The SDK waits 5 s before each look at an operation."""

import json
import os
import re
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import msal
from azureml.core import Workspace
from azureml.core.authentication import ServicePrincipalAuthentication, TokenAuthentication
from azureml.core.webservice import AciWebservice, AksWebservice, Webservice
from azureml.exceptions import ProjectSystemException, UserErrorException, WebserviceException

import deployment
import guard
from deployment import (
    BASE, CONTRIBUTOR, CROWD, CROWDED_WORKSPACE, GROUP, NEIGHBOUR, OTHER_GROUP, OTHER_WORKSPACE, READER, SECRETS,
    STRANGER, SUBSCRIPTION, TENANT, WORKSPACE,
)

CLOUD = "wsts"
OWN_KEY = "moved-over-from-Azure-ML-0123456789"


def tearDownModule():
    guard.check()


def authentication(client_id, tenant=f"adfs/{TENANT}", secret=None):
    """The alias of the tenant keeps MSAL from asking Microsoft about the authority."""
    return ServicePrincipalAuthentication(tenant, client_id, secret or SECRETS[client_id], cloud=CLOUD)


def workspace(client_id, name=WORKSPACE, group=GROUP):
    return Workspace.get(name, authentication(client_id), SUBSCRIPTION, group)


class Workspaces(unittest.TestCase):
    def check(self, found):
        self.assertEqual(found.name, WORKSPACE)
        self.assertEqual(found.resource_group, GROUP)
        self.assertEqual(found.subscription_id, SUBSCRIPTION)
        self.assertEqual(found.location, "local")
        self.assertIn("token-aks", found.webservices)

    def test_get(self):
        self.check(workspace(READER))

    def test_constructor(self):
        self.check(Workspace(SUBSCRIPTION, GROUP, WORKSPACE, authentication(READER)))

    def test_from_config(self):
        settings = {"subscription_id": SUBSCRIPTION, "resource_group": GROUP, "workspace_name": WORKSPACE}
        path = Path(tempfile.mkdtemp()) / "config.json"
        path.write_text(json.dumps(settings))
        self.check(Workspace.from_config(str(path), auth=authentication(READER)))

    def test_without_the_first_look_at_the_workspace(self):
        """The SDK then asks for where the services are by an older api-version."""
        known = workspace(READER)
        found = Workspace(
            SUBSCRIPTION, GROUP, WORKSPACE, authentication(READER),
            _disable_service_check=True, _workspace_id=known._workspace_id,
        )
        self.assertIn("token-aks", found.webservices)

    def test_the_other_alias_of_a_tenant(self):
        auth = authentication(READER, tenant=f"{TENANT}/b2c_wsts")
        self.check(Workspace.get(WORKSPACE, auth, SUBSCRIPTION, GROUP))

    def test_a_token_that_the_caller_fetched_by_other_means(self):
        app = msal.ConfidentialClientApplication(
            READER, SECRETS[READER], authority=f"{BASE}/{TENANT}", instance_discovery=False
        )

        def fetch(audience):
            return app.acquire_token_for_client([f"{audience}/.default"])["access_token"]

        self.check(Workspace.get(WORKSPACE, TokenAuthentication(fetch, cloud=CLOUD), SUBSCRIPTION, GROUP))

    def test_a_wrong_secret_is_named(self):
        auth = authentication(READER, secret="not the secret")
        # Not the SDK's own AuthenticationException: it comes from the Azure CLI's code within it.
        with self.assertRaisesRegex(Exception, "its secret is wrong") as refused:
            Workspace.get(WORKSPACE, auth, SUBSCRIPTION, GROUP)
        self.assertEqual(type(refused.exception).__name__, "AuthenticationError")

    def test_an_unknown_tenant(self):
        auth = authentication(READER, tenant="adfs/77777777-7777-7777-7777-777777777777")
        with self.assertRaisesRegex(ValueError, "authority configuration"):
            Workspace.get(WORKSPACE, auth, SUBSCRIPTION, GROUP)

    def test_without_a_role_a_workspace_is_as_if_it_were_not_there(self):
        self.assertEqual(workspace(NEIGHBOUR, OTHER_WORKSPACE, OTHER_GROUP).name, OTHER_WORKSPACE)
        said = set()
        for client_id in (NEIGHBOUR, STRANGER):
            for name in (WORKSPACE, "no-such-workspace"):
                with self.assertRaises(ProjectSystemException) as refused:
                    workspace(client_id, name)
                said.add(str(refused.exception).replace(name, "it"))
        self.assertEqual(len(said), 1, said)

    def test_a_subscription_that_is_not_there(self):
        with self.assertRaisesRegex(UserErrorException, "77777777"):
            Workspace.get(WORKSPACE, authentication(READER), "77777777-7777-7777-7777-777777777777", GROUP)


class Webservices(unittest.TestCase):
    """What a Contributor does."""

    @classmethod
    def setUpClass(cls):
        cls.workspace = workspace(CONTRIBUTOR)

    def test_list(self):
        found = self.workspace.webservices
        self.assertLessEqual({"token-aks", "key-aks", "key-aci", "open-aci", "token-kubernetes"}, set(found))
        self.assertNotIn("foreign", found)
        self.assertIsInstance(found["token-aks"], AksWebservice)
        self.assertIsInstance(found["key-aci"], AciWebservice)

    def test_list_of_one_compute_type(self):
        names = {service.name for service in Webservice.list(self.workspace, compute_type="ACI")}
        self.assertEqual(names, {"key-aci", "open-aci"})
        self.assertRaises(WebserviceException, Webservice.list, self.workspace, compute_type="none of them")

    def test_list_by_tag(self):
        for tags in (["team"], [["team", "fraud"]]):
            self.assertEqual([service.name for service in Webservice.list(self.workspace, tags=tags)], ["token-aks"])
        self.assertEqual(Webservice.list(self.workspace, tags=[["team", "none"]]), [])

    def test_a_list_of_several_pages(self):
        self.assertEqual(len(workspace(READER, CROWDED_WORKSPACE).webservices), CROWD)

    def test_a_webservice_on_aks(self):
        service = AksWebservice(self.workspace, "token-aks")
        self.assertEqual(service.compute_type, "AKS")
        self.assertEqual(service.state, "Healthy")
        self.assertEqual(service.scoring_uri, f"{deployment.GATEWAY}/token-aks/score")
        self.assertEqual(service.description, "takes tokens")
        self.assertEqual(service.tags, {"team": "fraud"})
        self.assertIs(service.auth_enabled, False)
        self.assertIs(service.token_auth_enabled, True)
        keyed = Webservice(self.workspace, "key-aks")
        self.assertIsInstance(keyed, AksWebservice)
        self.assertIs(keyed.auth_enabled, True)
        self.assertIs(keyed.token_auth_enabled, False)

    def test_a_webservice_on_aci(self):
        service = AciWebservice(self.workspace, "key-aci")
        self.assertEqual(service.compute_type, "ACI")
        self.assertIs(service.auth_enabled, True)
        self.assertEqual(deployment.score("key-aci", service.get_keys()[0]), 200)
        self.assertEqual(deployment.score("key-aci", "no key"), 401)
        self.assertIs(AciWebservice(self.workspace, "open-aci").auth_enabled, False)
        with self.assertRaises(NotImplementedError):
            service.get_token()

    def test_a_name_that_is_not_there(self):
        with self.assertRaisesRegex(WebserviceException, "WebserviceNotFound"):
            AksWebservice(self.workspace, "no-such-service")

    def test_get_token(self):
        service = AksWebservice(self.workspace, "token-aks")
        token, refresh_after = service.get_token()
        claims = deployment.claims_of(token, deployment.audience("token-aks"))
        self.assertEqual(claims["client_id"], CONTRIBUTOR)
        # The SDK makes local times without a zone of them.
        self.assertAlmostEqual(refresh_after.timestamp(), claims["refresh_by"], delta=5)
        self.assertLess(refresh_after.timestamp(), claims["exp"])
        self.assertEqual(deployment.score("token-aks", token), 200)
        self.assertEqual(deployment.score("token-kubernetes", token), 401)

    def test_get_token_is_one_request(self):
        service = AksWebservice(self.workspace, "token-aks")
        service.get_token()
        before = deployment.requests_answered()
        service.get_token()
        self.assertEqual(deployment.requests_answered(), before + 1)

    def test_get_access_token(self):
        token = AksWebservice(self.workspace, "token-aks").get_access_token()
        claims = deployment.claims_of(token.access_token, deployment.audience("token-aks"))
        self.assertEqual(token.token_type, "Bearer")
        self.assertAlmostEqual(token.expiry_on.timestamp(), claims["exp"], delta=5)
        self.assertAlmostEqual(token.refresh_after.timestamp(), claims["refresh_by"], delta=5)

    def test_get_keys(self):
        primary, secondary = AksWebservice(self.workspace, "key-aks").get_keys()
        self.assertNotEqual(primary, secondary)
        self.assertEqual(deployment.score("key-aks", primary), 200)
        self.assertEqual(deployment.score("key-aks", secondary), 200)
        self.assertEqual(deployment.score("key-aks"), 401)

    def test_tokens_and_keys_are_for_their_own_auth_mode(self):
        with self.assertRaisesRegex(WebserviceException, "AuthModeMismatch"):
            AksWebservice(self.workspace, "key-aks").get_token()
        token_service = AksWebservice(self.workspace, "token-aks")
        with self.assertRaisesRegex(WebserviceException, "AuthModeMismatch"):
            token_service.get_keys()
        with self.assertRaisesRegex(WebserviceException, "AuthModeMismatch"):
            token_service.regen_key("Primary")

    def test_regen_key(self):
        name = "regenerated-v1"
        service = AksWebservice(self.workspace, name)
        for key, changed, kept in (("Primary", 0, 1), ("Secondary", 1, 0)):
            with self.subTest(key):
                before = service.get_keys()
                service.regen_key(key)
                after = service.get_keys()
                self.assertNotEqual(after[changed], before[changed])
                self.assertEqual(after[kept], before[kept])
                self.assertEqual(deployment.score(name, after[kept]), 200)
                self.assertTrue(deployment.wait_until(lambda: deployment.score(name, before[changed]) == 401, 5))
                self.assertTrue(deployment.wait_until(lambda: deployment.score(name, after[changed]) == 200, 5))

    def test_regen_key_to_a_value_of_ones_own(self):
        service = AksWebservice(self.workspace, "regenerated-v1")
        service.regen_key("Secondary", OWN_KEY)
        primary, secondary = service.get_keys()
        self.assertEqual(secondary, OWN_KEY)
        self.assertTrue(deployment.wait_until(lambda: deployment.score("regenerated-v1", OWN_KEY) == 200, 5))
        for weak in ("too-short", "a" * 40):
            with self.subTest(weak), self.assertRaisesRegex(WebserviceException, "keyValue"):
                service.regen_key("Primary", weak)
        with self.assertRaises(WebserviceException):
            service.regen_key("Tertiary")
        self.assertEqual(tuple(service.get_keys()), (primary, OWN_KEY))

    def test_switching_from_keys_to_tokens_and_back(self):
        name = "switched"
        service = AksWebservice(self.workspace, name)
        key = service.get_keys()[0]
        service.update(auth_enabled=False, token_auth_enabled=True)
        service.wait_for_deployment()
        self.assertEqual((service.auth_enabled, service.token_auth_enabled), (False, True))
        token, _ = service.get_token()
        with self.assertRaisesRegex(WebserviceException, "AuthModeMismatch"):
            service.get_keys()
        self.assertTrue(deployment.wait_until(lambda: deployment.score(name, token) == 200, 5))
        self.assertEqual(deployment.score(name, key), 401)

        service.update(auth_enabled=True, token_auth_enabled=False)
        service.wait_for_deployment()
        found = AksWebservice(self.workspace, name)
        self.assertEqual((found.auth_enabled, found.token_auth_enabled), (True, False))
        with self.assertRaisesRegex(WebserviceException, "AuthModeMismatch"):
            found.get_token()
        key = found.get_keys()[0]
        self.assertTrue(deployment.wait_until(lambda: deployment.score(name, key) == 200, 5))
        self.assertEqual(deployment.score(name, token), 401)

    def test_key_and_token_together_are_refused(self):
        service = AksWebservice(self.workspace, "key-aks")
        for wish in ({"token_auth_enabled": True}, {"token_auth_enabled": True, "auth_enabled": True}):
            with self.subTest(wish), self.assertRaises(WebserviceException):
                service.update(**wish)
        found = AksWebservice(self.workspace, "key-aks")
        self.assertEqual((found.auth_enabled, found.token_auth_enabled), (True, False))

    def test_updating_tags_and_description(self):
        service = AksWebservice(self.workspace, "described")
        before = service.get_keys()
        service.update(tags={"group": "credit", "stage": "test"}, description="described anew")
        found = AksWebservice(self.workspace, "described")
        self.assertEqual(found.tags, {"group": "credit", "stage": "test"})
        self.assertEqual(found.description, "described anew")
        self.assertIs(found.auth_enabled, True)
        self.assertEqual(found.get_keys(), before)

    def test_updating_out_of_a_git_work_tree(self):
        """The SDK then adds a property for each thing that it knows of the work tree, whatever else is updated."""
        known = {"AZUREML_GIT_BRANCH": "main", "AZUREML_GIT_COMMIT": "0" * 40, "AZUREML_GIT_DIRTY": "True"}
        for kind, name in ((AksWebservice, "described"), (AciWebservice, "open-aci")):
            with self.subTest(name), mock.patch.dict(os.environ, known):
                kind(self.workspace, name).update(description="from a work tree")
                self.assertEqual(kind(self.workspace, name).description, "from a work tree")

    def test_run(self):
        for name in ("token-aks", "key-aks"):
            with self.subTest(name):
                deployment.refuse_once(name)
                answer = AksWebservice(self.workspace, name).run(json.dumps({"data": [1, 2]}))
                self.assertEqual(answer, {"model": name, "received": {"data": [1, 2]}})
                self.assertEqual(deployment.statuses(name), [401, 200])

    def test_delete(self):
        service = AksWebservice(self.workspace, "deleted")
        service.delete()
        with self.assertRaisesRegex(WebserviceException, "WebserviceNotFound"):
            AksWebservice(self.workspace, "deleted")
        self.assertNotIn("deleted", self.workspace.webservices)


class Reader(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.workspace = workspace(READER)

    def test_fetches_tokens(self):
        service = AksWebservice(self.workspace, "token-aks")
        claims = deployment.claims_of(service.get_token()[0], deployment.audience("token-aks"))
        self.assertEqual(claims["client_id"], READER)
        deployment.claims_of(service.get_access_token().access_token, deployment.audience("token-aks"))
        self.assertEqual(service.run(json.dumps({}))["model"], "token-aks")

    def test_never_sees_keys(self):
        keys = AksWebservice(workspace(CONTRIBUTOR), "key-aks").get_keys()
        service = AksWebservice(self.workspace, "key-aks")
        for attempt in (service.get_keys, lambda: service.regen_key("Primary"), lambda: service.run(json.dumps({}))):
            with self.assertRaisesRegex(WebserviceException, "AuthorizationFailed") as refused:
                attempt()
            self.assertIn("Response Code: 403", str(refused.exception))
            for key in keys:
                self.assertNotIn(key, str(refused.exception))
        self.assertEqual(AksWebservice(workspace(CONTRIBUTOR), "key-aks").get_keys(), keys)

    def test_changes_nothing(self):
        service = AksWebservice(self.workspace, "token-aks")
        for attempt in (lambda: service.update(description="mine"), service.delete):
            with self.assertRaisesRegex(WebserviceException, "AuthorizationFailed"):
                attempt()
        self.assertEqual(AksWebservice(self.workspace, "token-aks").description, "takes tokens")


class WithoutRole(unittest.TestCase):
    def test_a_webservice_is_as_if_it_were_not_there(self):
        known = workspace(READER)
        gone = AksWebservice(known, "vanishing")
        AksWebservice(workspace(CONTRIBUTOR), "vanishing").delete()
        absent = self.said_by(gone)
        for client_id in (STRANGER, NEIGHBOUR):
            service = AksWebservice(known, "token-aks")
            # What a caller holds whose role was taken away in the meantime.
            service._auth = authentication(client_id)
            self.assertEqual(self.said_by(service), absent)
        self.assertIn("ServiceNotFound", absent)
        self.assertIn("no role", absent)

    def said_by(self, service):
        with self.assertRaises(WebserviceException) as refused:
            service.get_token()
        return re.sub(r"'RequestId': '[^']*'", "", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
