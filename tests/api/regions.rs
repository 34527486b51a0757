//! Several regions: who issues for which workspace, what the others say, and what is told of all of them.

use std::sync::Arc;

use serde_json::{Value, json};
use workspace_sts::domain::region::Region;
use workspace_sts::startup::compose;

use crate::helpers::*;

/// Home region `other-rg`; `GROUP_READER` reads it, `READER` does not.
const FOREIGN: &str = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg-a/providers/Microsoft.MachineLearningServices/workspaces/alpha";
const LISTED: &str = "[[regions]]\nname = \"local\"\nurl = \"https://local.sts.example\"\n\
                      [[regions]]\nname = \"other-rg\"\nurl = \"https://other.sts.example\"\n";

fn one_of_two() -> TestApp {
    TestApp::with(|deployment| deployment.more_config = LISTED.to_owned())
}

fn foreign_audience() -> String {
    format!("{ISSUER}{FOREIGN}/onlineEndpoints/sibling")
}

fn serving() -> Value {
    json!([{ "name": "other-rg", "url": "https://other.sts.example" }])
}

const WORDS: &str = "this region issues no tokens for the workspace; ask, in this order, `other-rg` (https://other.sts.example)";

#[track_caller]
fn assert_misdirected(app: &TestApp, answer: &Answer) {
    let record = app.record_of(answer);
    assert_eq!(record.outcome, "refused");
    assert_eq!(record.reason.as_deref(), Some("misdirected"));
    assert!(record.object_id.is_some(), "only who was proven hears it");
}

#[test]
fn oauth_names_the_region_that_issues() {
    let app = one_of_two();
    let answer = app.token_for(&GROUP_READER, &foreign_audience(), &[]).expect(421);
    let body = answer.json();
    assert_eq!((&body["error"], &body["error_description"]), (&json!("invalid_target"), &json!(WORDS)));
    assert_eq!((&body["error_codes"], &body["serving_regions"]), (&json!([500_011]), &serving()));
    assert_misdirected(&app, &answer);
    let metrics = app.get_ops("/metrics").text();
    let counted =
        |line: &&str| line.starts_with("sts_token_requests_total") && line.contains("misdirected\"");
    let counted: Vec<_> = metrics.lines().filter(counted).filter(|line| line.ends_with(" 1")).collect();
    assert_eq!(counted.len(), 1, "{metrics}");
}

#[test]
fn v1_and_v2_name_the_region_that_issues() {
    let app = one_of_two();
    let bearer = format!("Bearer {}", app.management_token(&GROUP_READER));
    let headers = [("authorization", bearer.as_str())];
    let path = format!("/modelmanagement/v1.0{FOREIGN}/services/sibling/token");
    let answer = app.send("POST", &path, &headers, b"").expect(421);
    let body = answer.json();
    let told = [&body["code"], &body["statusCode"], &body["message"], &body["serving_regions"]];
    assert_eq!(told, [&json!("MisdirectedRequest"), &json!(421), &json!(WORDS), &serving()]);
    assert_misdirected(&app, &answer);
    let path = format!("{FOREIGN}/onlineEndpoints/sibling/token?{V}");
    let answer = app.send("POST", &path, &headers, b"").expect(421);
    let error = answer.json()["error"].take();
    assert_eq!((&error["code"], &error["message"]), (&json!("MisdirectedRequest"), &json!(WORDS)));
    let info = json!([{ "type": "ServingRegions", "info": { "regions": serving() } }]);
    assert_eq!(error["additionalInfo"], info);
    assert_misdirected(&app, &answer);
}

#[test]
fn who_may_not_have_the_token_learns_nothing_of_the_workspace() {
    let app = one_of_two();
    let absent = format!("{ISSUER}{FOREIGN}/onlineEndpoints/nothing");
    for who in [&READER, &STRANGER, &FOREIGN_OWNER] {
        let there = app.token_for(who, &foreign_audience(), &[]).expect(400).json();
        let not_there = app.token_for(who, &absent, &[]).expect(400).json();
        for member in ["error", "error_description", "error_codes", "serving_regions"] {
            assert_eq!(there[member], not_there[member], "{member}");
        }
    }
    app.token_for(&DISABLED, &foreign_audience(), &[]).expect(401);
    let token = app.management_token(&READER);
    let path = format!("{FOREIGN}/onlineEndpoints/sibling/token?{V}");
    app.send("POST", &path, &[("authorization", &format!("Bearer {token}"))], b"").expect(404);
}

