//! `/v1.0/servicePrincipals`: principals and their secrets, in the words of Microsoft Graph.

use serde_json::json;

use crate::helpers::*;

const ALL: &str = "/v1.0/servicePrincipals";

fn path_of(who: &Who) -> String {
    format!("{ALL}/{}", who.object_id)
}

#[test]
fn a_principal_is_made_given_a_secret_used_and_deleted() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let made = api.post(ALL, &json!({ "displayName": "new program" })).expect(201);
    assert_eq!(app.record_of(&made).event, "change");
    let body = made.json();
    assert_eq!(body["accountEnabled"], true);
    assert_eq!(body["appOwnerOrganizationId"], TENANT);
    assert_eq!(body["passwordCredentials"], json!([]));
    let path = format!("{ALL}/{}", body["id"].as_str().unwrap());
    let added = api.post(&format!("{path}/addPassword"), &json!({})).expect(200);
    assert_eq!(added.header("cache-control"), Some("no-store"));
    let secret = added.json();
    let text = secret["secretText"].as_str().unwrap();
    assert!(text.starts_with("wsts_") && text.len() == 54, "{text}");
    assert_eq!(secret["hint"], text[..8]);
    assert_eq!(secret["endDateTime"], "2026-08-28T12:00:00Z");
    let rows = serde_json::to_string(&app.audit()).unwrap();
    assert!(!rows.contains(text), "a secret in the audit");
    // Shown once.
    let shown = api.get(&path).expect(200);
    assert!(!shown.text().contains("secretText") && !shown.text().contains(text));
    assert_eq!(shown.json()["passwordCredentials"][0]["keyId"], secret["keyId"]);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", body["appId"].as_str().unwrap()),
        ("client_secret", text),
        ("resource", ISSUER),
    ];
    app.form("/oauth2/token", &[], &fields).expect(200);
    api.delete(&path).expect(204);
    app.form("/oauth2/token", &[], &fields).expect(401);
    api.get(&path).expect(404);
    api.delete(&path).expect(404);
}

#[test]
fn two_secrets_live_side_by_side_and_a_third_is_refused() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let path = path_of(&READER);
    let use_of = |secret: &str| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", READER.client_id),
            ("client_secret", secret),
            ("resource", ISSUER),
        ];
        app.form("/oauth2/token", &[], &fields)
    };
    let named = json!({ "passwordCredential": { "displayName": "second" } });
    let second = api.post(&format!("{path}/addPassword"), &named).expect(200).json();
    assert_eq!(second["displayName"], "second");
    let text = second["secretText"].as_str().unwrap();
    let (first_use, second_use) = (use_of(app.secret(&READER)).expect(200), use_of(text).expect(200));
    // The audit tells which of the two it was.
    assert_ne!(app.record_of(&first_use).credential_id, app.record_of(&second_use).credential_id);
    let refused = api.post(&format!("{path}/addPassword"), &json!({})).expect(409).json();
    assert_eq!(refused["type"], "urn:wsts:problem:conflict");
    let remove = json!({ "keyId": second["keyId"] });
    let removed = api.post(&format!("{path}/removePassword"), &remove).expect(204);
    assert!(app.record_of(&removed).detail.unwrap().starts_with("remove secret"));
    use_of(text).expect(401);
    use_of(app.secret(&READER)).expect(200);
    api.post(&format!("{path}/removePassword"), &remove).expect(404);
    api.post(&format!("{path}/addPassword"), &json!({})).expect(200);
}

#[test]
fn an_expired_secret_makes_room_for_a_new_one() {
    let app = TestApp::start();
    let path = format!("{}/addPassword", path_of(&READER));
    let short = json!({ "passwordCredential": { "endDateTime": "2026-03-01T12:30:00Z" } });
    app.api(&OWNER).post(&path, &short).expect(200);
    app.api(&OWNER).post(&path, &short).expect(409);
    app.advance(1800);
    app.api(&OWNER).post(&path, &json!({})).expect(200);
    let shown = app.api(&OWNER).get(&path_of(&READER)).expect(200).json();
    assert_eq!(shown["passwordCredentials"].as_array().unwrap().len(), 2);
}

#[test]
fn a_secret_ends_in_the_future_and_within_two_years() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let path = format!("{}/addPassword", path_of(&READER));
    for end in ["2026-03-01T12:00:00Z", "2020-01-01T00:00:00Z", "2028-02-29T12:00:01Z"] {
        let body = json!({ "passwordCredential": { "endDateTime": end } });
        let answer = api.post(&path, &body).expect(400).json();
        assert!(answer["detail"].as_str().unwrap().contains("endDateTime"), "{answer}");
    }
    for body in
        [json!({ "passwordCredential": { "endDateTime": "tomorrow" } }), json!({ "passwordCredential": 7 })]
    {
        api.post(&path, &body).expect(400);
    }
}

