//! What an operator does to signing keys, as callers and gateways see it.

use std::sync::Arc;

use workspace_sts::domain::signing_key::Aftermath;
use workspace_sts::services::intervene_in_signing_keys::InterventionError;
use workspace_sts::signing::verifier::{Expected, KeySet};

use crate::helpers::*;

const JWKS: &str = "/.well-known/jwks.json";

fn kids(app: &TestApp) -> Vec<String> {
    let keys = app.get(JWKS).expect(200).json()["keys"].clone();
    keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn issued_by(app: &TestApp) -> (String, String) {
    let token = app.token_as(&READER, "scorer").expect(200).token();
    let kid = decoded(&token).0["kid"].as_str().unwrap().to_owned();
    (token, kid)
}

/// As a gateway that just read the keys.
fn is_taken(app: &TestApp, token: &str) -> bool {
    let keys = KeySet::parse(&app.get(JWKS).expect(200).text()).unwrap();
    let now = chrono::DateTime::from_timestamp(app.now(), 0).unwrap();
    let expected =
        Expected { issuer: Some(ISSUER), audience: Some(&audience("scorer")), now, leeway_seconds: 0 };
    keys.verify(token, &expected).is_ok()
}

fn revoke(app: &TestApp, kid: &str) -> Result<Aftermath, InterventionError> {
    let (core, kid) = (Arc::clone(&app.core), kid.to_owned());
    app.block_on(async move { core.revoke_signing_key(&kid).await.map(|done| done.aftermath) })
}

fn rotate(app: &TestApp) -> Result<Aftermath, InterventionError> {
    let core = Arc::clone(&app.core);
    app.block_on(async move { core.rotate_signing_key().await.map(|done| done.aftermath) })
}

/// What the audit says of keys, oldest first.
fn records(app: &TestApp) -> Vec<(String, String, Option<String>)> {
    let rows = app.audit().into_iter().filter(|row| row.event == "signing_key");
    rows.map(|row| (row.resource.unwrap_or_default(), row.reason.unwrap_or_default(), row.method)).collect()
}

#[test]
fn a_revoked_key_is_out_at_once_and_the_standby_signs() {
    let app = TestApp::start();
    app.advance(3600);
    let (old, compromised) = issued_by(&app);
    let standby = kids(&app).into_iter().find(|kid| *kid != compromised).unwrap();
    let aftermath = revoke(&app, &compromised).unwrap();
    assert!(
        matches!(aftermath, Aftermath::Successor { kid, known_at } if kid == standby && known_at.timestamp() < app.now())
    );
    app.tend_signing_keys();
    let published = kids(&app);
    assert!(
        !published.contains(&compromised) && published.len() == 2,
        "a new standby is there: {published:?}"
    );
    let (new, kid) = issued_by(&app);
    assert_eq!(kid, standby);
    assert!(is_taken(&app, &new) && !is_taken(&app, &old));
    let records = records(&app);
    let of_operator = |kid: &str, reason: &str| {
        records.contains(&(kid.to_owned(), reason.to_owned(), Some("command_line".to_owned())))
    };
    assert!(of_operator(&compromised, "revoked"), "{records:?}");
    assert!(of_operator(&standby, "takes the place of a revoked key"), "{records:?}");
    // Its private half is gone from the database, and nothing brings it back.
    let core = Arc::clone(&app.core);
    let stored = app.block_on(async move { core.store.signing_keys().await.unwrap() });
    assert!(stored.iter().any(|row| row.key.kid == compromised && row.private.is_none()));
    assert!(revoke(&app, &compromised).unwrap_err().to_string().contains("was revoked at"));
    assert!(revoke(&app, "nobody").unwrap_err().to_string().contains("wsts keys list"));
}

#[test]
fn a_second_emergency_tells_until_when_gateways_may_refuse() {
    let app = TestApp::start();
    app.advance(3600);
    let (_, first) = issued_by_after_tending(&app);
    revoke(&app, &first).unwrap();
    let (_, second) = issued_by_after_tending(&app);
    let aftermath = revoke(&app, &second).unwrap();
    // The third was published just now: M + R + X + 2C until every copy has it.
    assert!(
        matches!(aftermath, Aftermath::Successor { known_at, .. } if known_at.timestamp() == app.now() + 345)
    );
    let (third, _) = issued_by_after_tending(&app);
    assert!(is_taken(&app, &third));
}

fn issued_by_after_tending(app: &TestApp) -> (String, String) {
    app.tend_signing_keys();
    issued_by(app)
}

#[test]
fn a_rotation_before_the_time_refuses_no_token() {
    let app = TestApp::start();
    let why = rotate(&app).unwrap_err().to_string();
    assert!(why.contains("may sign from") && why.contains("revoke"), "{why}");
    app.advance(24 * 3600);
    let (old, before) = issued_by_after_tending(&app);
    rotate(&app).unwrap();
    let (new, after) = issued_by_after_tending(&app);
    assert_ne!(before, after);
    assert!(is_taken(&app, &old) && is_taken(&app, &new));
    assert_eq!(kids(&app).len(), 3, "retiring, active and a new standby");
    assert!(rotate(&app).is_err(), "the new standby waits for its lead");
}

#[test]
fn a_preview_is_signed_by_the_standby_and_opens_nothing() {
    let app = TestApp::start();
    let (_, active) = issued_by(&app);
    let core = Arc::clone(&app.core);
    let preview = app.block_on(async move { core.preview_signing_key(&core.local_context()).await.unwrap() });
    assert_ne!(preview.kid, active);
    assert!(kids(&app).contains(&preview.kid));
    let (header, claims) = decoded(&preview.token);
    assert_eq!(header["kid"], preview.kid.as_str());
    assert_eq!(claims["aud"], format!("{ISSUER}/preview"));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    assert!(!is_taken(&app, &preview.token), "its audience is no webservice's");
    app.api_with(&preview.token).get(WORKSPACE).expect(401);
    app.v1_token(&preview.token, "scorer").expect(401);
    let row = app.audit().into_iter().find(|row| row.reason.as_deref() == Some("previewed")).unwrap();
    assert_eq!((row.kid, row.token_id.as_deref()), (Some(preview.kid), claims["jti"].as_str()));
}

#[test]
fn keys_that_were_not_read_for_the_grace_sign_no_more() {
    let app = TestApp::start();
    // Beyond its first hour a deployment's JWKS may be kept longer than that.
    app.advance(2 * 3600);
    app.advance_unattended(900);
    issued_by(&app);
    app.advance_unattended(1);
    app.token_as(&READER, "scorer").expect(503);
    // For the sake of the JWKS it stays where requests come.
    assert!(app.get_ops("/readyz").expect(200).text().contains("degraded"));
    app.get(JWKS).expect(200);
    issued_by_after_tending(&app);
}

#[test]
fn a_token_of_a_revoked_key_opens_nothing_though_it_was_taken_before() {
    let app = TestApp::start();
    app.advance(3600);
    let token = app.management_token(&READER);
    let compromised = decoded(&token).0["kid"].as_str().unwrap().to_owned();
    app.api_with(&token).get(&webservice("scorer")).expect(200);
    revoke(&app, &compromised).unwrap();
    app.tend_signing_keys();
    app.api_with(&token).get(&webservice("scorer")).expect(401);
    app.api(&READER).get(&webservice("scorer")).expect(200);
}
