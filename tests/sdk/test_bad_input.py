"""Requests that no SDK sends: each is answered with an object in its dialect's shape, and changes nothing."""

import json
import unittest

import guard
from deployment import BASE, CONTRIBUTOR, NEIGHBOUR, READER, STRANGER, CROWDED_WORKSPACE, Caller, audience, fetch_token
from deployment import score, workspace_id

JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def tearDownModule():
    guard.check()


def replace(path, value):
    return {"op": "replace", "path": path, "value": value}


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.contributor, cls.reader, cls.stranger = Caller(CONTRIBUTOR), Caller(READER), Caller(STRANGER)

    def refused(self, answer, *statuses):
        """Checks the shape of a refusal; returns its code and message."""
        self.assertIn(answer.status_code, statuses or (400,), answer.text)
        self.assertTrue(answer.headers["Content-Type"].startswith("application/json"), answer.headers)
        body = answer.json()
        if "/modelmanagement/" in answer.url:
            self.assertEqual(body["statusCode"], answer.status_code)
        else:
            body = body["error"]
        self.assertIsInstance(body["code"], str)
        self.assertIsInstance(body["message"], str)
        self.assertNotEqual(body["message"], "")
        return body["code"], body["message"]

    def state(self, name):
        """Everything that a bad request could have changed."""
        service = self.contributor.v1("GET", f"/services/{name}?expand=true")
        self.assertEqual(service.status_code, 200)
        keys = self.contributor.v1("POST", f"/services/{name}/listkeys")
        return service.json(), keys.json()

    def patch(self, name, body, **request):
        data = body if isinstance(body, bytes) else json.dumps(body)
        return self.contributor.v1("PATCH", f"/services/{name}", **{"headers": JSON_PATCH, "data": data} | request)


class Regeneration(BadInput):
    def test_wrong_bodies_change_no_key(self):
        before = self.state("patched")
        present = before[1]["secondaryKey"]
        for body in (
            {"keyType": "Tertiary"}, {"keyType": ""}, {"keyType": None}, {"keyType": 7}, {"keyType": ["Primary"]}, {},
            [], "Primary", {"keyType": "Primary", "keyValue": "too-short"},
            {"keyType": "Primary", "keyValue": 12345678901234567890123456789012},
            {"keyType": "Primary", "keyValue": "spaces are not for keys in a header"},
            {"keyType": "Primary", "keyValue": present},
        ):
            for call, path in (
                (self.contributor.v1, "/services/patched/regenerateKeys"),
                (self.contributor.v2, "/onlineEndpoints/patched/regenerateKeys"),
            ):
                with self.subTest(body=body, path=path):
                    _, message = self.refused(call("POST", path, json=body))
                    self.assertNotIn(present, message)
        self.assertEqual(self.state("patched"), before)

    def test_malformed_and_huge_bodies(self):
        before = self.state("patched")
        for body, statuses in (
            (b"", (400,)), (b"null", (400,)), (b"{", (400,)), (b"\xff\xfe", (400,)), (b"[" * 20_000, (400,)),
            (json.dumps({"keyType": "Primary", "keyValue": "k3y" * 500_000}).encode(), (413,)),
        ):
            for call, path in (
                (self.contributor.v1, "/services/patched/regenerateKeys"),
                (self.contributor.v2, "/onlineEndpoints/patched/regenerateKeys"),
            ):
                with self.subTest(body=body[:20], path=path):
                    self.refused(call("POST", path, data=body, headers={"Content-Type": "application/json"}), *statuses)
                    self.refused(call("POST", path), 415)
        self.assertEqual(self.state("patched"), before)

    def test_the_present_value_means_a_new_one(self):
        before = self.state("patched")[1]
        body = {"keyType": "Primary", "keyValue": before["primaryKey"]}
        answer = self.contributor.v2("POST", "/onlineEndpoints/patched/regenerateKeys", json=body)
        self.assertIn(answer.status_code, (200, 202))
        after = self.state("patched")[1]
        self.assertNotEqual(after["primaryKey"], before["primaryKey"])
        self.assertEqual(after["secondaryKey"], before["secondaryKey"])


