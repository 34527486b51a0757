//! Access tokens of another issuer as Bearer, in place of a management token: Entra's form, of applications alone.

use serde_json::{Value, json};

use crate::helpers::*;
use crate::issuer::*;
use crate::signer::*;

const AUDIENCE: &str = "https://management.azure.com";

fn with_issuer() -> (TestApp, Issuer, Signer) {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    let entry = format!("{}bearer_audience = \"{AUDIENCE}\"\nbearer_tenant = \"{TENANT}\"\n", issuer.entry());
    (TestApp::with(|deployment| deployment.more_config = entry), issuer, key)
}

/// As Entra gives one to an application by its v1 endpoint.
fn claims(app: &TestApp, issuer: &Issuer, who: &Who) -> Value {
    let now = app.now();
    json!({
        "iss": issuer.url, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 3899, "aio": "k2RgYNj",
        "appid": who.client_id, "appidacr": "2", "idp": issuer.url, "idtyp": "app", "oid": who.object_id,
        "rh": "0.AX", "sub": who.object_id, "tid": who.tenant, "uti": "x0kNx", "ver": "1.0", "xms_tcdt": 1_600_000_000,
    })
}

fn bearer(app: &TestApp, issuer: &Issuer, key: &Signer, members: &Value) -> String {
    let header = with(&key.header_with_kid("main"), &json!({ "x5t": "AAECAw" }));
    key.sign(&header, &with(&claims(app, issuer, &READER), members))
}

#[track_caller]
fn refused(app: &TestApp, token: &str, reason: &str, what: &Value) {
    let answer = app.api_with(token).get(WORKSPACE);
    assert_eq!(answer.status, 401, "{what} {}", answer.text());
    assert_eq!(answer.json()["error"]["code"], "InvalidAuthenticationToken", "{what}");
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some(reason), "{what}");
}

#[test]
fn an_access_token_of_an_application_opens_the_api_and_the_token_routes() {
    let (app, issuer, key) = with_issuer();
    let v2 = json!({ "appid": null, "appidacr": null, "azp": READER.client_id, "azpacr": "2", "ver": "2.0" });
    let without_kind = json!({ "idtyp": null });
    let both = json!({ "azp": READER.client_id });
    for members in [json!({}), v2, without_kind, both] {
        let token = bearer(&app, &issuer, &key, &members);
        app.api_with(&token).get(WORKSPACE).expect(200);
        app.api_with(&token).get(WORKSPACE).expect(200);
        for answer in [app.v1_token(&token, "scorer"), app.v2_token(&token, "scorer")] {
            let record = app.record_of(&answer.expect(200));
            assert_eq!(record.method.as_deref(), Some("external_token"));
            assert_eq!(record.object_id.as_deref(), Some(READER.object_id));
            assert_eq!(record.credential_id, None);
        }
        // It holds the roles of its principal and no more.
        let answer = app.api_with(&token).delete(&webservice("scorer")).expect(403);
        assert_eq!(app.record_of(&answer).method.as_deref(), Some("external_token"));
    }
    assert_eq!(issuer.all_fetches(), [DISCOVERY, JWKS]);
    // Tokens of this service are taken as before.
    app.api(&OWNER).get(WORKSPACE).expect(200);
}

#[test]
fn a_token_that_names_nobody_here_or_a_user_is_refused_before_its_issuer_is_asked() {
    let (app, issuer, key) = with_issuer();
    for members in [
        json!({ "aud": format!("{AUDIENCE}/") }),
        json!({ "aud": [AUDIENCE, "another"] }),
        json!({ "aud": [] }),
        json!({ "aud": ISSUER }),
        json!({ "scp": "user_impersonation" }),
        json!({ "scp": "" }),
        json!({ "scp": null, "idtyp": "user" }),
        json!({ "idtyp": "App" }),
        json!({ "idtyp": 1 }),
        json!({ "idtyp": null, "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ" }),
        json!({ "appid": null }),
        json!({ "appid": "no id" }),
        json!({ "appid": [READER.client_id] }),
        json!({ "azp": STRANGER.client_id }),
        json!({ "azp": 1 }),
        json!({ "oid": null }),
        json!({ "oid": 7 }),
        json!({ "tid": null }),
        json!({ "tid": "common" }),
        json!({ "iat": null }),
    ] {
        refused(&app, &bearer(&app, &issuer, &key, &members), "invalid_token", &members);
    }
    assert_eq!(issuer.all_fetches(), Vec::<String>::new());
    // Of nobody that is registered so.
    for members in [
        json!({ "tid": OTHER_TENANT }),
        json!({ "oid": STRANGER.object_id, "sub": STRANGER.object_id }),
        json!({ "appid": STRANGER.client_id }),
        json!({ "appid": "c0000000-0000-0000-0000-00000000dead" }),
    ] {
        refused(&app, &bearer(&app, &issuer, &key, &members), "invalid_token", &members);
    }
}

