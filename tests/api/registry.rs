//! Workspaces and webservices over the API: what each role may do, and what the answers say.

use serde_json::json;

use crate::helpers::*;

const NEW: &str = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/new-rg/providers/Microsoft.MachineLearningServices/workspaces/new-one";

/// The only change record of a request.
#[track_caller]
fn assert_changed(app: &TestApp, answer: &Answer, who: &Who, resource: &str, detail: &str) {
    let record = app.record_of(answer);
    assert_eq!((record.event.as_str(), record.outcome.as_str()), ("change", "done"));
    assert_eq!(record.client_id.as_deref(), Some(who.client_id));
    assert_eq!(record.endpoint, "api");
    assert_eq!(record.resource.as_deref(), Some(resource));
    assert_eq!(record.detail.as_deref(), Some(detail));
}

#[track_caller]
fn assert_refused(app: &TestApp, answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let record = app.record_of(answer);
    assert_eq!((record.event.as_str(), record.outcome.as_str()), ("api_call", "refused"));
    assert_eq!(record.reason.as_deref(), Some(reason));
    assert!(record.detail.is_some(), "the action that was asked for");
}

#[test]
fn an_owner_makes_reads_changes_and_deletes_a_workspace() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    api.get(NEW).expect(404);
    let body = json!({ "location": "WestEurope", "properties": { "failoverRegions": ["northeurope"] }, "sku": "ignored" });
    let made = api.put(NEW, &body).expect(201);
    assert_changed(&app, &made, &OWNER, NEW, "put home_region=westeurope");
    let expected = json!({
        "id": NEW, "name": "new-one", "type": "Microsoft.MachineLearningServices/workspaces",
        "location": "westeurope", "tags": {}, "sku": { "name": "Basic", "tier": "Basic" },
        "properties": { "provisioningState": "Succeeded", "failoverRegions": ["northeurope"],
                        "creationTime": "2026-03-01T12:00:00Z", "discoveryUrl": format!("{ISSUER}/discovery"),
                        // Made from the ARM id: it must never change.
                        "workspaceId": "74c144ce-3a8e-550c-954a-883d4d6fae36" },
    });
    assert_eq!(made.json(), expected);
    assert_eq!(api.get(NEW).expect(200).json(), expected);
    app.advance(60);
    // Again, in another spelling: the registered one stays, and the time of its making.
    let changed =
        api.put(&NEW.replace("new-one", "NEW-ONE"), &json!({ "location": "local" })).expect(200).json();
    assert_eq!(changed["id"], NEW);
    assert_eq!(changed["properties"]["creationTime"], "2026-03-01T12:00:00Z");
    assert_eq!(changed["properties"]["failoverRegions"], json!(["northeurope"]), "what is absent stays");
    let none = json!({ "location": "local", "properties": { "failoverRegions": [] } });
    assert_eq!(api.put(NEW, &none).expect(200).json()["properties"]["failoverRegions"], json!([]));
    let deleted = api.delete(NEW).expect(200);
    assert_changed(&app, &deleted, &OWNER, NEW, "delete");
    api.delete(NEW).expect(204);
    api.get(NEW).expect(404);
}

#[test]
fn workspaces_are_listed_by_subscription_and_by_group() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let list = |under: &str| -> Vec<String> {
        let path = format!("{SUBSCRIPTION}{under}/providers/Microsoft.MachineLearningServices/workspaces");
        let found = api.get(&path).expect(200).json();
        assert!(found.get("nextLink").is_none());
        found["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().replace(SUBSCRIPTION, ""))
            .collect()
    };
    let provider = "providers/Microsoft.MachineLearningServices/workspaces";
    let demo = format!("/resourceGroups/demo-rg/{provider}/demo");
    let (a, a2) =
        (format!("/resourceGroups/rg-a/{provider}/alpha"), format!("/resourceGroups/rg-a2/{provider}/alpha"));
    assert_eq!(list(""), [demo, a.clone(), a2.clone()]);
    assert_eq!(list("/resourceGroups/rg-a"), [a]);
    assert_eq!(list("/resourceGroups/RG-A2"), [a2]);
    assert_eq!(list("/resourceGroups/none"), [""; 0]);
}

