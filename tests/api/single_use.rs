//! `oauth.client_assertion_jti = "once"`: a principal's own assertion is taken once, by all replicas together.

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use workspace_sts::services::use_assertion_once::BY_THIS_PROCESS_ONLY;

use crate::helpers::*;
use crate::issuer::*;
use crate::signer::*;

const USED: u32 = 50_013;
const UNREADABLE: u32 = 50_027;
const ONCE: &str = "[oauth]\nclient_assertion_jti = \"once\"\n";

fn once() -> (TestApp, Signer) {
    let (app, signer) =
        (TestApp::with(|deployment| deployment.more_config = ONCE.to_owned()), Signer::p256());
    app.register(&READER, &signer);
    (app, signer)
}

fn assertion(app: &TestApp, signer: &Signer, members: &Value) -> String {
    signer.sign(&signer.header(), &with(&own_claims(app, &READER), members))
}

#[test]
fn an_assertion_is_taken_once_until_it_has_expired_and_after() {
    let (app, signer) = once();
    let first = assertion(&app, &signer, &json!({}));
    let record = app.record_of(&app.prove(&first).expect(200));
    assert_eq!(record.detail, None, "the database was asked");
    for _ in 0..2 {
        assert_refused(&app, &app.prove(&first), USED, "assertion_used");
    }
    // It is the jti of this issuer that was used, whatever else is said.
    let again = assertion(&app, &signer, &json!({ "exp": app.now() + 60 }));
    assert_refused(&app, &app.prove(&again), USED, "assertion_used");
    app.prove(&assertion(&app, &signer, &json!({ "jti": "another" }))).expect(200);
    let other = Signer::ed25519();
    app.register(&STRANGER, &other);
    app.prove(&other.assertion(&app, &STRANGER)).expect(200);
    // To the last second in which it would be taken.
    app.advance(600 + 59);
    let core = std::sync::Arc::clone(&app.core);
    app.block_on(async move { core.forget_assertions().await.unwrap() });
    // Nothing but the database remembers it.
    let app = app.restart();
    assert_refused(&app, &app.prove(&first), USED, "assertion_used");
    app.advance(1);
    assert_eq!(app.record_of(&app.prove(&first).expect(401)).reason.as_deref(), Some("assertion_time"));
}

#[test]
fn an_assertion_that_is_refused_is_not_used_up() {
    let (app, signer) = once();
    let claims = with(&own_claims(&app, &READER), &json!({ "jti": "kept" }));
    app.prove(&Signer::p256().sign(&signer.header(), &claims)).expect(401);
    app.prove(&signer.sign(&signer.header(), &with(&claims, &json!({ "aud": "another" })))).expect(401);
    app.prove(&signer.sign(&signer.header(), &claims)).expect(200);
}

#[test]
fn replicas_share_what_was_used_and_a_restart_forgets_nothing() {
    let (app, signer) = once();
    let text = assertion(&app, &signer, &json!({}));
    app.prove(&text).expect(200);
    let app = app.restart();
    assert_refused(&app, &app.prove(&text), USED, "assertion_used");
}

#[test]
fn while_the_database_is_away_the_process_decides_and_says_so() {
    let (app, signer) = once();
    // Its facts are warm.
    app.prove(&assertion(&app, &signer, &json!({ "jti": "warm" }))).expect(200);
    let file = app.deployment.path("wsts.db");
    // Nothing but this table can't be asked.
    app.block_on(async move {
        let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        sqlx::query("ALTER TABLE used_assertions RENAME TO elsewhere")
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    });
    let text = assertion(&app, &signer, &json!({ "jti": "alone" }));
    let record = app.record_of(&app.prove(&text).expect(200));
    assert_eq!(record.detail.as_deref(), Some(BY_THIS_PROCESS_ONLY));
    assert_refused(&app, &app.prove(&text), USED, "assertion_used");
}

#[test]
fn by_default_an_assertion_is_taken_until_it_expires() {
    let (app, signer) = (TestApp::start(), Signer::p256());
    app.register(&READER, &signer);
    let text = assertion(&app, &signer, &json!({}));
    for _ in 0..3 {
        assert_eq!(app.record_of(&app.prove(&text).expect(200)).detail, None);
    }
}

#[test]
fn a_federated_token_is_taken_again() {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    let app = TestApp::with(|deployment| deployment.more_config = format!("{ONCE}{}", issuer.entry()));
    trust(&app, &READER, &issuer.url, &json!({}));
    let claims = with(&federated_claims(&app, &issuer.url), &json!({ "jti": "pod" }));
    let text = key.sign(&key.header_with_kid("main"), &claims);
    for _ in 0..3 {
        app.prove_as(&READER, &text).expect(200);
    }
}

#[test]
fn a_jti_has_a_bound() {
    let (app, signer) = once();
    app.prove(&assertion(&app, &signer, &json!({ "jti": "j".repeat(256) }))).expect(200);
    let long = assertion(&app, &signer, &json!({ "jti": "j".repeat(257) }));
    assert_refused(&app, &app.prove(&long), UNREADABLE, "malformed_assertion");
    let wrong = TestApp::with(|_| {});
    let mut deployment = wrong.into_deployment();
    deployment.more_config = "[oauth]\nclient_assertion_jti = \"twice\"\n".to_owned();
    assert!(deployment.try_config().is_err_and(|error| error.to_string().contains("client_assertion_jti")));
}