#[test]
fn a_token_is_held_to_its_signature_its_times_and_its_form() {
    let (app, issuer, key) = with_issuer();
    let now = app.now();
    let all = claims(&app, &issuer, &READER);
    for (members, reason) in [
        (json!({ "exp": now - 60 }), "token_expired"),
        (json!({ "exp": now + 24 * 3600 + 61 }), "invalid_token"),
        (json!({ "nbf": now + 61 }), "invalid_token"),
        (json!({ "iat": now + 61 }), "invalid_token"),
        (json!({ "exp": "1" }), "invalid_token"),
    ] {
        refused(&app, &bearer(&app, &issuer, &key, &members), reason, &members);
    }
    let header = key.header_with_kid("main");
    for text in [
        Signer::p256().sign(&header, &all),
        key.sign(&key.header_with_kid("another"), &all),
        key.sign(&with(&header, &json!({ "kid": null, "x5t": "AAECAw" })), &all),
        key.sign(&with(&header, &json!({ "typ": null })), &all),
        key.sign(&with(&header, &json!({ "typ": "client-authentication+jwt" })), &all),
        key.sign(&with(&header, &json!({ "crit": ["exp"] })), &all),
        key.sign(&with(&header, &json!({ "jku": issuer.url })), &all),
        key.sign(&header, &with(&all, &json!({ "iss": format!("{}/", issuer.url) }))),
        format!("{}.", key.sign(&header, &all)),
    ] {
        refused(&app, &text, "invalid_token", &json!(text));
    }
    let at_jwt = key.sign(&with(&header, &json!({ "typ": "at+jwt" })), &all);
    app.api_with(&at_jwt).get(WORKSPACE).expect(200);
    // It ends for this service, too; and what the issuer took back ends within ten minutes.
    let token = bearer(&app, &issuer, &key, &json!({ "exp": now + 7200 }));
    app.api_with(&token).get(WORKSPACE).expect(200);
    issuer.publish(&[Signer::p256().jwk("other")]);
    app.advance(600);
    refused(&app, &token, "invalid_token", &json!("a key that is gone"));
}

#[test]
fn the_principal_is_looked_up_every_time() {
    let (app, issuer, key) = with_issuer();
    let token = bearer(&app, &issuer, &key, &json!({}));
    app.api_with(&token).get(WORKSPACE).expect(200);
    let path = format!("/v1.0/servicePrincipals/{}", READER.object_id);
    let patch = |body: Value| app.api(&OWNER).patch(&path, &body).expect(204);
    patch(json!({ "allowedCredentialMethods": ["client_secret"] }));
    let answer = app.api_with(&token).get(WORKSPACE).expect(401);
    assert!(answer.text().contains("federated_credential"), "{}", answer.text());
    let record = app.record_of(&answer);
    assert_eq!(
        (record.reason.as_deref(), record.method.as_deref()),
        (Some("method_not_allowed"), Some("external_token"))
    );
    patch(json!({ "allowedCredentialMethods": ["federated_credential"] }));
    app.api_with(&token).get(WORKSPACE).expect(200);
    patch(json!({ "accountEnabled": false }));
    refused(&app, &token, "principal_disabled", &json!("disabled"));
    patch(json!({ "accountEnabled": true }));
    app.api(&OWNER).delete(&path).expect(204);
    refused(&app, &token, "invalid_token", &json!("deleted"));
}

#[test]
fn an_issuer_whose_entry_does_not_say_so_opens_nothing() {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    let app = TestApp::with(|deployment| deployment.more_config = issuer.entry());
    refused(&app, &bearer(&app, &issuer, &key, &json!({})), "invalid_token", &json!("no bearer_audience"));
    assert_eq!(issuer.all_fetches(), Vec::<String>::new());
    let mut deployment = Deployment::new();
    deployment.more_config = format!("{}bearer_audience = \"\"\n", issuer.entry());
    assert!(deployment.try_config().is_err_and(|error| error.to_string().contains("bearer_audience")));
}

#[test]
fn an_issuer_that_can_not_be_asked_is_no_fault_of_the_caller() {
    let (app, issuer, key) = with_issuer();
    issuer.say(JWKS, 500, "out of order");
    let answer = app.api_with(&bearer(&app, &issuer, &key, &json!({}))).get(WORKSPACE).expect(503);
    assert_eq!(answer.header("retry-after"), Some("2"));
}

#[test]
fn an_issuer_speaks_for_its_own_tenant_alone() {
    let (app, issuer, key) = with_issuer();
    // As good as the others, but of a principal of another tenant.
    let foreign = key.sign(&key.header_with_kid("main"), &claims(&app, &issuer, &FOREIGN_OWNER));
    refused(&app, &foreign, "invalid_token", &json!("another tenant's"));
    for alone in [format!("bearer_audience = \"{AUDIENCE}\"\n"), format!("bearer_tenant = \"{TENANT}\"\n")] {
        let mut deployment = Deployment::new();
        deployment.more_config = format!("{}{alone}", issuer.entry());
        assert!(
            deployment.try_config().is_err_and(|error| error.to_string().contains("come together")),
            "{alone}"
        );
    }
}
