//! What proves a caller, and when it stops to: every refusal holds from the next request on.

use serde_json::json;

use crate::helpers::*;

/// The one answer to every fault of a credential.
#[track_caller]
fn assert_invalid_client(app: &TestApp, answer: &Answer, reason: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"], "invalid_client");
    assert_eq!(body["error_codes"], json!([7_000_215]));
    assert_eq!(
        body["error_description"],
        "the client id is unknown in this tenant, its secret is wrong or expired, or it is disabled"
    );
    assert_eq!(body["timestamp"], "2026-03-01 12:00:00Z".replace("12:00", &format_clock(app)));
    assert_eq!(body["correlation_id"], answer.request_id());
    assert_eq!(body["trace_id"], answer.request_id());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let record = app.record_of(answer);
    assert_eq!((record.outcome.as_str(), record.reason.as_deref()), ("refused", Some(reason)));
    assert!(record.token_id.is_none());
}

fn format_clock(app: &TestApp) -> String {
    let now = chrono::DateTime::from_timestamp(app.now(), 0).unwrap();
    now.format("%H:%M").to_string()
}

#[test]
fn every_fault_of_a_credential_has_one_answer_and_its_own_reason_in_the_audit() {
    let app = TestApp::start();
    let ask = |client_id: &str, secret: &str| {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret),
            ("resource", &audience("scorer")),
        ];
        app.form("/oauth2/token", &[], &fields)
    };
    let unknown = "cccccccc-0000-0000-0000-000000000000";
    let secret = app.secret(&READER);
    assert_invalid_client(&app, &ask(unknown, secret), "unknown_client");
    assert_invalid_client(&app, &ask("no uuid at all", secret), "unknown_client");
    assert_invalid_client(&app, &ask(READER.client_id, app.secret(&OWNER)), "wrong_secret");
    assert_invalid_client(&app, &ask(READER.client_id, "wsts_mistyped"), "malformed_secret");
    assert_invalid_client(&app, &ask(READER.client_id, &"x".repeat(4096)), "malformed_secret");
    assert_invalid_client(&app, &app.token_as(&DISABLED, "scorer"), "principal_disabled");
    // An unproven id stands in the audit as claimed: without an object id.
    let record = app.record_of(&ask(READER.client_id, "wsts_mistyped"));
    assert_eq!(record.client_id.as_deref(), Some(READER.client_id));
    assert_eq!((record.object_id, record.credential_id), (None, None));
    // A proven one as proven, though its door is closed.
    let record = app.record_of(&app.token_as(&DISABLED, "scorer"));
    assert_eq!(record.object_id.as_deref(), Some(DISABLED.object_id));
    assert!(record.credential_id.is_some());
}

#[test]
fn a_challenge_is_sent_only_to_who_used_basic() {
    let app = TestApp::start();
    let fields = [("grant_type", "client_credentials"), ("resource", ISSUER)];
    let header = basic(READER.client_id, "wrong");
    let answer = app.form("/oauth2/token", &[("authorization", &header)], &fields);
    assert_invalid_client(&app, &answer, "malformed_secret");
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"wsts\""));
    let fields = [fields[0], fields[1], ("client_id", READER.client_id), ("client_secret", "wrong")];
    let answer = app.form("/oauth2/token", &[], &fields).expect(401);
    assert_eq!(answer.header("www-authenticate"), None);
}

#[test]
fn a_principal_disabled_now_is_refused_at_the_next_request() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    app.token_as(&READER, "scorer").expect(200);
    app.v2_token(&token, "scorer").expect(200);
    let path = format!("/v1.0/servicePrincipals/{}", READER.object_id);
    app.api(&OWNER).patch(&path, &json!({ "accountEnabled": false })).expect(204);
    assert_invalid_client(&app, &app.token_as(&READER, "scorer"), "principal_disabled");
    // Its management token lives on, and opens nothing.
    for answer in [app.v1_token(&token, "scorer"), app.v2_token(&token, "scorer")] {
        let answer = answer.expect(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"wsts\", error=\"invalid_token\""));
        let record = app.record_of(&answer);
        assert_eq!(record.reason.as_deref(), Some("principal_disabled"));
        assert_eq!(record.object_id.as_deref(), Some(READER.object_id));
    }
    app.api_with(&token).get(WORKSPACE).expect(401);
    app.api(&OWNER).patch(&path, &json!({ "accountEnabled": true })).expect(204);
    app.token_as(&READER, "scorer").expect(200);
}

#[test]
fn a_removed_secret_is_refused_at_the_next_request() {
    let app = TestApp::start();
    app.token_as(&READER, "scorer").expect(200);
    let path = format!("/v1.0/servicePrincipals/{}", READER.object_id);
    let api = app.api(&OWNER);
    let key_id = api.get(&path).json()["passwordCredentials"][0]["keyId"].clone();
    api.post(&format!("{path}/removePassword"), &json!({ "keyId": key_id })).expect(204);
    assert_invalid_client(&app, &app.token_as(&READER, "scorer"), "wrong_secret");
}