#[test]
fn a_long_list_comes_in_pages_with_links_that_work() {
    let mut app = TestApp::start();
    let many: String = (0..201)
        .map(|number| {
            format!("[[webservices]]\nworkspace = \"{WORKSPACE}\"\nname = \"many-{number:03}\"\ncompute_type = \"AKS\"\n")
        })
        .collect();
    app.apply(&many);
    let api = app.api(&OWNER);
    let mut names: Vec<String> = Vec::new();
    let mut next = format!("{WORKSPACE}/onlineEndpoints?{V}");
    let mut pages = 0;
    loop {
        let page = api.get(&next).expect(200).json();
        pages += 1;
        for one in page["value"].as_array().unwrap() {
            names.push(one["name"].as_str().unwrap().to_owned());
        }
        match page.get("nextLink").and_then(|link| link.as_str()) {
            // Absolute, from the configured issuer.
            Some(link) => next = link.strip_prefix(ISSUER).unwrap().to_owned(),
            None => break,
        }
    }
    assert!(pages > 1, "{pages}");
    assert_eq!(names.len(), 204);
    names.dedup();
    assert_eq!(names.len(), 204, "no name twice");
}

#[test]
fn a_reader_reads_and_changes_nothing() {
    let app = TestApp::start();
    let api = app.api(&READER);
    assert_eq!(api.get(WORKSPACE).expect(200).json()["name"], "demo");
    assert_eq!(api.get(&webservice("scorer")).expect(200).json()["name"], "scorer");
    let listed = api.get(&format!("{WORKSPACE}/onlineEndpoints")).expect(200).json();
    let names: Vec<_> = listed["value"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["keyed", "open", "scorer"]);
    let endpoint = json!({ "properties": { "authMode": "Key" } });
    let workspace = json!({ "location": "local" });
    // It may see them, so it hears that it may not, and which action it lacks.
    for answer in [
        api.put(WORKSPACE, &workspace),
        api.delete(WORKSPACE),
        api.put(&webservice("scorer"), &endpoint),
        api.put(&webservice("new-one"), &endpoint),
        api.delete(&webservice("scorer")),
    ] {
        assert_eq!(answer.json()["error"]["code"], "AuthorizationFailed");
        assert_refused(&app, &answer, 403, "no_role_for_action");
    }
    // Outside its workspace nothing is there.
    for path in
        [NEW.to_owned(), format!("{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/workspaces")]
    {
        assert_refused(&app, &api.get(&path), 404, "no_role");
    }
    assert_refused(&app, &api.put(NEW, &workspace), 404, "no_role");
}

#[test]
fn a_contributor_changes_webservices_and_no_roles_or_principals() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    let body = json!({ "properties": { "authMode": "AMLToken", "computeType": "AKS" } });
    let made = api.put(&webservice("made-by-hand"), &body).expect(201);
    let mut details: Vec<_> = app.audit_of(&made).into_iter().map(|entry| entry.detail.unwrap()).collect();
    details.reverse();
    let expected = [
        "put compute=AKS/local auth_mode=token scoring_uri=none",
        "primary key, generation 1",
        "secondary key, generation 1",
    ];
    assert_eq!(details, expected, "a record for each change, in their order");
    app.token_as(&READER, "made-by-hand").expect(200);
    api.delete(&webservice("made-by-hand")).expect(200);
    api.delete(&webservice("made-by-hand")).expect(204);
    app.token_as(&READER, "made-by-hand").expect(400);
    let assignment = format!(
        "{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-0000-0000-000000000001"
    );
    let body = json!({ "properties": {
        "roleDefinitionId": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "principalId": CONTRIBUTOR.object_id } });
    assert_refused(&app, &api.put(&assignment, &body), 403, "no_role_for_action");
    assert_refused(&app, &api.get("/v1.0/servicePrincipals"), 404, "no_role");
}

