//! RFC 8693: a token of a trusted issuer straight for a token of this service. One validator with the client assertion;
//! the form and the shape of a refusal are its own.

use serde_json::{Value, json};

use crate::helpers::*;
use crate::issuer::*;
use crate::signer::*;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn with_issuer() -> (TestApp, Issuer, Signer, String) {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    let app = TestApp::with(|deployment| deployment.more_config = issuer.entry());
    let id = trust(&app, &READER, &issuer.url, &json!({}));
    (app, issuer, key, id)
}

fn token(app: &TestApp, issuer: &Issuer, key: &Signer, members: &Value) -> String {
    key.sign(&key.header_with_kid("main"), &with(&federated_claims(app, &issuer.url), members))
}

type Fields<'a> = &'a [(&'a str, &'a str)];

/// With fields put in place of others; an empty one counts as left out.
fn exchange(app: &TestApp, path: &str, subject_token: &str, more: Fields<'_>) -> Answer {
    let mut fields = vec![
        ("grant_type", GRANT),
        ("client_id", READER.client_id),
        ("subject_token", subject_token),
        ("subject_token_type", JWT),
    ];
    fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    fields.extend_from_slice(more);
    app.form(path, &[], &fields)
}

#[test]
fn a_token_of_a_trusted_issuer_is_exchanged_for_one_of_this_service() {
    let (app, issuer, key, id) = with_issuer();
    let text = token(&app, &issuer, &key, &json!({}));
    let scorer = audience("scorer");
    let by_scope = format!("{scorer}/.default");
    for (target, aud) in [
        (vec![("resource", scorer.as_str())], scorer.as_str()),
        (vec![("audience", scorer.as_str())], scorer.as_str()),
        (vec![("scope", by_scope.as_str())], scorer.as_str()),
        (vec![("audience", scorer.as_str()), ("scope", "score")], scorer.as_str()),
        (vec![("resource", ISSUER)], ISSUER),
        (vec![("audience", "https://management.azure.com/")], ISSUER),
    ] {
        for path in ["/oauth2/token", &format!("/{TENANT}/oauth2/v2.0/token")] {
            let answer = exchange(&app, path, &text, &target).expect(200);
            let body = answer.json();
            assert_eq!(
                (&body["issued_token_type"], &body["token_type"]),
                (&json!(ACCESS_TOKEN), &json!("Bearer"))
            );
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let claims = decoded(&answer.token()).1;
            assert_eq!((&claims["aud"], &claims["oid"]), (&json!(aud), &json!(READER.object_id)));
            let record = app.record_of(&answer);
            assert_eq!(record.method.as_deref(), Some("federated_credential"));
            assert_eq!(record.credential_id.as_ref(), Some(&id));
        }
    }
    assert_eq!(issuer.all_fetches(), [DISCOVERY, JWKS]);
    let as_jwt =
        exchange(&app, "/oauth2/token", &text, &[("resource", ISSUER), ("requested_token_type", JWT)]);
    assert_eq!(as_jwt.expect(200).json()["issued_token_type"], JWT);
    // What a client credential gives says nothing of an exchange.
    assert_eq!(app.prove_as(&READER, &text).expect(200).json()["issued_token_type"], Value::Null);
}

#[test]
fn the_type_that_is_said_is_the_type_that_is_read() {
    let (app, issuer, key, _) = with_issuer();
    let claims = federated_claims(&app, &issuer.url);
    let of_type = |typ: Value| key.sign(&with(&key.header_with_kid("main"), &json!({ "typ": typ })), &claims);
    for (typ, taken_as) in [
        (json!("JWT"), vec![JWT, ID_TOKEN, ACCESS_TOKEN]),
        (json!(null), vec![JWT, ID_TOKEN]),
        (json!("at+jwt"), vec![ACCESS_TOKEN]),
        (json!("client-authentication+jwt"), vec![]),
        (json!("dpop+jwt"), vec![]),
    ] {
        for kind in [JWT, ID_TOKEN, ACCESS_TOKEN] {
            let more = [("resource", ISSUER), ("subject_token_type", kind)];
            let answer = exchange(&app, "/oauth2/token", &of_type(typ.clone()), &more);
            let expected = if taken_as.contains(&kind) { 200 } else { 400 };
            assert_eq!(answer.status, expected, "{typ} as {kind}: {}", answer.text());
        }
    }
}

