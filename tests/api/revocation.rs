//! Calling a token back (RFC 7009): who may, what becomes of the token at every door, and the feed for gateways.

use std::time::{Duration, Instant};

use serde_json::json;
use workspace_sts::storage::Change;

use crate::helpers::*;

fn revoke(app: &TestApp, who: &Who, token: &str) -> Answer {
    let fields = [("client_id", who.client_id), ("client_secret", app.secret(who)), ("token", token)];
    app.form("/oauth2/revoke", &[], &fields)
}

/// Of a gateway's question.
fn at_gateway(app: &TestApp, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-wsts-webservice", &webservice("scorer"))];
    app.send("GET", "/authorize", &headers, b"").status
}

fn jti(token: &str) -> String {
    decoded(token).1["jti"].as_str().unwrap().to_owned()
}

fn feed(app: &TestApp) -> Vec<String> {
    let body = app.get("/revocations").expect(200).json();
    assert_eq!(body["issuer"], ISSUER);
    body["revoked"].as_array().unwrap().iter().map(|one| one["jti"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_client_calls_its_own_token_back_and_every_door_refuses_it() {
    let app = TestApp::start();
    let (token, other) = (app.token_as(&READER, "scorer").token(), app.token_as(&READER, "scorer").token());
    assert_eq!(at_gateway(&app, &token), 200);
    let answer = revoke(&app, &READER, &token).expect(200);
    assert!(answer.body.is_empty(), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(at_gateway(&app, &token), 401);
    assert_eq!(at_gateway(&app, &other), 200, "another token of the same client");
    let record = app.record_of(&answer);
    assert_eq!(record.resource.as_deref(), Some(format!("token {}", jti(&token)).as_str()));
    // Again, and it changes nothing.
    revoke(&app, &READER, &token).expect(200);
    assert_eq!(feed(&app), [jti(&token)]);

    let management = app.management_token(&READER);
    app.v1_token(&management, "scorer").expect(200);
    revoke(&app, &READER, &management).expect(200);
    app.v1_token(&management, "scorer").expect(401);
    let app = app.restart();
    app.v1_token(&management, "scorer").expect(401);
    assert_eq!(at_gateway(&app, &token), 401, "after a restart");
}

#[test]
fn what_is_no_live_token_of_this_service_needs_nothing() {
    let app = TestApp::start();
    let mut altered = app.token_as(&READER, "scorer").token();
    altered.pop();
    for token in ["x", "a.b.c", "\u{1f600}", &"y".repeat(16_000), &altered] {
        revoke(&app, &READER, token).expect(200);
    }
    let expired = app.token_as(&READER, "scorer").token();
    app.advance(3601);
    revoke(&app, &READER, &expired).expect(200);
    assert_eq!(feed(&app), Vec::<String>::new());
}

#[test]
fn another_principals_token_is_called_back_by_who_may_change_its_webservice_alone() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    for who in [&GROUP_READER, &STRANGER, &FOREIGN_OWNER] {
        let refused = revoke(&app, who, &token).expect(400);
        assert_eq!(refused.json()["error"], "unauthorized_client");
        assert_eq!(app.record_of(&refused).reason.as_deref(), Some("not_your_token"));
        assert_eq!(at_gateway(&app, &token), 200);
    }
    revoke(&app, &CONTRIBUTOR, &token).expect(200);
    assert_eq!(at_gateway(&app, &token), 401);

    let management = app.management_token(&READER);
    for who in [&CONTRIBUTOR, &FOREIGN_OWNER] {
        revoke(&app, who, &management).expect(400);
    }
    revoke(&app, &OWNER, &management).expect(200);
    app.v1_token(&management, "scorer").expect(401);
}

#[test]
fn who_proves_nothing_revokes_nothing() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    let bearer = format!("Bearer {}", app.management_token(&READER));
    let form =
        |headers: &[(&str, &str)], fields: &[(&str, &str)]| app.form("/oauth2/revoke", headers, fields);
    let id = ("client_id", READER.client_id);
    for (answer, status, error) in [
        (form(&[], &[("token", &token)]), 400, "invalid_request"),
        (form(&[("authorization", &bearer)], &[("token", &token)]), 400, "invalid_request"),
        (form(&[], &[id, ("client_secret", "wrong"), ("token", &token)]), 401, "invalid_client"),
        (form(&[], &[id, ("client_secret", app.secret(&READER))]), 400, "invalid_request"),
        (form(&[], &[id, ("client_secret", app.secret(&READER)), ("token", "")]), 400, "invalid_request"),
        (form(&[], &[("token", "a"), ("token", &token)]), 400, "invalid_request"),
        (form(&[], &[("token", &"a".repeat(20_000))]), 400, "invalid_request"),
    ] {
        assert_eq!(answer.clone().expect(status).json()["error"], error, "{}", answer.text());
    }
    app.send("POST", "/oauth2/revoke", &[("content-type", "application/json")], b"{}").expect(415);
    assert_eq!(app.get("/oauth2/revoke").expect(405).header("allow"), Some("POST"));
    app.send("POST", "/revocations", &[], b"").expect(405);
    assert_eq!(at_gateway(&app, &token), 200);
    // And by HTTP Basic it is.
    let header = basic(READER.client_id, app.secret(&READER));
    form(&[("authorization", &header)], &[("token", &token), ("token_type_hint", "access_token")])
        .expect(200);
    assert_eq!(at_gateway(&app, &token), 401);
}

#[test]
fn the_feed_is_kept_in_order_until_the_tokens_expire() {
    let app = TestApp::start();
    let tokens: Vec<_> = [900, 600, 300]
        .iter()
        .map(|life| {
            let fields = [("token_lifetime_seconds", life.to_string())];
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            app.token_for(&READER, &audience("scorer"), &fields).token()
        })
        .collect();
    let empty = app.get("/revocations").expect(200);
    assert_eq!(empty.json()["revoked"], json!([]));
    assert_eq!(empty.header("cache-control"), Some("public, max-age=5"));
    for token in &tokens {
        revoke(&app, &READER, token).expect(200);
    }
    app.advance(2);
    assert_eq!(
        feed(&app),
        [jti(&tokens[2]), jti(&tokens[1]), jti(&tokens[0])],
        "the first to end comes first"
    );
    let full = app.get("/revocations");
    let etag = full.header("etag").unwrap().to_owned();
    assert_ne!(full.header("etag"), empty.header("etag"));
    app.send("GET", "/revocations", &[("if-none-match", &etag)], b"").expect(304);
    app.send("HEAD", "/revocations", &[], b"").expect(200);
    app.advance(598);
    let core = app.core.clone();
    app.block_on(async move { core.forget_revoked_tokens().await.unwrap() });
    assert_eq!(feed(&app), [jti(&tokens[0])]);
    let core = app.core.clone();
    let stored = app.block_on(async move { core.store.revoked_tokens().await.unwrap() });
    assert_eq!(stored.len(), 1, "{stored:?}");
    let discovery = app.get("/.well-known/oauth-authorization-server").json();
    assert_eq!(discovery["revocation_endpoint"], format!("{ISSUER}/oauth2/revoke"));
    assert_eq!(discovery["introspection_endpoint"], format!("{ISSUER}/oauth2/introspect"));
    assert_eq!(discovery["revocations_uri"], format!("{ISSUER}/revocations"));
}

#[test]
fn a_full_list_refuses_and_forgets_nothing() {
    let app =
        TestApp::with(|deployment| deployment.more_config = "[limits]\nmax_revoked_tokens = 2".to_owned());
    let tokens: Vec<_> = (0..3).map(|_| app.token_as(&READER, "scorer").token()).collect();
    revoke(&app, &READER, &tokens[0]).expect(200);
    revoke(&app, &READER, &tokens[1]).expect(200);
    let refused = revoke(&app, &READER, &tokens[2]).expect(503);
    assert_eq!(refused.json()["error"], "temporarily_unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(tokens.iter().map(|token| at_gateway(&app, token)).collect::<Vec<_>>(), [401, 401, 200]);
    // Room again once they have expired.
    app.advance(3601);
    let fresh = app.token_as(&READER, "scorer").token();
    revoke(&app, &READER, &fresh).expect(200);
    assert_eq!(at_gateway(&app, &fresh), 401);
    let metrics = app.get_ops("/metrics").text();
    assert!(metrics.contains("sts_revoked_tokens{region=\"local\"} 1"), "the expired are not counted");
}

#[test]
fn another_process_knows_within_seconds() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").token();
    assert_eq!(at_gateway(&app, &token), 200);
    // As `wsts revoke-token` does it, in a process of its own.
    let (config, parts, id) = (app.deployment.config(), app.deployment.parts(), jti(&token));
    app.block_on(async move {
        let core = workspace_sts::startup::compose(&config, parts).await.unwrap();
        core.revoke_token_id(&id, None).await.unwrap();
        assert!(core.revoke_token_id("../x", None).await.is_err());
        let (_, changes) = core.store.changes_after(0).await.unwrap();
        assert!(changes.iter().any(|change| matches!(change, Change::Token(one) if one.token_id == id)));
    });
    let began = Instant::now();
    while at_gateway(&app, &token) == 200 {
        assert!(began.elapsed() < Duration::from_secs(5), "still taken");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("figure: refused by another process after {} ms", began.elapsed().as_millis());
}
