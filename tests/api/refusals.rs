//! Who gets no token for a webservice, and that the answer tells nothing to who has no role there.

use serde_json::{Value, json};

use crate::helpers::*;

/// An answer without what differs from request to request.
fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut body = answer.json();
    let id = answer.request_id().to_owned();
    blank(&mut body, &id);
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .cloned()
        .collect();
    (answer.status, headers, body)
}

fn blank(value: &mut Value, id: &str) {
    match value {
        Value::String(text) if text == id => *text = "id".to_owned(),
        Value::Array(values) => values.iter_mut().for_each(|value| blank(value, id)),
        Value::Object(members) => members.values_mut().for_each(|value| blank(value, id)),
        _ => {}
    }
}

#[test]
fn a_stranger_can_not_tell_an_existing_webservice_from_none_in_any_dialect() {
    let app = TestApp::start();
    let token = app.management_token(&STRANGER);
    let api = app.api(&STRANGER);
    type Ask<'a> = &'a dyn Fn(&str) -> Answer;
    let ask: [(&str, Ask<'_>); 4] = [
        ("oauth", &|name| app.token_as(&STRANGER, name)),
        ("v1", &|name| app.v1_token(&token, name)),
        ("v2", &|name| app.v2_token(&token, name)),
        ("api", &|name| api.get(&webservice(name))),
    ];
    for (dialect, ask) in ask {
        // In `keyed` there are no tokens for anybody: that too is not for a stranger to know.
        let [there, keyed, absent] = ["scorer", "keyed", "no-such-one"].map(ask);
        assert_eq!(shape(&there), shape(&absent), "{dialect}");
        assert_eq!(shape(&keyed), shape(&absent), "{dialect}");
        assert_eq!(there.status, if dialect == "oauth" { 400 } else { 404 });
        // The audit tells them apart.
        if dialect != "api" {
            assert_eq!(app.record_of(&there).reason.as_deref(), Some("no_role"));
            assert_eq!(app.record_of(&absent).reason.as_deref(), Some("no_such_webservice"));
        }
    }
}

#[test]
fn each_dialect_words_a_refusal_in_its_own_shape() {
    let app = TestApp::start();
    let token = app.management_token(&STRANGER);
    let text = "no such webservice, or this principal has no role (at least Reader) on its workspace";
    let oauth = app.token_as(&STRANGER, "scorer").expect(400);
    let body = oauth.json();
    assert_eq!(body["error"], "invalid_target");
    assert_eq!(body["error_description"], text);
    assert_eq!(body["error_codes"], json!([500_011]));
    let v1 = app.v1_token(&token, "scorer").expect(404);
    assert_eq!(
        v1.json(),
        json!({ "code": "ServiceNotFound", "statusCode": 404, "message": text,
                "correlation": { "RequestId": v1.request_id() } })
    );
    let v2 = app.v2_token(&token, "scorer").expect(404);
    assert_eq!(v2.json(), json!({ "error": { "code": "ResourceNotFound", "message": text } }));
    for answer in [&oauth, &v1, &v2] {
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let problem = app.api(&STRANGER).get("/v1.0/servicePrincipals").expect(404);
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        problem.json(),
        json!({ "type": "urn:wsts:problem:not-found", "title": "not found", "status": 404,
                "detail": "no such resource, or this principal has no role (at least Reader) to see it",
                "request_id": problem.request_id() })
    );
}

#[test]
fn a_webservice_without_token_auth_is_told_plainly_to_who_has_a_role() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    for (name, mode) in [("keyed", "key"), ("open", "none")] {
        let text = format!("the webservice has auth mode `{mode}`: there are no tokens for it");
        let oauth = app.token_as(&READER, name).expect(400);
        assert_eq!(oauth.json()["error"], "invalid_target");
        assert_eq!(oauth.json()["error_description"], *text);
        let v1 = app.v1_token(&token, name).expect(400);
        assert_eq!((&v1.json()["code"], &v1.json()["message"]), (&json!("AuthModeMismatch"), &json!(text)));
        let v2 = app.v2_token(&token, name).expect(400);
        assert_eq!(v2.json()["error"], json!({ "code": "AuthModeMismatch", "message": text }));
        for answer in [oauth, v1, v2] {
            let record = app.record_of(&answer);
            assert_eq!(record.reason.as_deref(), Some("not_token_auth"));
            assert_eq!(record.resource, Some(webservice(name)));
        }
    }
}

#[test]
fn a_role_on_one_group_does_not_reach_the_group_whose_name_begins_with_it() {
    let app = TestApp::start();
    let sibling = |group: &str| {
        format!(
            "{ISSUER}{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/alpha/onlineEndpoints/sibling"
        )
    };
    app.token_for(&GROUP_READER, &sibling("rg-a"), &[]).expect(200);
    let refused = app.token_for(&GROUP_READER, &sibling("rg-a2"), &[]).expect(400);
    assert_eq!(app.record_of(&refused).reason.as_deref(), Some("no_role"));
    app.token_as(&GROUP_READER, "scorer").expect(400);
}

#[test]
fn a_token_for_another_regions_workspace_is_issued_here_and_says_so() {
    let app = TestApp::start();
    let resource = format!(
        "{ISSUER}{SUBSCRIPTION}/resourceGroups/rg-a/providers/Microsoft.MachineLearningServices/workspaces/alpha/services/sibling"
    );
    let answer = app.token_for(&GROUP_READER, &resource, &[]).expect(200);
    assert_eq!(decoded(&answer.token()).1["region"], "local");
}

#[test]
fn a_revoked_assignment_is_refused_at_the_next_request() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    app.token_as(&READER, "scorer").expect(200);
    app.v1_token(&token, "scorer").expect(200);
    let owner = app.api(&OWNER);
    let list = format!("{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments");
    let found = owner.get(&list).expect(200).json();
    let held = found["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["properties"]["principalId"] == READER.object_id)
        .unwrap();
    let deleted = owner.delete(held["id"].as_str().unwrap()).expect(200);
    assert_eq!(app.record_of(&deleted).event, "change");
    for answer in [app.token_as(&READER, "scorer"), app.v1_token(&token, "scorer")] {
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some("no_role"));
    }
    app.api_with(&token).get(WORKSPACE).expect(404);
    owner.delete(held["id"].as_str().unwrap()).expect(204);
}

#[test]
fn a_role_that_loses_its_action_is_refused_at_the_next_request() {
    let app = TestApp::of_one_tenant();
    let owner = app.api(&OWNER);
    let role = "/providers/Microsoft.Authorization/roleDefinitions/dddddddd-0000-0000-0000-000000000001";
    let with = |actions: Value| json!({ "properties": { "roleName": "fetcher", "permissions": [{ "actions": actions }] } });
    let fetch = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/token/action";
    owner.put(role, &with(json!([fetch]))).expect(201);
    let assignment = format!(
        "{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-0000-0000-000000000001"
    );
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": STRANGER.object_id } });
    app.token_as(&STRANGER, "scorer").expect(400);
    owner.put(&assignment, &body).expect(201);
    app.token_as(&STRANGER, "scorer").expect(200);
    // It may fetch and not read.
    app.api(&STRANGER).get(WORKSPACE).expect(404);
    owner.put(role, &with(json!(["*/read"]))).expect(200);
    let refused = app.token_as(&STRANGER, "scorer").expect(400);
    assert_eq!(app.record_of(&refused).reason.as_deref(), Some("no_role"));
    app.api(&STRANGER).get(WORKSPACE).expect(200);
}