#[test]
fn a_deleted_principal_is_refused_at_the_next_request() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    let path = format!("/v1.0/servicePrincipals/{}", READER.object_id);
    app.api(&OWNER).delete(&path).expect(204);
    assert_invalid_client(&app, &app.token_as(&READER, "scorer"), "unknown_client");
    let answer = app.v1_token(&token, "scorer").expect(401);
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some("invalid_token"));
}

#[test]
fn an_expired_secret_is_refused_to_the_second() {
    let app = TestApp::start();
    let path = format!("/v1.0/servicePrincipals/{}/addPassword", STRANGER.object_id);
    let body = json!({ "passwordCredential": { "endDateTime": "2026-03-01T13:00:00Z" } });
    let made = app.api(&OWNER).post(&path, &body).expect(200).json();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", STRANGER.client_id),
        ("client_secret", made["secretText"].as_str().unwrap()),
        ("resource", ISSUER),
    ];
    app.advance(3599);
    app.form("/oauth2/token", &[], &fields).expect(200);
    app.advance(1);
    assert_invalid_client(&app, &app.form("/oauth2/token", &[], &fields), "secret_expired");
    // The other one lives.
    app.token_for(&STRANGER, ISSUER, &[]).expect(200);
}

#[test]
fn an_expired_management_token_opens_nothing() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    app.advance(3599);
    app.v2_token(&token, "scorer").expect(200);
    app.api_with(&token).get(WORKSPACE).expect(200);
    app.advance(1);
    for answer in
        [app.v1_token(&token, "scorer"), app.v2_token(&token, "scorer"), app.api_with(&token).get(WORKSPACE)]
    {
        let answer = answer.expect(401);
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some("token_expired"));
    }
}

#[test]
fn the_two_kinds_of_token_never_stand_in_for_each_other() {
    let app = TestApp::start();
    let webservice_token = app.token_as(&READER, "scorer").token();
    let management = app.management_token(&READER);
    // A webservice token opens no route of the API.
    let answers = [
        app.v1_token(&webservice_token, "scorer"),
        app.v2_token(&webservice_token, "scorer"),
        app.api_with(&webservice_token).get(WORKSPACE),
        app.api_with(&webservice_token).get(&webservice("scorer")),
        app.api_with(&webservice_token).get("/v1.0/servicePrincipals"),
    ];
    for answer in answers {
        let answer = answer.expect(401);
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some("invalid_token"));
    }
    // A management token is refused by whoever checks the webservice's audience: aud and scope differ.
    let claims = decoded(&management).1;
    assert_ne!(claims["aud"], audience("scorer"));
    assert_eq!(claims["aud"], ISSUER);
    let verifier = &app.core.published.load().verifier;
    let expected = workspace_sts::signing::verifier::Expected {
        issuer: Some(ISSUER),
        audience: Some(&audience("scorer")),
        now: beginning(),
        leeway_seconds: 60,
    };
    assert!(verifier.verify(&webservice_token, &expected).is_ok());
    assert!(verifier.verify(&management, &expected).is_err());
    // And neither is a client's credential.
    let fields = [("grant_type", "client_credentials"), ("resource", ISSUER)];
    let header = format!("Bearer {management}");
    app.form("/oauth2/token", &[("authorization", &header)], &fields).expect(400);
}

#[test]
fn an_altered_management_token_is_refused_even_when_the_original_was_seen() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    app.v1_token(&token, "scorer").expect(200);
    let parts: Vec<&str> = token.split('.').collect();
    let (other, _) = (app.management_token(&OWNER), ());
    let swapped = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    let longer = format!("{token}A");
    for altered in [swapped, unsigned, longer, "a.b.c".to_owned(), "x".repeat(9000)] {
        let answer = app.v1_token(&altered, "scorer").expect(401);
        assert_eq!(answer.json()["code"], "InvalidAuthenticationToken");
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some("invalid_token"));
    }
}

#[test]
fn a_route_without_a_token_asks_for_one_in_its_own_dialect() {
    let app = TestApp::start();
    let v1 = format!("/modelmanagement/v1.0{WORKSPACE}/services/scorer/token");
    let v2 = format!("{}/token?{V}", webservice("scorer"));
    let answer = app.send("POST", &v1, &[], b"").expect(401);
    assert_eq!(answer.json()["code"], "AuthenticationFailed");
    assert_eq!(answer.json()["statusCode"], 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"wsts\""));
    let answer = app.send("POST", &v2, &[], b"").expect(401);
    assert_eq!(answer.json()["error"]["code"], "AuthenticationFailed");
    let answer = app.get("/v1.0/servicePrincipals").expect(401);
    assert_eq!(answer.json()["type"], "urn:wsts:problem:missing-token");
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some("missing_token"));
    // Another scheme is no token.
    let header = basic(READER.client_id, app.secret(&READER));
    app.send("POST", &v1, &[("authorization", &header)], b"").expect(401);
}