class Patch(BadInput):
    def test_what_no_patch_may_hold(self):
        before = self.state("patched")
        for body in (
            [replace("/noSuchPath", True)], [replace("/name", "other")], [replace("/computeType", "ACI")],
            [replace("", {})], [replace("authEnabled", False)], [replace("/authEnabled/", False)],
            [{"op": "test", "path": "/authEnabled", "value": True}], [{"op": "jump", "path": "/authEnabled"}],
            [{"op": "replace", "path": "/description"}], [{"op": "add", "path": "/kvTags"}],
            [{"op": "remove", "path": "/authEnabled"}], [{"op": "move", "from": "/kvTags", "path": "/description"}],
            [replace("/authEnabled", "false")], [replace("/authEnabled", None)], [{"op": "replace"}],
            [replace("/kvTags", [1])], [replace("/kvTags", {"a": {"b": 1}})], [replace("/description", {})],
            # Not even the good part of a patch with a bad one is carried out.
            [replace("/description", "half"), replace("/noSuchPath", 1)],
            {"op": "replace"}, "replace", 1, None, [1],
        ):
            with self.subTest(body=body):
                self.refused(self.patch("patched", body))
        self.assertEqual(self.state("patched"), before)

    def test_both_modes_in_any_order(self):
        before = self.state("patched")
        on, token_on = replace("/authEnabled", True), replace("/aadAuthEnabled", True)
        for body in ([token_on], [on, token_on], [token_on, on]):
            with self.subTest(body=body):
                self.refused(self.patch("patched", body), 400, 409)
        self.assertEqual(self.state("patched"), before)

    def test_the_resulting_state_is_judged_and_not_each_step(self):
        """Token first, then key off: in between both would be on."""
        for order in (1, -1):
            for key in (False, True):
                steps = [replace("/aadAuthEnabled", not key), replace("/authEnabled", key)][::order]
                answer = self.patch("patched", steps)
                self.assertIn(answer.status_code, (200, 202), answer.text)
                service = self.contributor.v1("GET", "/services/patched?expand=true").json()
                self.assertEqual((service["authEnabled"], service["aadAuthEnabled"]), (key, not key))

    def test_no_tokens_on_aci(self):
        before = self.state("key-aci")
        self.refused(self.patch("key-aci", [replace("/authEnabled", False), replace("/aadAuthEnabled", True)]))
        self.assertEqual(self.state("key-aci"), before)

    def test_malformed_and_huge_bodies(self):
        before = self.state("patched")
        self.refused(self.patch("patched", b""))
        self.refused(self.patch("patched", b"[{"))
        self.refused(self.patch("patched", [replace("/description", "x" * 1_000_000)]), 413)
        self.refused(self.patch("patched", [replace("/description", "x")] * 2_000), 400, 413)
        self.refused(self.patch("patched", [replace("/description", "x")], headers={"Content-Type": "text/plain"}), 415)
        self.assertEqual(self.state("patched"), before)


class Wrong(BadInput):
    def test_an_aci_webservice_asked_for_tokens(self):
        for name in ("key-aci", "open-aci"):
            self.assertEqual(self.refused(self.reader.v1("POST", f"/services/{name}/token"))[0], "AuthModeMismatch")
            self.assertEqual(
                self.refused(self.reader.v2("POST", f"/onlineEndpoints/{name}/token"))[0], "AuthModeMismatch"
            )

    def test_keys_of_webservices_that_have_none(self):
        body = {"keyType": "Primary", "keyValue": None}
        for name in ("token-aks", "open-aci"):
            for answer in (
                self.contributor.v1("POST", f"/services/{name}/listkeys"),
                self.contributor.v2("POST", f"/onlineEndpoints/{name}/listKeys"),
                self.contributor.v1("POST", f"/services/{name}/regenerateKeys", json=body),
                self.contributor.v2("POST", f"/onlineEndpoints/{name}/regenerateKeys", json=body),
            ):
                self.assertEqual(self.refused(answer)[0], "AuthModeMismatch")

    def test_arm_demands_an_api_version(self):
        for params in ({}, {"api-version": ""}):
            for method, path in (
                ("GET", ""), ("GET", "/onlineEndpoints"), ("GET", "/onlineEndpoints/token-aks"),
                ("GET", "/onlineEndpoints/token-aks/deployments"), ("POST", "/onlineEndpoints/token-aks/token"),
                ("POST", "/onlineEndpoints/key-aks/listKeys"), ("POST", "/onlineEndpoints/key-aks/regenerateKeys"),
            ):
                with self.subTest(path=path, params=params):
                    code, _ = self.refused(self.contributor.v2(method, path, params=params))
                    self.assertEqual(code, "MissingApiVersionParameter")

    def test_methods_that_a_path_does_not_take(self):
        for call, path in (
            (self.contributor.v1, "/services/token-aks/token"), (self.contributor.v1, "/services/key-aks/listkeys"),
            (self.contributor.v2, "/onlineEndpoints/key-aks/listKeys"),
            (self.contributor.v2, "/onlineEndpoints/key-aks/regenerateKeys"),
        ):
            with self.subTest(path=path):
                self.refused(call("GET", path), 405)

    def test_paths_that_lead_nowhere(self):
        self.refused(self.contributor.v1("GET", "/operations/no-such-operation"), 404)
        self.refused(self.contributor.v1("GET", "/models"), 404)
        self.refused(self.contributor.v2("GET", "/noSuchThings"), 404)

    def test_the_next_page_of_somebody_elses_list(self):
        for call, path in ((self.reader.v1, "/services"), (self.reader.v2, "/onlineEndpoints")):
            with self.subTest(path=path):
                first = call("GET", path, workspace=workspace_id(workspace=CROWDED_WORKSPACE))
                link = first.json()["nextLink"]
                self.assertTrue(link.startswith(f"{BASE}/"), link)
                following = self.reader.session.get(link, timeout=10)
                self.assertGreater(len(following.json()["value"]), 0)
                self.assertNotIn("nextLink", following.json())
                self.refused(self.stranger.session.get(link, timeout=10), 404)
                self.refused(Caller(NEIGHBOUR).session.get(link, timeout=10), 404)
                # Its place in another workspace's list: refused, or a place in that list and nothing else.
                elsewhere = self.reader.session.get(link.replace(f"/{CROWDED_WORKSPACE}/", "/sdk/"), timeout=10)
                if elsewhere.status_code != 200:
                    self.refused(elsewhere, 400)
                else:
                    for entry in elsewhere.json()["value"]:
                        self.assertFalse(entry["name"].startswith("one-of-many"), entry["name"])


