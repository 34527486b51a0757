//! How a token is got: by form and by Basic, for a webservice and for the API, by v1 and by v2.

use serde_json::Value;

use crate::helpers::*;

/// What every issued token answers and leaves behind.
#[track_caller]
fn assert_issued(app: &TestApp, answer: &Answer, who: &Who, name: &str, endpoint: &str) {
    let (header, claims) = decoded(&answer.token());
    assert_eq!(claims["aud"], audience(name));
    assert_eq!(claims["client_id"], who.client_id);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let record = app.record_of(answer);
    assert_eq!(record.event, "webservice_token");
    assert_eq!(record.outcome, "issued");
    assert_eq!(record.endpoint, endpoint);
    assert_eq!(record.region, "local");
    assert_eq!(record.address.as_deref(), Some("127.0.0.1"));
    assert_eq!(record.client_id.as_deref(), Some(who.client_id));
    assert_eq!(record.object_id.as_deref(), Some(who.object_id));
    assert_eq!(record.tenant_id.as_deref(), Some(who.tenant));
    assert_eq!(record.resource, Some(webservice(name)));
    assert_eq!(record.token_id.as_deref(), claims["jti"].as_str());
    assert_eq!(record.kid.as_deref(), header["kid"].as_str());
    assert_eq!(record.expires_at.map(|at| at.timestamp()), claims["exp"].as_i64());
    assert_eq!(record.occurred_at.timestamp(), app.now());
}

#[test]
fn one_round_trip_gets_a_reader_its_token() {
    let app = TestApp::start();
    let answer = app.token_as(&READER, "scorer").expect(200);
    assert_issued(&app, &answer, &READER, "scorer", "oauth");
    let record = app.record_of(&answer);
    assert_eq!(record.method.as_deref(), Some("client_secret"));
    assert!(record.credential_id.is_some(), "which secret was used is known");
    let body = answer.json();
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "expires_in", "refresh_by", "refresh_in", "token_type"]);
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 1800);
    let refresh_in = body["refresh_in"].as_i64().unwrap();
    assert!((900..=1440).contains(&refresh_in), "{refresh_in}");
    assert_eq!(body["refresh_by"], app.now() + refresh_in);
}

#[test]
fn http_basic_proves_a_client_as_the_form_does() {
    let app = TestApp::start();
    let header = basic(READER.client_id, app.secret(&READER));
    let fields = [("grant_type", "client_credentials"), ("resource", &audience("scorer"))];
    let answer = app.form("/oauth2/token", &[("authorization", &header)], &fields).expect(200);
    assert_issued(&app, &answer, &READER, "scorer", "oauth");
    // Its own id once more in the form is no second credential.
    let fields = [fields[0], fields[1], ("client_id", READER.client_id)];
    app.form("/oauth2/token", &[("authorization", &header)], &fields).expect(200);
}

#[test]
fn a_scope_names_a_webservice_as_resource_does() {
    let app = TestApp::start();
    let scope = format!("{}/.default", audience("scorer"));
    let credentials = [
        ("grant_type", "client_credentials"),
        ("client_id", READER.client_id),
        ("client_secret", app.secret(&READER)),
    ];
    let fields = [&credentials[..], &[("scope", scope.as_str())]].concat();
    let answer = app.form("/oauth2/token", &[], &fields).expect(200);
    assert_issued(&app, &answer, &READER, "scorer", "oauth");
    let answer = app.token_for(&READER, &audience("scorer"), &[("scope", "score")]).expect(200);
    assert_issued(&app, &answer, &READER, "scorer", "oauth");
}

#[test]
fn the_v1_spelling_of_a_webservice_and_any_case_name_the_same_audience() {
    let app = TestApp::start();
    let v1 = format!("{ISSUER}{WORKSPACE}/services/scorer");
    let shouted = format!("{ISSUER}{}", webservice("SCORER").replace("resourceGroups", "resourcegroups"));
    for resource in [v1, shouted] {
        let answer = app.token_for(&READER, &resource, &[]).expect(200);
        // One audience for one webservice, however it was asked for.
        assert_eq!(decoded(&answer.token()).1["aud"], audience("scorer"));
    }
}

#[test]
fn both_tenant_paths_give_tokens_to_their_own_principals_only() {
    let app = TestApp::start();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", READER.client_id),
        ("client_secret", app.secret(&READER)),
        ("resource", &audience("scorer")),
    ];
    for path in [format!("/{TENANT}/oauth2/v2.0/token"), format!("/{TENANT}/oauth2/token")] {
        let answer = app.form(&path, &[], &fields).expect(200);
        assert_issued(&app, &answer, &READER, "scorer", "oauth");
    }
    let answer = app.form(&format!("/{OTHER_TENANT}/oauth2/v2.0/token"), &[], &fields).expect(401);
    assert_eq!(answer.json()["error"], "invalid_client");
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some("wrong_tenant"));
    let unknown = "77777777-7777-7777-7777-777777777777";
    for tenant in [unknown, "common", "contoso.example"] {
        let answer = app.form(&format!("/{tenant}/oauth2/v2.0/token"), &[], &fields).expect(400);
        assert_eq!(answer.json()["error_codes"], serde_json::json!([90_002]));
    }
}