#[test]
fn a_principal_outside_the_rules_is_refused_and_named() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    for (body, word) in [
        (json!({}), "displayName"),
        (json!({ "displayName": "" }), "displayName"),
        (json!({ "displayName": "x".repeat(129) }), "displayName"),
        (json!({ "displayName": "line\nbreak" }), "displayName"),
        (json!({ "displayName": "x", "appId": "no uuid" }), "UUID"),
    ] {
        let answer = api.post(ALL, &body).expect(400).json();
        assert!(answer["detail"].as_str().unwrap().contains(word), "{answer}");
    }
    let answer = api.patch(&path_of(&READER), &json!({ "role": "Owner" })).expect(400).json();
    assert!(answer["detail"].as_str().unwrap().contains("unknown field `role`"));
    api.get(&format!("{ALL}/no-uuid")).expect(400);
    api.get(&format!("{ALL}/0b000000-0000-0000-0000-00000000dead")).expect(404);
}

#[test]
fn only_an_owner_at_the_root_deals_with_principals() {
    let app = TestApp::start();
    for who in [&CONTRIBUTOR, &READER, &STRANGER] {
        let api = app.api(who);
        api.get(ALL).expect(404);
        api.post(ALL, &json!({ "displayName": "mine" })).expect(404);
        // Not even its own.
        api.get(&path_of(who)).expect(404);
        let refused = api.post(&format!("{}/addPassword", path_of(&OWNER)), &json!({})).expect(404);
        let record = app.record_of(&refused);
        assert_eq!(record.detail.as_deref(), Some("Microsoft.Graph/servicePrincipals/credentials/action"));
    }
}

#[test]
fn who_may_read_principals_hears_that_it_may_not_change_them() {
    let app = TestApp::start();
    let root = "/providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-0000-0000-000000000001";
    let body = json!({ "properties": {
        "roleDefinitionId": "b24988ac-6180-42a0-ab88-20f7382dd24c", "principalId": STRANGER.object_id } });
    app.api(&OWNER).put(root, &body).expect(201);
    let contributor = app.api(&STRANGER);
    contributor.get(ALL).expect(200);
    // A Contributor at the root can't become somebody else.
    for answer in [
        contributor.post(ALL, &json!({ "displayName": "mine" })),
        contributor.post(&format!("{}/addPassword", path_of(&OWNER)), &json!({})),
        contributor
            .post(&format!("{}/removePassword", path_of(&OWNER)), &json!({ "keyId": OWNER.object_id })),
        contributor.patch(&path_of(&OWNER), &json!({ "accountEnabled": false })),
        contributor.delete(&path_of(&OWNER)),
        contributor.delete(root),
    ] {
        answer.expect(403);
    }
}

#[test]
fn a_secret_is_removed_only_from_its_own_principal() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let key_id = api.get(&path_of(&READER)).json()["passwordCredentials"][0]["keyId"].clone();
    let path = format!("{}/removePassword", path_of(&STRANGER));
    api.post(&path, &json!({ "keyId": key_id })).expect(404);
    app.token_as(&READER, "scorer").expect(200);
}

#[test]
fn a_member_that_a_secret_does_not_have_is_refused_and_those_of_graph_are_taken() {
    let app = TestApp::start();
    let (api, path) = (app.api(&OWNER), format!("{}/addPassword", path_of(&STRANGER)));
    let before = api.get(&path_of(&STRANGER)).json()["passwordCredentials"].clone();
    for (body, named) in [
        (json!({ "passwordCredential": { "endDatetime": "2026-03-02T00:00:00Z" } }), "endDatetime"),
        (json!({ "passwordcredential": {} }), "passwordcredential"),
    ] {
        let refused = api.post(&path, &body).expect(400).json();
        assert!(refused["detail"].as_str().unwrap().contains(named), "{refused}");
    }
    assert_eq!(api.get(&path_of(&STRANGER)).json()["passwordCredentials"], before, "nothing was made");
    let whole = json!({ "passwordCredential": {
        "@odata.type": "#microsoft.graph.passwordCredential", "displayName": "whole",
        "startDateTime": null, "endDateTime": "2026-03-02T00:00:00Z", "keyId": null,
        "customKeyIdentifier": null, "hint": null, "secretText": null,
    } });
    let made = api.post(&path, &whole).expect(200).json();
    assert_eq!(
        (&made["displayName"], &made["endDateTime"]),
        (&json!("whole"), &json!("2026-03-02T00:00:00Z"))
    );
}

#[test]
fn a_list_says_nothing_of_credentials() {
    let app = TestApp::start();
    let listed = app.api(&OWNER).get("/v1.0/servicePrincipals").expect(200).json();
    for found in listed["value"].as_array().unwrap() {
        assert!(found["appId"].is_string());
        assert!(
            found.get("passwordCredentials").is_none() && found.get("keyCredentials").is_none(),
            "{found}"
        );
    }
}