class WrongTokens(BadInput):
    """A token opens what it was issued for."""

    def test_a_webservice_token_opens_no_api(self):
        headers = {"Authorization": f"Bearer {fetch_token(READER, audience('token-aks'))}"}
        self.refused(self.reader.v1("POST", "/services/token-aks/token", headers=headers), 401)
        self.refused(self.reader.v2("GET", "/onlineEndpoints/token-aks", headers=headers), 401)

    def test_a_management_token_opens_no_webservice(self):
        self.assertEqual(score("token-aks", fetch_token(CONTRIBUTOR)), 401)
        self.assertEqual(score("token-aks", fetch_token(READER, audience("token-aks"))), 200)

    def test_no_token_and_a_broken_one(self):
        for value in (None, "Bearer", "Bearer x.y.z", f"Basic {fetch_token(READER)}"):
            with self.subTest(value=value and value[:12]):
                headers = {"Authorization": value}
                self.refused(self.reader.v1("POST", "/services/token-aks/token", headers=headers), 401)
                self.refused(self.reader.v1("POST", "/services/key-aks/listkeys", headers=headers), 401)
                self.refused(self.reader.v2("GET", "/onlineEndpoints", headers=headers), 401)


class SameAnswer(BadInput):
    """Without a role nothing tells a webservice from one that is not there."""

    def test_every_operation_on_a_webservice(self):
        body = {"keyType": "Primary", "keyValue": None}
        patch = {"headers": JSON_PATCH, "data": json.dumps([replace("/description", "x")])}
        for caller in (self.stranger, Caller(NEIGHBOUR)):
            for call, method, path, request in (
                (caller.v1, "GET", "/services/{}?expand=true", {}), (caller.v1, "POST", "/services/{}/token", {}),
                (caller.v1, "POST", "/services/{}/listkeys", {}), (caller.v1, "DELETE", "/services/{}", {}),
                (caller.v1, "POST", "/services/{}/regenerateKeys", {"json": body}),
                (caller.v1, "PATCH", "/services/{}", patch), (caller.v2, "GET", "/onlineEndpoints/{}", {}),
                (caller.v2, "GET", "/onlineEndpoints/{}/deployments", {}),
                (caller.v2, "POST", "/onlineEndpoints/{}/token", {}), (caller.v2, "DELETE", "/onlineEndpoints/{}", {}),
                (caller.v2, "POST", "/onlineEndpoints/{}/listKeys", {}),
                (caller.v2, "POST", "/onlineEndpoints/{}/regenerateKeys", {"json": body}),
            ):
                with self.subTest(method=method, path=path):
                    names = ("token-aks", "key-aks", "absent")
                    said = {self.refused(call(method, path.format(name), **request), 404) for name in names}
                    self.assertEqual(len(said), 1, said)
                    self.assertIn("no role", said.pop()[1])


if __name__ == "__main__":
    unittest.main()
