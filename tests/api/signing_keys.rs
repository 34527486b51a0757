//! Signing keys as callers and gateways see them: the JWKS, restarts, wrong secrets, the other algorithms.

use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde_json::Value;
use workspace_sts::domain::signing_key::SigningAlgorithm;
use workspace_sts::signing::verifier::{Expected, KeySet};

use crate::helpers::*;

const JWKS: &str = "/.well-known/jwks.json";

/// Verifies as a gateway does: with nothing but the published keys.
#[track_caller]
fn verified(app: &TestApp, token: &str) {
    let keys = KeySet::parse(&app.get(JWKS).text()).unwrap();
    let expected = Expected {
        issuer: Some(ISSUER),
        audience: Some(&audience("scorer")),
        now: beginning(),
        leeway_seconds: 0,
    };
    keys.verify(token, &expected).unwrap();
}

fn kids(app: &TestApp) -> Vec<String> {
    let keys = app.get(JWKS).json()["keys"].clone();
    keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_token_verifies_against_the_published_keys() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    verified(&app, &token);
    let key = app.get(JWKS).json()["keys"][0].clone();
    let names: Vec<&String> = key.as_object().unwrap().keys().collect();
    assert_eq!(names, ["alg", "crv", "iss", "kid", "kty", "region", "use", "x", "y"]);
    assert_eq!((&key["alg"], &key["use"], &key["region"]), (&"ES256".into(), &"sig".into(), &"local".into()));
}

#[test]
fn the_jwks_may_be_cached_and_says_for_how_long() {
    let app = TestApp::start();
    let tenant = format!("/{TENANT}/discovery/v2.0/keys");
    for path in [JWKS, "/regions/local/jwks.json", "/regions/LOCAL/jwks.json", &tenant] {
        let answer = app.get(path).expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!((240..=300).contains(&max_age(&answer)));
        let etag = answer.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong validator: {etag}");
        for known in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = app.send("GET", path, &[("if-none-match", &known)], b"").expect(304);
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), Some(etag.as_str()));
            assert!((240..=300).contains(&max_age(&again)));
        }
        app.send("GET", path, &[("if-none-match", "\"other\"")], b"").expect(200);
        let head = app.send("HEAD", path, &[], b"").expect(200);
        assert!(head.body.is_empty());
        assert_eq!(head.header("etag"), Some(etag.as_str()));
        assert_eq!(head.header("content-length"), Some(answer.body.len().to_string().as_str()));
        let refused = app.send("POST", path, &[], b"").expect(405);
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    }
    app.get("/regions/elsewhere/jwks.json").expect(404);
    app.get("/77777777-7777-7777-7777-777777777777/discovery/v2.0/keys").expect(400);
}

#[test]
fn gateways_that_start_together_do_not_come_back_together() {
    let app = TestApp::start();
    let ages: std::collections::BTreeSet<i64> =
        (0..200).map(|_| max_age(&app.get(JWKS).expect(200))).collect();
    assert!(ages.len() > 30, "{ages:?}");
    assert!(ages.iter().all(|age| (240..=300).contains(age)), "{ages:?}");
}

#[test]
fn a_copy_is_kept_no_longer_than_the_keys_are_known_to_be_all() {
    let app = TestApp::start();
    // In its first hour, while other regions may join, nothing longer than max-age is promised.
    app.advance_unattended(100);
    assert!((160..=200).contains(&max_age(&app.get(JWKS).expect(200))));
    app.advance(3600);
    // The lead is a day, the keys were read just now, and what was decided 35 s before may have been written since, by
    // clocks that are 5 s off each.
    app.advance_unattended(24 * 3600 - 45 - 100);
    assert!((80..=100).contains(&max_age(&app.get(JWKS).expect(200))));
    app.get_ops("/readyz").expect(200);
    app.advance_unattended(100);
    let stale = app.get(JWKS).expect(200);
    assert_eq!(stale.header("cache-control"), Some("no-cache"));
    assert!(app.get_ops("/readyz").expect(503).text().contains("not read for too long"));
    assert!(app.get_ops("/metrics").text().contains("sts_jwks_stale_total{region=\"local\"} 1\n"));
    app.tend_signing_keys();
    assert!((240..=300).contains(&max_age(&app.get(JWKS).expect(200))));
    app.get_ops("/readyz").expect(200);
}

#[test]
fn a_restart_keeps_keys_secrets_and_audit() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    let management = app.management_token(&READER);
    let jwks = app.get(JWKS).expect(200);
    let rows = app.audit().len();
    let app = app.restart();
    let again = app.get(JWKS).expect(200);
    assert_eq!(again.body, jwks.body);
    assert_eq!(again.header("etag"), jwks.header("etag"));
    verified(&app, &token);
    assert_eq!(app.audit().len(), rows, "no key and no change at a second start");
    app.token_as(&READER, "scorer").expect(200);
    app.v2_token(&management, "scorer").expect(200);
}

#[test]
fn a_wrong_kek_refuses_to_start_and_makes_no_key() {
    let app = TestApp::start();
    let before = kids(&app);
    let deployment = app.into_deployment();
    deployment.write_secret("kek", 7);
    let why = deployment.try_start().err().expect("a wrong KEK").to_string();
    assert!(why.contains("access keys") && why.contains("sealed under KEK"), "{why}");
    deployment.write_secret("kek", 1);
    let app = deployment.run();
    assert_eq!(kids(&app), before, "no key was made in between");
    let made = app.audit().iter().filter(|row| row.event == "signing_key").count();
    assert_eq!(made, before.len());
}

