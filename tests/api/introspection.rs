//! What a token is good for (RFC 7662): told to its own client and to who may read the webservice, and to nobody why not.

use serde_json::json;

use crate::helpers::*;

fn introspect(app: &TestApp, who: &Who, token: &str) -> Answer {
    let fields = [("client_id", who.client_id), ("client_secret", app.secret(who)), ("token", token)];
    app.form("/oauth2/introspect", &[], &fields)
}

#[track_caller]
fn assert_inactive(answer: Answer) {
    assert_eq!(answer.expect(200).json(), json!({ "active": false }));
}

#[test]
fn a_live_token_is_described_to_who_may_read_its_webservice() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    let claims = decoded(&token).1;
    for who in [&READER, &CONTRIBUTOR, &OWNER] {
        let answer = introspect(&app, who, &token).expect(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let told = answer.json();
        assert_eq!((&told["active"], &told["token_type"]), (&json!(true), &json!("Bearer")));
        for name in [
            "iss",
            "sub",
            "aud",
            "client_id",
            "scope",
            "iat",
            "nbf",
            "exp",
            "jti",
            "oid",
            "tid",
            "webservice",
        ] {
            assert_eq!(told[name], claims[name], "{name}");
        }
    }
    // One is a reader of another group.
    for who in [&STRANGER, &FOREIGN_OWNER, &GROUP_READER] {
        assert_inactive(introspect(&app, who, &token));
    }
    let counted = app.get_ops("/metrics").text();
    assert!(counted.contains("sts_introspections_total{active=\"true\",region=\"local\"} 3"), "counted");
    assert!(counted.contains("sts_introspections_total{active=\"false\",region=\"local\"} 3"), "counted");
}

#[test]
fn a_management_token_is_described_to_its_own_client_alone() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    assert_eq!(introspect(&app, &READER, &token).expect(200).json()["active"], true);
    assert_inactive(introspect(&app, &OWNER, &token));
}

#[test]
fn what_would_not_be_let_in_is_inactive_without_a_reason() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    let mut altered = token.clone();
    altered.pop();
    for other in ["x", "a.b.c", &altered, &"z".repeat(16_000), "\u{202e}"] {
        assert_inactive(introspect(&app, &OWNER, other));
    }
    let fields =
        [("client_id", READER.client_id), ("client_secret", app.secret(&READER)), ("token", token.as_str())];
    let revoked = app.token_as(&READER, "scorer").token();
    app.form("/oauth2/revoke", &[], &[fields[0], fields[1], ("token", &revoked)]).expect(200);
    assert_inactive(introspect(&app, &OWNER, &revoked));
    assert_eq!(introspect(&app, &OWNER, &token).expect(200).json()["active"], true);
    let disabled = format!("/v1.0/servicePrincipals/{}", READER.object_id);
    app.api(&OWNER).patch(&disabled, &json!({ "accountEnabled": false })).expect(204);
    assert_inactive(introspect(&app, &OWNER, &token));
    app.api(&OWNER).patch(&disabled, &json!({ "accountEnabled": true })).expect(204);
    assert_eq!(introspect(&app, &OWNER, &token).expect(200).json()["active"], true);
    app.advance(3601);
    assert_inactive(introspect(&app, &OWNER, &token));
}

#[test]
fn who_proves_nothing_is_told_nothing() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    let bearer = format!("Bearer {}", app.management_token(&OWNER));
    let id = ("client_id", OWNER.client_id);
    let form =
        |headers: &[(&str, &str)], fields: &[(&str, &str)]| app.form("/oauth2/introspect", headers, fields);
    for (answer, status, error) in [
        (form(&[], &[("token", &token)]), 400, "invalid_request"),
        (form(&[("authorization", &bearer)], &[("token", &token)]), 400, "invalid_request"),
        (form(&[], &[id, ("client_secret", "wrong"), ("token", &token)]), 401, "invalid_client"),
        (form(&[], &[id, ("client_secret", app.secret(&OWNER))]), 400, "invalid_request"),
    ] {
        assert_eq!(answer.clone().expect(status).json()["error"], error, "{}", answer.text());
    }
    let wrong = form(&[], &[id, ("client_secret", "wrong"), ("token", &token)]);
    assert_eq!(app.record_of(&wrong).reason.as_deref(), Some("malformed_secret"));
    assert_eq!(app.get("/oauth2/introspect").expect(405).header("allow"), Some("POST"));
}