#[test]
fn a_management_token_is_for_the_issuer_and_for_the_audiences_of_azure() {
    let app = TestApp::start();
    for resource in
        [ISSUER, "https://localhost/", "https://management.azure.com/", "https://management.core.windows.net"]
    {
        // Whoever proves itself gets one: what it may do is asked on each call.
        let answer = app.token_for(&STRANGER, resource, &[]).expect(200);
        let claims = decoded(&answer.token()).1;
        assert_eq!(claims["aud"], ISSUER, "{resource}");
        assert_eq!(claims["scope"], "management");
        assert_eq!(claims["exp"], app.now() + 3600);
        assert!(claims.get("webservice").is_none() && claims.get("workspace").is_none());
        let record = app.record_of(&answer);
        assert_eq!((record.event.as_str(), record.resource), ("management_token", None));
    }
}

#[test]
fn v1_and_v2_give_webservice_tokens_for_a_management_token() {
    let app = TestApp::start();
    let token = app.management_token(&READER);

    let v1 = app.v1_token(&token, "scorer").expect(200);
    assert_issued(&app, &v1, &READER, "scorer", "v1");
    let body = v1.json();
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["accessToken", "expiryOn", "refreshAfter", "tokenType"]);
    let claims = decoded(&v1.token()).1;
    assert_eq!(body["expiryOn"], claims["exp"]);
    assert_eq!(body["refreshAfter"], claims["refresh_by"]);

    let v2 = app.v2_token(&token, "scorer").expect(200);
    assert_issued(&app, &v2, &READER, "scorer", "v2");
    let body = v2.json();
    let names: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["accessToken", "expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"]);
    let claims = decoded(&v2.token()).1;
    assert_eq!(body["expiryTimeUtc"], claims["exp"]);
    assert_eq!(body["refreshAfterTimeUtc"], claims["refresh_by"]);
    assert_eq!(app.record_of(&v2).method.as_deref(), Some("management_token"));
}

#[test]
fn arm_paths_are_matched_without_case() {
    let app = TestApp::start();
    let bearer = format!("bearer {}", app.management_token(&READER));
    let v1 = format!("/ModelManagement/V1.0{}/services/Scorer/TOKEN", WORKSPACE.to_uppercase());
    let v2 = format!("{}/TOKEN?API-VERSION=2022-05-01", webservice("SCORER").to_uppercase());
    for path in [v1, v2] {
        let answer = app.send("POST", &path, &[("authorization", &bearer)], b"").expect(200);
        // The audience has the registered spelling: gateways compare it byte for byte.
        assert_eq!(decoded(&answer.token()).1["aud"], audience("scorer"));
    }
    let shouted = app.api(&READER).get(&webservice("scorer").to_uppercase()).expect(200);
    assert_eq!(shouted.json()["name"], "scorer");
}

#[test]
fn a_life_is_shortened_on_request_and_never_stretched() {
    let app = TestApp::start();
    for (asked, lives) in [("60", 60), ("600", 600), ("1800", 1800), ("43200", 1800), ("4294967295", 1800)] {
        let answer =
            app.token_for(&READER, &audience("scorer"), &[("token_lifetime_seconds", asked)]).expect(200);
        let claims = decoded(&answer.token()).1;
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), lives);
        assert_eq!(answer.json()["expires_in"], lives);
    }
    // A management token too.
    let answer = app.token_for(&READER, ISSUER, &[("token_lifetime_seconds", "60")]).expect(200);
    assert_eq!(answer.json()["expires_in"], 60);
}

#[test]
fn a_life_under_a_minute_or_no_number_is_refused_by_name() {
    let app = TestApp::start();
    for asked in ["59", "0", "-1", "4294967296", "1e3", "60s", "٦٠"] {
        let answer =
            app.token_for(&READER, &audience("scorer"), &[("token_lifetime_seconds", asked)]).expect(400);
        let body = answer.json();
        assert_eq!(body["error"], "invalid_request", "{asked}");
        let text = body["error_description"].as_str().unwrap();
        assert!(text.contains("`token_lifetime_seconds`"), "{asked}: {text}");
    }
    let answer = app.token_for(&READER, &audience("scorer"), &[("token_lifetime_seconds", "59")]);
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some("lifetime_too_short"));
}

#[test]
fn a_kept_fact_is_never_in_an_answer() {
    // Neither the answer nor the audit holds the secret; the audit does not hold the token.
    let app = TestApp::start();
    let answer = app.token_as(&READER, "scorer").expect(200);
    let rows = serde_json::to_string(&app.audit()).unwrap();
    assert!(!rows.contains(app.secret(&READER)) && !rows.contains(&answer.token()));
    assert!(!rows.contains(answer.token().split('.').nth(2).unwrap()));
    assert!(!answer.text().contains(app.secret(&READER)));
    assert!(matches!(answer.json(), Value::Object(_)));
}