#[test]
fn a_wrong_pepper_refuses_to_start_and_changes_nothing() {
    let app = TestApp::start();
    let (before, rows) = (kids(&app), app.audit().len());
    let secret = app.secret(&READER).to_owned();
    let deployment = app.into_deployment();
    deployment.write_secret("pepper", 7);
    let why = deployment.try_start().err().expect("a wrong pepper").to_string();
    assert!(why.contains("start with the pepper that made them"), "{why}");
    deployment.write_secret("pepper", 2);
    let app = deployment.run();
    assert_eq!((kids(&app), app.audit().len()), (before, rows));
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", READER.client_id),
        ("client_secret", &secret),
        ("resource", ISSUER),
    ];
    app.form("/oauth2/token", &[], &fields).expect(200);
}

#[test]
fn a_secret_file_that_holds_no_key_refuses_to_start() {
    let deployment = Deployment::new();
    for text in ["", "short", &"A".repeat(44)] {
        std::fs::write(deployment.path("kek"), text).unwrap();
        let why = deployment.try_start().err().expect("no key").to_string();
        assert!(why.contains("secrets.kek must be exactly 32 random bytes"), "{why}");
    }
    std::fs::remove_file(deployment.path("kek")).unwrap();
    let why = deployment.try_start().err().expect("no file").to_string();
    assert!(why.contains("secrets.kek_file"), "{why}");
    assert!(!deployment.path("wsts.db").exists(), "nothing was made");
}

#[test]
fn an_eddsa_deployment_signs_with_ed25519() {
    let app = TestApp::with(|deployment| deployment.algorithm = "EdDSA");
    let token = app.token_as(&READER, "scorer").expect(200).token();
    assert_eq!(decoded(&token).0["alg"], "EdDSA");
    verified(&app, &token);
    // And takes its own management tokens.
    app.v1_token(&app.management_token(&READER), "scorer").expect(200);
}

/// A private key as an operator makes one.
fn rsa_key(app: &TestApp) -> PrivatePkcs8KeyDer<'static> {
    let file = app.deployment.path("rsa.pem");
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
        .arg(&file)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success());
    PrivatePkcs8KeyDer::from_pem_file(file).unwrap()
}

#[test]
fn rs256_signs_with_an_imported_key_once_its_time_has_come() {
    let app = TestApp::start();
    let old = app.token_as(&READER, "scorer").token();
    let der = rsa_key(&app);
    let core = Arc::clone(&app.core);
    let imported = app.block_on(async move {
        let imported = core.import_signing_key(SigningAlgorithm::Rs256, der.secret_pkcs8_der()).await;
        core.tend_signing_keys().await.unwrap();
        imported.unwrap()
    });
    // Published at once, signs later: gateways know it before they meet it.
    assert!(kids(&app).contains(&imported.kid));
    assert_eq!(decoded(&app.token_as(&READER, "scorer").token()).0["alg"], "ES256");
    let wait = imported.life.sign_from.timestamp() - app.now();
    app.advance(wait);
    app.tend_signing_keys();
    let answer = app.token_as(&READER, "scorer").expect(200);
    let (header, claims) = decoded(&answer.token());
    assert_eq!((&header["alg"], header["kid"].as_str()), (&"RS256".into(), Some(imported.kid.as_str())));
    assert_eq!(app.record_of(&answer).kid, Some(imported.kid.clone()));
    let keys = KeySet::parse(&app.get(JWKS).text()).unwrap();
    let now = chrono::DateTime::from_timestamp(claims["iat"].as_i64().unwrap(), 0).unwrap();
    let expected = Expected { issuer: Some(ISSUER), audience: None, now, leeway_seconds: 0 };
    keys.verify(&answer.token(), &expected).unwrap();
    assert!(keys.verify(&old, &expected).is_err(), "long expired");
    app.v1_token(&app.management_token(&READER), "scorer").expect(200);
}

#[test]
fn an_rs256_deployment_without_a_key_says_what_to_do() {
    let mut deployment = Deployment::new();
    deployment.algorithm = "RS256";
    let why = deployment.try_start().err().expect("no key to sign with").to_string();
    assert!(why.contains("import"), "{why}");
}

#[test]
fn keys_roll_over_and_no_token_outlives_its_key() {
    let app = TestApp::start();
    let mut signers: Vec<String> = Vec::new();
    // Three windows in steps of 12 h, the longest life of a token.
    for _ in 0..(3 * 30 * 2) {
        let known = kids(&app);
        let token = app.token_as(&READER, "scorer").expect(200).token();
        let kid = decoded(&token).0["kid"].as_str().unwrap().to_owned();
        assert!(known.contains(&kid), "published before it signs");
        if signers.last() != Some(&kid) {
            signers.push(kid.clone());
        }
        app.advance(12 * 3600);
        app.tend_signing_keys();
        assert!(kids(&app).contains(&kid), "published while its tokens live");
    }
    assert!((3..=4).contains(&signers.len()), "{signers:?}");
    let made: Vec<Value> = app
        .audit()
        .iter()
        .filter(|row| row.event == "signing_key")
        .map(|row| Value::from(row.resource.clone()))
        .collect();
    assert!(made.len() >= signers.len());
}
