//! `/authorize`: what opens a webservice, what does not, and what a gateway hears of it. Which webservice is meant:
//! `authorize_naming.rs`.

use std::sync::Arc;

use serde_json::json;

use crate::helpers::*;

/// A gateway's question about a webservice of the demo workspace.
fn ask(app: &TestApp, name: &str, credential: &str) -> Answer {
    let headers =
        [("authorization", format!("Bearer {credential}")), ("x-wsts-webservice", webservice(name))];
    app.send("GET", "/authorize", &headers.each_ref().map(|(name, value)| (*name, value.as_str())), b"")
}

fn ask_without(app: &TestApp, name: &str) -> Answer {
    app.send("GET", "/authorize", &[("x-wsts-webservice", &webservice(name))], b"")
}

fn token(app: &TestApp) -> String {
    app.token_as(&READER, "scorer").expect(200).token()
}

fn keys(app: &TestApp) -> [String; 2] {
    let path = format!("{}/listKeys", webservice("keyed"));
    let shown = app.api(&CONTRIBUTOR).post(&path, &json!({})).expect(200).json();
    ["primaryKey", "secondaryKey"].map(|name| shown[name].as_str().unwrap().to_owned())
}

fn count(app: &TestApp, mode: &str, result: &str) -> f64 {
    let labels = [format!("mode=\"{mode}\""), format!("result=\"{result}\"")];
    let metrics = app.get_ops("/metrics").expect(200).text();
    let mut series = metrics.lines().filter(|line| line.starts_with("sts_access_checks_total{"));
    let found = series.find(|line| labels.iter().all(|label| line.contains(label)));
    found.expect("it is there from the start").rsplit(' ').next().unwrap().parse().unwrap()
}

/// Webservice, way, principal, client, token and key as the gateway may hand them on.
fn identity(answer: &Answer) -> [&str; 6] {
    ["webservice", "auth", "principal", "client", "token-id", "key"]
        .map(|name| answer.header(&format!("x-wsts-{name}")).expect("each is there, be it empty"))
}

#[track_caller]
fn is_refused(answer: &Answer, status: u16, slug: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(
        (&body["type"], &body["status"]),
        (&format!("urn:wsts:problem:{slug}").into(), &status.into())
    );
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("x-wsts-webservice").is_none() && answer.header("x-wsts-auth").is_none());
    let challenge = match (status, slug) {
        (401, "missing-token") => Some("Bearer realm=\"wsts\""),
        (401, _) => Some("Bearer realm=\"wsts\", error=\"invalid_token\""),
        _ => None,
    };
    assert_eq!(answer.header("www-authenticate"), challenge);
}

