//! Model management v1 besides the token: what the azureml-core SDK reads and patches.

use serde_json::{Value, json};

use crate::helpers::*;

fn services(rest: &str) -> String {
    format!("/modelmanagement/v1.0{WORKSPACE}/services{rest}")
}

fn patch(app: &TestApp, who: &Who, name: &str, steps: &Value) -> Answer {
    let bearer = format!("Bearer {}", app.management_token(who));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json-patch+json")];
    app.send("PATCH", &services(&format!("/{name}")), &headers, steps.to_string().as_bytes())
}

#[test]
fn a_service_has_every_key_that_the_sdk_demands() {
    let app = TestApp::start();
    let api = app.api(&READER);
    let common = ["computeType", "createdTime", "description", "kvTags", "name", "properties"];
    let aks = [
        "appInsightsEnabled",
        "authEnabled",
        "aadAuthEnabled",
        "autoScaler",
        "computeName",
        "containerResourceRequirements",
        "dataCollection",
        "maxConcurrentRequestsPerContainer",
        "maxQueueWaitMs",
        "numReplicas",
        "scoringTimeoutMs",
        "scoringUri",
        "livenessProbeRequirements",
    ];
    let aci = [
        "appInsightsEnabled",
        "authEnabled",
        "cname",
        "containerResourceRequirements",
        "location",
        "publicIp",
        "scoringUri",
        "sslCertificate",
        "sslEnabled",
        "sslKey",
    ];
    for (name, keys) in [("scorer", &aks[..]), ("open", &aci[..])] {
        let service = api.get(&services(&format!("/{name}?expand=true"))).expect(200).json();
        for key in common.iter().chain(keys) {
            assert!(service.get(key).is_some(), "{name} lacks {key}");
        }
        assert_eq!(service["name"], name);
    }
    let scorer = api.get(&services("/scorer?expand=true")).expect(200).json();
    assert_eq!((&scorer["authEnabled"], &scorer["aadAuthEnabled"]), (&json!(false), &json!(true)));
    assert_eq!(scorer["scoringUri"], "https://scorer.example/score");
    assert!(
        scorer["createdTime"].as_str().unwrap().ends_with("+00:00"),
        "an offset, not Z: the SDK parses no other"
    );
    let absent = api.get(&services("/absent?expand=true")).expect(404).json();
    assert_eq!(absent["statusCode"], 404);
}