#[test]
fn a_webservice_is_shown_in_full_and_put_again_it_changes() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let body = json!({
        "location": "LOCAL", "tags": { "team": "risk" }, "identity": { "ignored": true },
        "properties": { "authMode": "amltoken", "computeType": "kubernetes", "scoringUri": "https://x.example/score",
                        "description": "a model", "tokenLifetimeSeconds": 900 },
    });
    let made = api.put(&webservice("full"), &body).expect(201).json();
    let expected = json!({
        "id": webservice("full"), "name": "full", "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        "location": "local", "kind": "Managed", "tags": { "team": "risk" },
        "properties": { "authMode": "AMLToken", "scoringUri": "https://x.example/score", "description": "a model",
                        "provisioningState": "Succeeded", "computeType": "Kubernetes", "tokenLifetimeSeconds": 900,
                        "properties": {}, "traffic": {} },
    });
    assert_eq!(made, expected);
    assert_eq!(api.get(&webservice("full")).expect(200).json(), expected);
    assert_eq!(app.token_as(&READER, "full").expect(200).json()["expires_in"], 900);
    // The next token sees the change.
    let keyed = json!({ "properties": { "authMode": "Key" } });
    api.put(&webservice("full"), &keyed).expect(200);
    app.token_as(&READER, "full").expect(400);
}

#[test]
fn aci_with_tokens_is_refused_and_its_default_is_none() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let body = |properties| json!({ "properties": properties });
    let answer = api
        .put(&webservice("on-aci"), &body(json!({ "computeType": "ACI", "authMode": "AMLToken" })))
        .expect(400);
    assert_eq!(
        answer.json()["error"],
        json!({ "code": "InvalidParameter", "message":
            "`properties.authMode`: an ACI webservice can't have auth mode `token`: ACI offers `key` and `none` only" })
    );
    api.get(&webservice("on-aci")).expect(404);
    let made = api.put(&webservice("on-aci"), &body(json!({ "computeType": "ACI" }))).expect(201);
    assert_eq!(made.json()["properties"]["authMode"], "None");
    let made = api.put(&webservice("on-aks"), &body(json!({ "computeType": "aks" }))).expect(201);
    assert_eq!(made.json()["properties"]["authMode"], "Key");
}

#[test]
fn a_cluster_in_another_region_is_taken_with_a_warning() {
    let app = TestApp::start();
    let body = json!({ "location": "far-away", "properties": { "authMode": "AMLToken" } });
    let made = app.api(&OWNER).put(&webservice("distant"), &body).expect(201).json();
    assert_eq!(made["location"], "far-away");
    let warning = made["properties"]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("`far-away`") && warning.contains("`local`"), "{warning}");
    app.token_as(&READER, "distant").expect(200);
    // A pair of regions that nobody named before has its series at once.
    let metrics = app.get_ops("/metrics").text();
    assert!(metrics.contains("compute_region=\"far-away\""));
}

#[test]
fn a_workspace_with_webservices_is_deleted_only_by_force() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    app.token_as(&READER, "scorer").expect(200);
    let answer = api.delete(WORKSPACE).expect(409);
    assert_eq!(answer.json()["error"]["code"], "Conflict");
    app.token_as(&READER, "scorer").expect(200);
    let deleted = api.delete(&format!("{WORKSPACE}?{V}&forceToPurge=true")).expect(200);
    // A record for each thing that went.
    assert_eq!(app.audit_of(&deleted).len(), 4);
    let refused = app.token_as(&READER, "scorer").expect(400);
    assert_eq!(app.record_of(&refused).reason.as_deref(), Some("no_such_webservice"));
    api.get(WORKSPACE).expect(404);
    // Made again, nobody's old role holds there.
    api.put(WORKSPACE, &json!({ "location": "local" })).expect(201);
    app.api(&READER).get(WORKSPACE).expect(404);
}

#[test]
fn a_webservice_in_no_workspace_is_refused() {
    let app = TestApp::start();
    let path = format!("{NEW}/onlineEndpoints/lonely");
    let body = json!({ "properties": { "authMode": "Key" } });
    app.api(&OWNER).put(&path, &body).expect(404);
    app.api(&OWNER).get(&format!("{NEW}/onlineEndpoints")).expect(404);
}