#[test]
fn a_failover_region_issues_and_the_rest_of_the_registry_is_served_everywhere() {
    let mut app = one_of_two();
    let bearer = format!("Bearer {}", app.management_token(&GROUP_READER));
    let path = format!("{FOREIGN}/onlineEndpoints/sibling?{V}");
    app.send("GET", &path, &[("authorization", &bearer)], b"").expect(200);
    app.apply(&format!(
        "[[workspaces]]\nid = \"{FOREIGN}\"\nhome_region = \"other-rg\"\nfailover_regions = [\"local\"]\n"
    ));
    let token = app.token_for(&GROUP_READER, &foreign_audience(), &[]).expect(200).token();
    assert_eq!(decoded(&token).1["region"], "local", "the region that issued it");
}

#[test]
fn a_single_region_issues_for_every_workspace() {
    let app = TestApp::start();
    app.token_for(&GROUP_READER, &foreign_audience(), &[]).expect(200);
}

#[test]
fn a_webservice_may_be_asked_for_under_the_address_of_a_region() {
    let app = one_of_two();
    for base in ["https://local.sts.example", "https://other.sts.example"] {
        let audience = format!("{base}{}", webservice("scorer"));
        let token = app.token_for(&READER, &audience, &[]).expect(200).token();
        assert_eq!(decoded(&token).1["aud"], json!(self::audience("scorer")), "the audience is the issuer's");
    }
    let elsewhere = format!("https://elsewhere.sts.example{}", webservice("scorer"));
    app.token_for(&READER, &elsewhere, &[]).expect(400);
}

/// Has the other region make its keys, and this one read them.
fn start_other_region(app: &TestApp) {
    let (mut config, parts) = (app.deployment.config(), app.deployment.parts());
    config.region.name = Region::parse("other-rg").unwrap();
    let core = Arc::clone(&app.core);
    app.block_on(async move {
        compose(&config, parts).await.unwrap().tend_signing_keys().await.unwrap();
        core.tend_signing_keys().await.unwrap();
    });
}

fn keys_at(app: &TestApp, path: &str) -> Vec<Value> {
    app.get(path).expect(200).json()["keys"].as_array().unwrap().clone()
}

#[test]
fn each_regions_keys_are_published_by_every_region() {
    let app = one_of_two();
    app.get("/regions/other-rg/jwks.json").expect(404);
    start_other_region(&app);
    let union = keys_at(&app, "/.well-known/jwks.json");
    for region in ["local", "other-rg"] {
        let own = keys_at(&app, &format!("/regions/{region}/jwks.json"));
        assert!(!own.is_empty() && own.iter().all(|key| key["region"] == region));
        let of_union: Vec<_> = union.iter().filter(|key| key["region"] == region).cloned().collect();
        assert_eq!(own, of_union);
    }
    app.get("/regions/elsewhere/jwks.json").expect(404);
}

#[test]
fn the_keys_of_a_lost_region_stay_until_they_are_to_be_removed() {
    let app = one_of_two();
    start_other_region(&app);
    let (core, store) = (Arc::clone(&app.core), Arc::clone(&app.core.store));
    let stored = app.block_on(async move { store.signing_keys().await.unwrap() });
    let mut lost: Vec<_> = stored
        .into_iter()
        .filter(|stored| stored.key.region.as_str() == "other-rg")
        .map(|stored| (stored.key.life.remove_at.timestamp(), stored.key.kid))
        .collect();
    lost.sort();
    assert!(!lost.is_empty());
    let is_published = |at: i64, kid: &str| {
        app.advance(at - app.now());
        let core = Arc::clone(&core);
        app.block_on(async move { core.tend_signing_keys().await.unwrap() });
        keys_at(&app, "/.well-known/jwks.json").iter().any(|key| key["kid"] == kid)
    };
    for (remove_at, kid) in &lost {
        assert!(is_published(remove_at - 2, kid), "{kid}");
        assert!(!is_published(remove_at + 1, kid), "{kid}");
    }
    app.get("/regions/other-rg/jwks.json").expect(404);
}

/// Region `at` of the report, after the kept one has grown too old.
fn report(app: &TestApp, at: usize) -> Value {
    app.advance(11);
    app.get("/regions").expect(200).json()["regions"][at].take()
}