#[test]
fn services_are_listed_narrowed_and_paged() {
    let app = TestApp::start();
    let api = app.api(&READER);
    let names = |query: &str| -> Vec<String> {
        let found = api.get(&services(&format!("?expand=true{query}"))).expect(200).json();
        assert!(found.get("nextLink").is_none());
        found["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(""), ["keyed", "open", "scorer"]);
    assert_eq!(names("&computeType=ACI"), ["open"]);
    assert_eq!(names("&computeType=aks"), ["keyed", "scorer"]);
    assert!(names("&imageName=some").is_empty());
    assert!(names("&tags=team").is_empty());
    patch(
        &app,
        &CONTRIBUTOR,
        "keyed",
        &json!([{ "op": "replace", "path": "/kvTags", "value": { "team": "a" } }]),
    )
    .expect(200);
    assert_eq!(names("&tags=team"), ["keyed"]);
    assert_eq!(names("&tags=team%3Da"), ["keyed"]);
    assert!(names("&tags=team%3Db").is_empty());
    app.api(&STRANGER).get(&services("?expand=true")).expect(404);
}

#[test]
fn a_long_list_comes_in_pages_and_takes_no_foreign_link() {
    let app = TestApp::start();
    let contributor = app.api(&CONTRIBUTOR);
    for n in 0..250 {
        contributor.put(&webservice(&format!("many-{n:03}")), &json!({ "properties": {} })).expect(201);
    }
    let api = app.api(&READER);
    let first = api.get(&services("?expand=true&computeType=AKS")).expect(200).json();
    let link = first["nextLink"].as_str().unwrap().strip_prefix(ISSUER).unwrap();
    assert!(link.contains("computeType=AKS") && link.contains("expand=true"), "{link}");
    let second = api.get(link).expect(200).json();
    assert!(second.get("nextLink").is_none());
    let count = |page: &Value| page["value"].as_array().unwrap().len();
    // All but `open`, which is no AKS.
    assert_eq!(count(&first) + count(&second), 252);
    for foreign in [
        "/subscriptions/x".to_owned(),
        "nonsense".to_owned(),
        format!("{}2/onlineendpoints/a", WORKSPACE.to_lowercase()),
        OTHER_SUBSCRIPTION.to_owned(),
    ] {
        let v1 = api.get(&services(&format!("?$skipToken={foreign}"))).expect(400).json();
        assert_eq!(v1["statusCode"], 400);
        let v2 = api.get(&format!("{WORKSPACE}/onlineEndpoints?{V}&$skipToken={foreign}")).expect(400).json();
        assert_eq!(v2["error"]["code"], "InvalidParameter");
    }
}

#[test]
fn a_patch_changes_what_wsts_keeps() {
    let app = TestApp::start();
    let steps = json!([
        { "op": "replace", "path": "/description", "value": "new" },
        { "op": "add", "path": "/properties/azureml.git.branch", "value": "main" },
        { "op": "add", "path": "/kvTags", "value": { "a": "b" } },
        { "op": "replace", "path": "/authEnabled", "value": true },
        { "op": "replace", "path": "/aadAuthEnabled", "value": false },
    ]);
    app.advance(60);
    let answer = patch(&app, &CONTRIBUTOR, "scorer", &steps).expect(200);
    let after = answer.json();
    assert_eq!((&after["description"], &after["kvTags"]), (&json!("new"), &json!({ "a": "b" })));
    assert_eq!((&after["authEnabled"], &after["aadAuthEnabled"]), (&json!(true), &json!(false)));
    assert_ne!(after["createdTime"], after["updatedTime"]);
    let operation = after["operationId"].as_str().unwrap();
    let path = format!("/modelmanagement/v1.0{WORKSPACE}/operations/{operation}?");
    assert_eq!(app.api(&READER).get(&path).expect(200).json()["state"], "Succeeded");
    // The same operation is not found in another workspace, nor by who can't see this one.
    app.api(&STRANGER).get(&path).expect(404);
    let elsewhere = path
        .replace("resourceGroups/demo-rg", "resourceGroups/rg-a")
        .replace("workspaces/demo", "workspaces/alpha");
    app.api(&OWNER).get(&elsewhere).expect(404);
    // A second time nothing changes and nothing is recorded.
    let again = patch(&app, &CONTRIBUTOR, "scorer", &steps).expect(200);
    assert!(app.audit_of(&again).is_empty());
    patch(&app, &CONTRIBUTOR, "scorer", &json!([{ "op": "remove", "path": "/description" }])).expect(200);
    assert_eq!(app.api(&READER).get(&services("/scorer?")).expect(200).json()["description"], Value::Null);
}

#[test]
fn a_patch_that_breaks_a_rule_changes_nothing() {
    let app = TestApp::start();
    let before = app.api(&READER).get(&services("/keyed?")).expect(200).json();
    let set = |path: &str, value: Value| json!([{ "op": "replace", "path": path, "value": value }]);
    let good = json!({ "op": "replace", "path": "/description", "value": "half" });
    for (bad, word) in [
        (set("/aadAuthEnabled", json!(true)), "both"),
        (set("/authEnabled", json!("yes")), "authEnabled"),
        (set("/kvTags", json!({ "a": 1 })), "kvTags"),
        (set("/kvTags", json!("a")), "kvTags"),
        (set("/description", json!(7)), "description"),
        (json!([good, { "op": "replace", "path": "/imageId", "value": "x" }]), "imageId"),
        (json!([good, { "op": "test", "path": "/description", "value": "x" }]), "test"),
        (json!([good, { "op": "move", "from": "/a", "path": "/b" }]), "`move` is none of"),
        (json!([good, { "op": "remove", "path": "/authEnabled" }]), "authEnabled"),
        (json!([good, { "op": "replace", "path": "/description" }]), "has no value"),
        (json!([good, { "op": "add", "path": "/properties/a", "value": {} }]), "properties"),
        (json!({ "op": "replace" }), "body"),
        (json!(["replace"]), "body"),
    ] {
        let answer = patch(&app, &CONTRIBUTOR, "keyed", &bad).expect(400);
        assert_eq!(answer.json()["statusCode"], 400);
        assert!(answer.json()["message"].as_str().unwrap().contains(word), "{bad}: {}", answer.text());
    }
    let aci = patch(&app, &CONTRIBUTOR, "open", &set("/aadAuthEnabled", json!(true))).expect(400);
    assert!(aci.text().contains("ACI"));
    assert_eq!(app.api(&READER).get(&services("/keyed?")).expect(200).json(), before);
    patch(&app, &READER, "keyed", &json!([good])).expect(403);
    patch(&app, &STRANGER, "keyed", &json!([good])).expect(404);
    patch(&app, &CONTRIBUTOR, "absent", &json!([good])).expect(404);
    let typed = app.api(&CONTRIBUTOR).patch(&services("/keyed?"), &json!([good])).expect(415);
    assert!(typed.text().contains("application/json-patch+json"));
}

#[test]
fn a_service_is_deleted_once() {
    let app = TestApp::start();
    app.api(&READER).delete(&services("/keyed?")).expect(403);
    app.api(&CONTRIBUTOR).delete(&services("/keyed?")).expect(200);
    app.api(&CONTRIBUTOR).delete(&services("/keyed?")).expect(204);
    app.api(&CONTRIBUTOR).get(&webservice("keyed")).expect(404);
}

#[test]
fn the_sdk_finds_its_way_to_a_workspace() {
    let app = TestApp::start();
    let own = app.api(&STRANGER).get("/subscriptions").expect(200).json();
    let listed: Vec<&str> =
        own["value"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [SUBSCRIPTION], "those of the caller's tenant, for any principal of it");
    assert_eq!(own["value"][0]["tenantId"], TENANT);
    let refused = app.send("GET", &format!("/subscriptions?{V}"), &[], b"").expect(401);
    assert_eq!(app.record_of(&refused).reason.as_deref(), Some("missing_token"));
    let workspace = app.api(&READER).get(WORKSPACE).expect(200).json();
    let discovery = workspace["properties"]["discoveryUrl"].as_str().unwrap().strip_prefix(ISSUER).unwrap();
    assert!(uuid::Uuid::try_parse(workspace["properties"]["workspaceId"].as_str().unwrap()).is_ok());
    // Without a token, as the SDK asks.
    let document = app.get(discovery).expect(200).json();
    for key in ["api", "experimentation", "history", "hyperdrive", "modelmanagement", "studio"] {
        assert_eq!(document[key], ISSUER);
    }
    for path in [
        format!("/adfs/{TENANT}/.well-known/openid-configuration"),
        format!("/{TENANT}/b2c_x/v2.0/.well-known/openid-configuration"),
    ] {
        let found = app.get(&path).expect(200).json();
        assert_eq!(found["token_endpoint"], format!("{ISSUER}/{TENANT}/oauth2/v2.0/token"));
    }
    assert!(
        (400..500).contains(
            &app.get(&format!("/adfs/{OTHER_SUBSCRIPTION}/.well-known/openid-configuration")).status
        )
    );
}
