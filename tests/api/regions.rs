//! Several regions: who issues for which workspace, and what the others say.

use serde_json::{Value, json};

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
