"""MSAL for Python: tokens for the API and, in one round trip, for a webservice."""

import socket
import unittest

import msal

import deployment
import guard
from deployment import BASE, CONTRIBUTOR, NEIGHBOUR, READER, SECRETS, STRANGER, TENANT


def tearDownModule():
    guard.check()


def application(client_id=READER, secret=None, **options):
    if "oidc_authority" not in options:
        options = {"authority": f"{BASE}/{TENANT}", "instance_discovery": False} | options
    return msal.ConfidentialClientApplication(client_id, secret or SECRETS[client_id], **options)


class ConfidentialClient(unittest.TestCase):
    def test_a_management_token_by_either_kind_of_authority(self):
        for options in ({}, {"oidc_authority": f"{BASE}/{TENANT}/v2.0"}):
            with self.subTest(options):
                answer = application(**options).acquire_token_for_client([f"{BASE}/.default"])
                claims = deployment.claims_of(answer["access_token"], BASE)
                self.assertEqual(claims["client_id"], READER)
                self.assertEqual(claims["tid"], TENANT)
                self.assertEqual(answer["token_type"], "Bearer")
                self.assertEqual(answer["expires_in"], claims["exp"] - claims["iat"])

    def test_a_webservice_token_in_one_round_trip(self):
        audience = deployment.audience("token-aks")
        answer = application().acquire_token_for_client([f"{audience}/.default"])
        claims = deployment.claims_of(answer["access_token"], audience)
        self.assertEqual(claims["webservice"], "token-aks")
        # The life that the registry gives this webservice, where an hour is usual.
        self.assertEqual(answer["expires_in"], 1800)
        self.assertEqual(deployment.score("token-aks", answer["access_token"]), 200)
        self.assertEqual(deployment.score("token-kubernetes", answer["access_token"]), 401)

    def test_a_kept_token_is_used_again_without_a_request(self):
        app = application()
        first = app.acquire_token_for_client([f"{BASE}/.default"])
        before = deployment.token_requests()
        second = app.acquire_token_for_client([f"{BASE}/.default"])
        self.assertEqual(second["token_source"], "cache")
        self.assertEqual(second["access_token"], first["access_token"])
        self.assertEqual(deployment.token_requests(), before)


class Refusals(unittest.TestCase):
    def refused(self, app, scope=f"{BASE}/.default"):
        answer = app.acquire_token_for_client([scope])
        self.assertNotIn("access_token", answer)
        return answer

    def test_a_wrong_secret_and_an_unknown_client_get_the_same_answer(self):
        wrong = self.refused(application(secret="not the secret"))
        unknown = self.refused(application("a0000000-0000-0000-0000-0000000000ff", SECRETS[READER]))
        swapped = self.refused(application(CONTRIBUTOR, SECRETS[READER]))
        self.assertEqual(wrong["error"], "invalid_client")
        self.assertEqual(wrong["error_codes"], [7000215])
        for other in (unknown, swapped):
            self.assertEqual(other["error"], wrong["error"])
            self.assertEqual(other["error_description"], wrong["error_description"])

    def test_a_wrong_secret_is_not_held_against_the_right_one(self):
        # MSAL remembers a 400 for a minute and would not ask again; a 401 it forgets.
        app = application(secret="not the secret")
        self.refused(app)
        before = deployment.token_requests()
        self.refused(app)
        self.assertEqual(deployment.token_requests(), before + 1)

    def test_an_unknown_tenant_has_no_authority(self):
        with self.assertRaisesRegex(ValueError, "authority configuration"):
            application(authority=f"{BASE}/77777777-7777-7777-7777-777777777777").acquire_token_for_client(
                [f"{BASE}/.default"]
            )

    def test_a_scope_of_another_service(self):
        answer = self.refused(application(), "https://elsewhere.example/.default")
        self.assertEqual(answer["error"], "invalid_scope")

    def test_without_a_role_a_webservice_is_as_if_it_were_not_there(self):
        absent = self.refused(application(), f"{deployment.audience('no-such-service')}/.default")
        for client_id in (STRANGER, NEIGHBOUR):
            hidden = self.refused(application(client_id), f"{deployment.audience('token-aks')}/.default")
            self.assertEqual(hidden["error"], absent["error"])
            self.assertEqual(hidden["error_codes"], absent["error_codes"])
            self.assertEqual(hidden["error_description"], absent["error_description"])
        self.assertIn("no such webservice", absent["error_description"])

    def test_a_webservice_with_keys_has_no_tokens(self):
        answer = self.refused(application(), f"{deployment.audience('key-aks')}/.default")
        self.assertIn("auth mode `key`", answer["error_description"])


class Guard(unittest.TestCase):
    def test_another_host_is_refused_and_remembered(self):
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("foreign.example", 443))
        with self.assertRaises(ConnectionRefusedError):
            socket.socket().connect(("192.0.2.1", 443))
        self.assertEqual(guard.foreign, ["foreign.example", ("192.0.2.1", 443)])
        guard.foreign.clear()


if __name__ == "__main__":
    unittest.main()