#[test]
fn regions_are_reported_to_anybody() {
    let app = one_of_two();
    let answer = app.get("/regions").expect(200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=10"));
    assert!(answer.header("etag").is_some());
    let now = "2026-03-01T12:00:00Z";
    let regions = json!([
        { "name": "local", "url": "https://local.sts.example", "health": "serving", "last_seen": now, "latency": [] },
        { "name": "other-rg", "url": "https://other.sts.example", "health": "unknown", "last_seen": null, "latency": [] },
    ]);
    assert_eq!(answer.json(), json!({ "region": "local", "as_of": now, "regions": regions }));
    app.send("HEAD", "/regions", &[], b"").expect(200);
    app.send("POST", "/regions", &[], b"").expect(405);
}

#[test]
fn latencies_are_told_by_pair_and_window_and_kept_over_a_restart() {
    let app = one_of_two();
    for _ in 0..3 {
        app.token_as(&READER, "scorer").expect(200);
    }
    // Neither of them belongs to a pair of regions, or took the way of a token.
    app.management_token(&READER);
    app.token_as(&STRANGER, "scorer").expect(400);
    let app = app.restart();
    let latency = report(&app, 0)["latency"].take();
    assert_eq!(latency.as_array().unwrap().len(), 1, "{latency}");
    assert_eq!(latency[0]["compute_region"], "local");
    let windows = &latency[0]["windows"];
    for window in ["5m", "1h", "24h"] {
        let found = &windows[window];
        assert_eq!(found["count"], 3, "{window}: {found}");
        let [p50, p95, p99] =
            ["p50", "p95", "p99"].map(|name| found[format!("{name}_milliseconds")].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 < 30_000.0, "{found}");
    }
    // Another process's counts are added to what the one before wrote.
    app.token_as(&READER, "scorer").expect(200);
    let app = app.restart();
    let counts = |app: &TestApp| {
        let region = report(app, 0);
        let windows = &region["latency"].get(0).unwrap_or(&Value::Null)["windows"];
        ["5m", "1h", "24h"].map(|window| windows[window]["count"].as_u64().unwrap_or(0))
    };
    assert_eq!(counts(&app), [4, 4, 4]);
    app.advance(7 * 60);
    assert_eq!(counts(&app), [0, 4, 4]);
    app.advance(3600);
    assert_eq!(counts(&app), [0, 0, 4]);
    app.advance(24 * 3600);
    assert_eq!(counts(&app), [0, 0, 0]);
    let core = Arc::clone(&app.core);
    app.block_on(async move { core.forget_latencies().await.unwrap() });
    let store = Arc::clone(&app.core.store);
    let left = app.block_on(async move {
        let mut left = 0;
        for span in workspace_sts::domain::latency::Span::ALL {
            left += store.latencies(span, chrono::DateTime::UNIX_EPOCH).await.unwrap().len();
        }
        left
    });
    assert_eq!(left, 0, "what no window looks back to is removed");
}

#[test]
fn another_region_is_seen_by_what_it_writes() {
    let app = one_of_two();
    // As the worker of a replica there does.
    let beside = |work: &'static str| {
        let (mut config, parts) = (app.deployment.config(), app.deployment.parts());
        config.region.name = Region::parse("other-rg").unwrap();
        app.block_on(async move {
            let core = compose(&config, parts).await.unwrap();
            core.announce().await;
            if work == "issues" {
                core.tend_signing_keys().await.unwrap();
                core.latencies.observe("local", std::time::Duration::from_millis(20));
                core.keep_latencies().await.unwrap();
            }
        });
        app.tend_signing_keys();
    };
    beside("issues");
    let other = report(&app, 1);
    assert_eq!(
        (&other["name"], &other["health"]),
        (&json!("other-rg"), &json!("not_serving")),
        "its key waits"
    );
    let minute = &other["latency"][0]["windows"]["5m"];
    let p99 = minute["p99_milliseconds"].as_f64().unwrap();
    assert!((20.0..=20.0 * 17.0 / 16.0).contains(&p99), "{minute}");
    app.advance(300);
    let other = report(&app, 1);
    assert_eq!((&other["health"], &other["last_seen"]), (&json!("unknown"), &json!("2026-03-01T12:00:00Z")));
    app.advance(24 * 3600);
    beside("lives");
    assert_eq!(report(&app, 1)["health"], "serving");
}
