//! More token requests than places: some are turned away unseen, in their dialect's shape, and the rest waits.

use crate::helpers::*;

/// One place for a token request.
fn with_one_place(refusals_per_second: u32) -> TestApp {
    TestApp::with(|deployment| {
        deployment.more_config =
            format!("[limits]\nmax_waiting_tokens = 1\nmax_refusals_per_second = {refusals_per_second}\n");
    })
}

fn shed(app: &TestApp, endpoint: &str) -> u64 {
    app.core.metrics.token_requests.with_label_values(&[endpoint, "shed"]).get()
}

#[test]
fn beyond_the_limit_every_dialect_says_503_in_its_shape_and_when_to_come_back() {
    let app = with_one_place(1000);
    let token = app.management_token(&READER);
    let records = app.audit().len();
    let place = app.core.admission.enter().expect("nobody else asks");
    let oauth = app.token_as(&READER, "scorer").expect(503);
    assert_eq!(oauth.json()["error"], "temporarily_unavailable");
    assert_eq!(oauth.json()["error_codes"], serde_json::json!([90_033]));
    let v1 = app.v1_token(&token, "scorer").expect(503);
    let body = v1.json();
    assert_eq!((&body["code"], &body["statusCode"]), (&"ServerBusy".into(), &503.into()));
    let v2 = app.v2_token(&token, "scorer").expect(503);
    assert_eq!(v2.json()["error"]["code"], "ServerBusy");
    for (answer, endpoint) in [(&oauth, "oauth"), (&v1, "v1"), (&v2, "v2")] {
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(shed(&app, endpoint), 1, "{endpoint}");
        assert!(app.audit_of(answer).is_empty(), "it was never looked at");
    }
    // Wrong credentials are not looked at either, so being turned away tells nothing of them.
    let wrong = app.form(
        "/oauth2/token",
        &[],
        &[
            ("grant_type", "client_credentials"),
            ("client_id", READER.client_id),
            ("client_secret", "wrong"),
            ("resource", ISSUER),
        ],
    );
    assert_eq!(wrong.expect(503).json()["error"], "temporarily_unavailable");
    assert_eq!(app.audit().len(), records);
    // Everything but tokens goes on.
    app.get("/.well-known/jwks.json").expect(200);
    app.api_with(&token).get(WORKSPACE).expect(200);
    app.get_ops("/readyz").expect(200);
    drop(place);
    app.token_as(&READER, "scorer").expect(200);
    app.v1_token(&token, "scorer").expect(200);
    app.v2_token(&token, "scorer").expect(200);
    assert_eq!(shed(&app, "oauth"), 2);
}

#[test]
fn what_is_turned_away_has_a_budget_and_the_rest_is_served() {
    let app = with_one_place(1);
    let _place = app.core.admission.enter().unwrap();
    app.token_as(&READER, "scorer").expect(503);
    // The second's one refusal is spent; on a slow machine a second may pass between two requests.
    let statuses: Vec<_> = (0..5).map(|_| app.token_as(&READER, "scorer").status).collect();
    assert!(statuses.contains(&200), "{statuses:?}");
    let refused = 1 + statuses.iter().filter(|status| **status == 503).count();
    assert_eq!(shed(&app, "oauth"), refused as u64);
}

#[test]
fn a_place_is_free_again_however_its_request_ends() {
    let app = with_one_place(1000);
    for _ in 0..3 {
        app.token_as(&READER, "scorer").expect(200);
        app.token_as(&STRANGER, "scorer").expect(400);
        app.token_as(&DISABLED, "scorer").expect(401);
    }
    assert_eq!(shed(&app, "oauth"), 0);
}