#[test]
fn values_outside_the_rules_are_refused_and_named() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let endpoint = |properties| json!({ "properties": properties });
    for (body, word) in [
        (endpoint(json!({ "authMode": "Aad" })), "properties.authMode"),
        (endpoint(json!({ "computeType": "VM" })), "properties.computeType"),
        (endpoint(json!({ "tokenLifetimeSeconds": 899 })), "900 to 43200"),
        (endpoint(json!({ "tokenLifetimeSeconds": 43201 })), "900 to 43200"),
        (endpoint(json!({ "tokenLifetimeSeconds": -1 })), "`-1`"),
        (json!({ "location": "two words", "properties": {} }), "region name"),
        (json!({}), "`properties`"),
        (json!([1]), "body"),
    ] {
        let answer = api.put(&webservice("ruled"), &body).expect(400).json();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{word}: {message}");
    }
    for (body, word) in [(json!({}), "location"), (json!({ "location": "" }), "region name")] {
        let answer = api.put(NEW, &body).expect(400).json();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{message}");
    }
    for name in ["ab", "1st", "ends-", "has_underscore", &"x".repeat(33), "caf%C3%A9", "%D1%95corer"] {
        let answer = api.put(&webservice(name), &endpoint(json!({}))).expect(400).json();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("webservice name"), "{name}: {message}");
    }
    api.get(&webservice("ruled")).expect(404);
}

#[test]
fn a_put_of_what_is_there_keeps_what_it_does_not_name() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    let before = api.get(&webservice("scorer")).expect(200).json();
    let after =
        api.put(&webservice("scorer"), &json!({ "tags": { "a": "b" }, "properties": {} })).expect(200).json();
    assert_eq!(after["tags"], json!({ "a": "b" }));
    for name in ["scoringUri", "tokenLifetimeSeconds", "computeType", "authMode"] {
        assert_eq!(after["properties"][name], before["properties"][name], "{name}");
        assert!(!after["properties"][name].is_null(), "{name}");
    }
    assert_eq!(after["location"], before["location"]);
    // Judged on what would result: the kept mode with the new compute type.
    api.put(&webservice("scorer"), &json!({ "properties": { "computeType": "ACI" } })).expect(400);
}

#[test]
fn what_a_put_does_not_name_stays() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    let whole = json!({
        "location": "eastus", "tags": { "team": "a" },
        "properties": { "authMode": "Key", "computeType": "AKS", "description": "Scores.",
                        "scoringUri": "https://gateway.example/score", "tokenLifetimeSeconds": 900 },
    });
    let made = api.put(&webservice("kept"), &whole).expect(201).json();
    let again = api.put(&webservice("kept"), &json!({ "properties": { "authMode": "Key" } })).expect(200);
    assert_eq!(again.json(), made);
    assert!(app.audit_of(&again).is_empty(), "nothing was changed");
    let cleared = json!({ "tags": {}, "properties": { "description": "" } });
    let cleared = api.put(&webservice("kept"), &cleared).expect(200).json();
    assert_eq!((&cleared["tags"], &cleared["properties"]["description"]), (&json!({}), &json!("")));
    for uri in ["javascript:alert(1)", "https://", "https://a b", "https://a\n", ""] {
        api.put(&webservice("kept"), &json!({ "properties": { "scoringUri": uri } })).expect(400);
    }
}

#[test]
fn a_change_by_another_process_is_not_undone() {
    let app = TestApp::start();
    let body = json!({ "properties": { "authMode": "None", "computeType": "AKS" } });
    let token = app.management_token(&CONTRIBUTOR);
    app.api_with(&token).put(&webservice("shared"), &body).expect(201);
    app.apply_elsewhere(&format!(
        "[[webservices]]\nworkspace = \"{WORKSPACE}\"\nname = \"shared\"\ncompute_type = \"AKS\"\nauth_mode = \"key\"\n"
    ));
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json-patch+json")];
    let steps = br#"[{"op":"replace","path":"/description","value":"new"}]"#;
    let path = format!("/modelmanagement/v1.0{WORKSPACE}/services/shared");
    let patched = app.send("PATCH", &path, &headers, steps).expect(200).json();
    assert_eq!((&patched["authEnabled"], &patched["description"]), (&json!(true), &json!("new")));
}