#[test]
fn a_subject_token_that_proves_nobody_is_an_invalid_request() {
    let (app, issuer, key, _) = with_issuer();
    app.register(&READER, &key);
    let now = app.now();
    let good = token(&app, &issuer, &key, &json!({}));
    let with_members = |members: Value| token(&app, &issuer, &key, &members);
    let own = key.sign(&with(&key.header(), &json!({ "kid": "main" })), &own_claims(&app, &READER));
    for (text, who, reason) in [
        ("no token".to_owned(), READER, "malformed_assertion"),
        ("a.b.c".to_owned(), READER, "malformed_assertion"),
        (format!("{good}.d"), READER, "malformed_assertion"),
        (with_members(json!({ "exp": null })), READER, "malformed_assertion"),
        (with_members(json!({ "exp": now - 61 })), READER, "assertion_time"),
        (with_members(json!({ "exp": now + 25 * 3600 })), READER, "assertion_time"),
        (with_members(json!({ "sub": "another" })), READER, "no_federated_credential"),
        (with_members(json!({ "aud": ISSUER })), READER, "no_federated_credential"),
        (good.clone(), STRANGER, "no_federated_credential"),
        (
            Signer::p256().sign(&key.header_with_kid("main"), &federated_claims(&app, &issuer.url)),
            READER,
            "wrong_signature",
        ),
        (
            key.sign(&key.header_with_kid("new"), &federated_claims(&app, &issuer.url)),
            READER,
            "unknown_issuer_key",
        ),
        // What it signs itself is a client assertion and no subject; what this service issued is neither.
        (own, READER, "no_federated_credential"),
        (app.management_token(&READER), READER, "malformed_assertion"),
    ] {
        let more = [("resource", ISSUER), ("client_id", who.client_id)];
        let answer = exchange(&app, "/oauth2/token", &text, &more).expect(400);
        let body = answer.json();
        assert_eq!(body["error"], "invalid_request", "{reason} {body}");
        assert!(answer.header("www-authenticate").is_none());
        let record = app.record_of(&answer);
        assert_eq!(
            (record.outcome.as_str(), record.reason.as_deref()),
            ("refused", Some(reason)),
            "{text:.60}"
        );
        assert_eq!(record.client_id.as_deref(), Some(who.client_id));
    }
    let own_token = app.management_token(&READER);
    let more = [("resource", ISSUER), ("subject_token_type", ACCESS_TOKEN)];
    let answer = exchange(&app, "/oauth2/token", &own_token, &more).expect(400);
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some("no_federated_credential"));
    // The target is judged as for everyone.
    let nowhere = exchange(&app, "/oauth2/token", &good, &[("audience", &audience("nothing"))]).expect(400);
    assert_eq!(nowhere.json()["error"], "invalid_target");
}

#[test]
fn a_form_that_is_no_exchange_is_refused_and_says_why() {
    let (app, issuer, key, _) = with_issuer();
    let text = token(&app, &issuer, &key, &json!({}));
    let target = ("resource", ISSUER);
    let fields: [(Fields, &str, &str); 13] = [
        (&[target, ("client_id", "")], "invalid_request", "client_id"),
        (&[target, ("subject_token", "")], "invalid_request", "subject_token"),
        (&[target, ("subject_token_type", "")], "invalid_request", "subject_token_type"),
        (&[target, ("subject_token_type", "jwt")], "invalid_request", "subject_token_type"),
        (&[target, ("requested_token_type", ID_TOKEN)], "invalid_request", "requested_token_type"),
        (&[target, ("actor_token", "a.b.c")], "invalid_request", "actor_token"),
        (&[target, ("client_secret", "secret")], "invalid_request", "client_secret"),
        (&[target, ("client_assertion", "a.b.c")], "invalid_request", "client_assertion"),
        (&[target, ("subject_token", "a"), ("subject_token", "b")], "invalid_request", "subject_token"),
        (&[target, ("audience", ISSUER)], "invalid_target", "audience"),
        (&[("audience", ISSUER), ("audience", ISSUER)], "invalid_request", "audience"),
        (&[("audience", "https://evil.example")], "invalid_target", "audience"),
        (&[], "invalid_request", "resource"),
    ];
    for (more, error, culprit) in fields {
        let answer = exchange(&app, "/oauth2/token", &text, more).expect(400);
        let body = answer.json();
        assert_eq!(body["error"], error, "{more:?} {body}");
        assert!(body["error_description"].as_str().unwrap().contains(culprit), "{more:?} {body}");
    }
    let basic = basic(READER.client_id, app.secret(&READER));
    let both = [
        ("grant_type", GRANT),
        ("client_id", READER.client_id),
        ("subject_token", text.as_str()),
        ("subject_token_type", JWT),
        target,
    ];
    let answer = app.form("/oauth2/token", &[("authorization", &basic)], &both).expect(400);
    assert_eq!(answer.json()["error"], "invalid_request");
    let other = app.form("/oauth2/token", &[], &[("grant_type", "password")]).expect(400);
    assert_eq!(other.json()["error"], "unsupported_grant_type");
    assert_eq!(issuer.all_fetches(), Vec::<String>::new());
}