#[test]
fn a_token_opens_its_webservice_and_says_whose_it_is() {
    let app = TestApp::start();
    let token = token(&app);
    let jti = decoded(&token).1["jti"].as_str().unwrap().to_owned();
    let records = app.audit().len();
    // Verified, then remembered.
    for _ in 0..2 {
        let answer = ask(&app, "scorer", &token).expect(200);
        let scorer = webservice("scorer");
        assert_eq!(identity(&answer), [&scorer, "token", READER.object_id, READER.client_id, &jti, ""]);
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    assert_eq!(app.audit().len(), records, "what is let in leaves no record");
    assert_eq!(count(&app, "token", "allowed"), 2.0);
    let metrics = app.get_ops("/metrics").expect(200).text();
    let took = metrics.lines().find(|line| {
        line.starts_with("sts_access_check_duration_seconds_count{") && line.contains("mode=\"token\"")
    });
    assert!(took.unwrap().ends_with(" 2"), "{took:?}");
}

#[test]
fn both_access_keys_open_their_webservice_and_a_regenerated_one_no_more() {
    let app = TestApp::start();
    let [primary, secondary] = keys(&app);
    for (key, name) in [(&primary, "primary"), (&secondary, "secondary")] {
        assert_eq!(
            identity(&ask(&app, "keyed", key).expect(200)),
            [&webservice("keyed"), "key", "", "", "", name]
        );
    }
    let path = format!("{}/regenerateKeys", webservice("keyed"));
    app.api(&CONTRIBUTOR).post(&path, &json!({ "keyType": "Primary" })).expect(202);
    is_refused(&ask(&app, "keyed", &primary), 401, "invalid-token");
    ask(&app, "keyed", &secondary).expect(200);
    ask(&app, "keyed", &keys(&app)[0]).expect(200);
    for wrong in ["x", &primary[1..], &format!("{secondary}x"), &secondary.to_uppercase(), &"k".repeat(5000)]
    {
        is_refused(&ask(&app, "keyed", wrong), 401, "invalid-token");
    }
    assert_eq!((count(&app, "key", "allowed"), count(&app, "key", "invalid")), (4.0, 6.0));
}

#[test]
fn an_open_webservice_asks_for_nothing() {
    let app = TestApp::start();
    let expected = [&webservice("open"), "none", "", "", "", ""];
    assert_eq!(identity(&ask_without(&app, "open").expect(200)), expected);
    assert_eq!(identity(&ask(&app, "open", "whatever").expect(200)), expected);
    assert_eq!(count(&app, "none", "allowed"), 2.0);
}

#[test]
fn each_way_opens_only_the_webservices_of_its_mode() {
    let app = TestApp::start();
    let ([primary, _], token) = (keys(&app), token(&app));
    is_refused(&ask(&app, "keyed", &token), 401, "invalid-token");
    is_refused(&ask(&app, "scorer", &primary), 401, "invalid-token");
    is_refused(&ask(&app, "scorer", &app.management_token(&READER)), 403, "access-denied");
    is_refused(&ask(&app, "keyed", &app.management_token(&READER)), 401, "invalid-token");
    // And none of them the API.
    app.api_with(&token).get(WORKSPACE).expect(401);
    app.api_with(&primary).get(WORKSPACE).expect(401);
}

#[test]
fn a_token_of_another_webservice_is_forbidden() {
    let app = TestApp::start();
    let sibling = webservice("sibling").replace("demo-rg", "rg-a").replace("/demo/", "/alpha/");
    let of_sibling = app.token_for(&GROUP_READER, &format!("{ISSUER}{sibling}"), &[]).expect(200).token();
    is_refused(&ask(&app, "scorer", &of_sibling), 403, "access-denied");
    let twin = sibling.replace("rg-a", "rg-a2");
    let bearer = format!("Bearer {of_sibling}");
    let at = |id: &str| {
        app.send("GET", "/authorize", &[("authorization", &bearer), ("x-wsts-webservice", id)], b"")
    };
    is_refused(&at(&twin), 403, "access-denied");
    at(&sibling).expect(200);
    assert_eq!(count(&app, "token", "wrong_audience"), 2.0);
}

#[test]
fn a_token_ends_with_its_time() {
    let app = TestApp::start();
    let (seen, fresh) = (token(&app), token(&app));
    ask(&app, "scorer", &seen).expect(200);
    app.advance(1799);
    ask(&app, "scorer", &seen).expect(200);
    app.advance(1);
    for token in [&seen, &fresh] {
        is_refused(&ask(&app, "scorer", token), 401, "invalid-token");
    }
    assert_eq!(count(&app, "token", "expired"), 2.0);
}

#[test]
fn what_is_taken_from_a_principal_is_taken_from_its_tokens() {
    let app = TestApp::of_one_tenant();
    let (seen, of_group) = (token(&app), {
        let sibling = webservice("sibling").replace("demo-rg", "rg-a").replace("/demo/", "/alpha/");
        (
            sibling.clone(),
            app.token_for(&GROUP_READER, &format!("{ISSUER}{sibling}"), &[]).expect(200).token(),
        )
    });
    ask(&app, "scorer", &seen).expect(200);
    let owner = app.api(&OWNER);
    let found =
        owner.get(&format!("{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments")).expect(200);
    let found = found.json();
    let of_reader = |one: &&serde_json::Value| one["properties"]["principalId"] == READER.object_id;
    let assignment = found["value"].as_array().unwrap().iter().find(of_reader).unwrap();
    owner.delete(assignment["id"].as_str().unwrap()).expect(200);
    is_refused(&ask(&app, "scorer", &seen), 403, "access-denied");
    // Disabled, and then gone.
    let (sibling, of_group) = of_group;
    let bearer = format!("Bearer {of_group}");
    let asked = || app.send("GET", &format!("/authorize{sibling}/score"), &[("authorization", &bearer)], b"");
    asked().expect(200);
    let path = format!("/v1.0/servicePrincipals/{}", GROUP_READER.object_id);
    owner.patch(&path, &json!({ "accountEnabled": false })).expect(204);
    is_refused(&asked(), 403, "access-denied");
    owner.patch(&path, &json!({ "accountEnabled": true })).expect(204);
    asked().expect(200);
    owner.delete(&path).expect(204);
    is_refused(&asked(), 403, "access-denied");
    assert_eq!(count(&app, "token", "no_role"), 3.0);
}

#[test]
fn a_token_is_not_that_of_another_principal_with_the_same_client_id() {
    let mut app = TestApp::of_one_tenant();
    let token = token(&app);
    ask(&app, "scorer", &token).expect(200);
    app.api(&OWNER).delete(&format!("/v1.0/servicePrincipals/{}", READER.object_id)).expect(204);
    let client = READER.client_id;
    app.apply(&format!(
        "[[principals]]\nclient_id = \"{client}\"\nobject_id = \"0b000000-0000-0000-0000-00000000000a\"\n\
         tenant = \"{TENANT}\"\nname = \"another\"\nsecret_lifetime_days = 1\n[[role_assignments]]\n\
         principal = \"{client}\"\nrole = \"Reader\"\nscope = \"{WORKSPACE}\"\n"
    ));
    is_refused(&ask(&app, "scorer", &token), 403, "access-denied");
    ask(&app, "scorer", &self::token(&app)).expect(200);
}

#[test]
fn a_withdrawn_signing_key_takes_its_tokens_along() {
    let app = TestApp::start();
    app.advance(3600);
    let token = token(&app);
    ask(&app, "scorer", &token).expect(200);
    let (core, kid) = (Arc::clone(&app.core), decoded(&token).0["kid"].as_str().unwrap().to_owned());
    app.block_on(async move { core.revoke_signing_key(&kid).await.map(drop).unwrap() });
    app.tend_signing_keys();
    is_refused(&ask(&app, "scorer", &token), 401, "invalid-token");
}

#[test]
fn a_region_answers_for_webservices_that_it_issues_no_tokens_for() {
    let app = TestApp::start();
    // Its workspace is at home elsewhere; the token was made before a second region joined.
    let sibling = webservice("sibling").replace("demo-rg", "rg-a").replace("/demo/", "/alpha/");
    let token = app.token_for(&GROUP_READER, &format!("{ISSUER}{sibling}"), &[]).expect(200).token();
    let mut deployment = app.into_deployment();
    deployment.more_config =
        "[[regions]]\nname = \"local\"\nurl = \"https://local.example\"\n[[regions]]\nname = \"other-rg\"\nurl = \"https://other.example\"\n"
            .into();
    let app = deployment.run();
    let bearer = format!("Bearer {token}");
    app.send("GET", &format!("/authorize{sibling}"), &[("authorization", &bearer)], b"").expect(200);
}

#[test]
fn who_has_proven_nothing_does_not_learn_which_webservices_there_are() {
    let app = TestApp::start();
    let mut forged = token(&app);
    forged.replace_range(forged.len() - 2.., "AA");
    for credential in ["x", "wsts_wrong", &forged, &"a.".repeat(4000)] {
        let shown = ["scorer", "keyed", "nowhere"].map(|name| {
            let answer = ask(&app, name, credential);
            is_refused(&answer, 401, "invalid-token");
            answer.json()["detail"].clone()
        });
        assert!(shown.iter().all(|detail| *detail == shown[0]), "{shown:?}");
    }
    for name in ["scorer", "keyed", "nowhere"] {
        is_refused(&ask_without(&app, name), 401, "missing-token");
    }
    is_refused(&ask(&app, "nowhere", &token(&app)), 403, "access-denied");
    assert_eq!(count(&app, "unknown", "unknown_webservice"), 1.0);
}

#[test]
fn of_refused_checks_one_in_a_second_leaves_a_record_that_says_why() {
    let app = TestApp::start();
    let token = token(&app);
    let records = || app.audit().into_iter().filter(|row| row.event == "access_check").collect::<Vec<_>>();
    for _ in 0..20 {
        ask(&app, "keyed", "wrong").expect(401);
        ask(&app, "scorer", &token).expect(200);
    }
    // The record is made beside the answer.
    while records().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let found = records();
    assert!(found.len() < 20, "not one for each: {}", found.len());
    let row = &found[0];
    assert_eq!((row.outcome.as_str(), row.reason.as_deref()), ("refused", Some("wrong_access_key")));
    assert_eq!((&row.resource, row.endpoint.as_str()), (&Some(webservice("keyed")), "gateway"));
    assert_eq!((&row.address, &row.token_id), (&Some("127.0.0.1".to_owned()), &None));
    let everything = serde_json::to_string(&found).unwrap();
    assert!(!everything.contains("wrong\"") && !everything.contains(&token));
}

#[test]
fn no_record_is_made_when_the_setting_says_none() {
    let app = TestApp::with(|deployment| {
        deployment.more_config = "[limits]\nmax_recorded_checks_per_second = 0\n".into();
    });
    ask(&app, "keyed", "wrong").expect(401);
    // What is recorded at once comes behind what was recorded beside the answer.
    let _ = token(&app);
    assert!(app.audit().iter().all(|row| row.event != "access_check"));
}

#[test]
fn without_the_database_what_is_in_memory_is_answered_and_the_rest_is_503() {
    let app = TestApp::start();
    let ([primary, _], token) = (keys(&app), token(&app));
    ask(&app, "scorer", &token).expect(200);
    ask(&app, "keyed", &primary).expect(200);
    let core = Arc::clone(&app.core);
    app.block_on(async move { core.store.close().await });
    ask(&app, "scorer", &token).expect(200);
    ask(&app, "keyed", &primary).expect(200);
    ask(&app, "keyed", "wrong").expect(401);
    let answer = ask(&app, "open", "").expect(503);
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.json()["type"], "urn:wsts:problem:temporarily-unavailable");
    assert_eq!(count(&app, "unknown", "error"), 1.0);
}

#[test]
fn a_wrong_clock_stops_tokens_and_not_access_keys() {
    let app = TestApp::start();
    let ([primary, _], token) = (keys(&app), token(&app));
    ask(&app, "scorer", &token).expect(200);
    app.deployment.clock.jump(chrono::Duration::seconds(-3600));
    ask(&app, "scorer", &token).expect(503);
    ask(&app, "keyed", &primary).expect(200);
    ask_without(&app, "open").expect(200);
}
