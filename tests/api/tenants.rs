//! No role reaches from one tenant into another, not even Owner at the root.

use serde_json::json;

use crate::helpers::*;

#[test]
fn an_owner_of_another_tenant_sees_nothing_of_this_one() {
    let app = TestApp::start();
    let api = app.api(&FOREIGN_OWNER);
    let paths = [
        WORKSPACE.to_owned(),
        webservice("scorer"),
        format!("{WORKSPACE}/onlineEndpoints"),
        format!("{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/workspaces"),
        format!(
            "{SUBSCRIPTION}/resourceGroups/demo-rg/providers/Microsoft.MachineLearningServices/workspaces"
        ),
        format!("{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments"),
        format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"),
        format!("/v1.0/servicePrincipals/{}", READER.object_id),
    ];
    for path in paths {
        let answer = api.get(&path).expect(404);
        assert!(!answer.text().contains("demo"), "{path}: {}", answer.text());
    }
}

#[test]
fn an_owner_of_another_tenant_changes_nothing_of_this_one() {
    let app = TestApp::start();
    let api = app.api(&FOREIGN_OWNER);
    let before = app.audit().len();
    let workspace = json!({ "location": "local" });
    let endpoint = json!({ "properties": { "authMode": "None" } });
    let principal = format!("/v1.0/servicePrincipals/{}", READER.object_id);
    let answers = [
        api.put(WORKSPACE, &workspace),
        api.delete(WORKSPACE),
        api.delete(&format!("{WORKSPACE}?{V}&forceToPurge=true")),
        api.put(&webservice("scorer"), &endpoint),
        api.delete(&webservice("scorer")),
        api.put(
            &format!(
                "{SUBSCRIPTION}/resourceGroups/new/providers/Microsoft.MachineLearningServices/workspaces/new"
            ),
            &workspace,
        ),
        api.patch(&principal, &json!({ "accountEnabled": false })),
        api.delete(&principal),
        api.post(&format!("{principal}/addPassword"), &json!({})),
    ];
    for answer in answers {
        answer.expect(404);
    }
    let changes = app.audit();
    assert!(
        changes
            .iter()
            .filter(|one| one.event == "change" && one.client_id.as_deref() == Some(FOREIGN_OWNER.client_id))
            .count()
            == 0
    );
    assert!(changes.len() > before, "refusals of known things are recorded");
    app.token_as(&READER, "scorer").expect(200);
}

#[test]
fn an_owner_of_another_tenant_gets_no_token_of_this_one() {
    let app = TestApp::start();
    let token = app.management_token(&FOREIGN_OWNER);
    for answer in [
        app.token_as(&FOREIGN_OWNER, "scorer").expect(400),
        app.v1_token(&token, "scorer").expect(404),
        app.v2_token(&token, "scorer").expect(404),
    ] {
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some("no_role"));
    }
}

#[test]
fn an_owner_reaches_everything_of_its_own_tenant() {
    let app = TestApp::start();
    let api = app.api(&FOREIGN_OWNER);
    let own = format!(
        "{OTHER_SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/own"
    );
    api.put(&own, &json!({ "location": "local" })).expect(201);
    let endpoint = json!({ "properties": { "authMode": "AMLToken" } });
    api.put(&format!("{own}/onlineEndpoints/mine"), &endpoint).expect(201);
    let resource = format!("{ISSUER}{own}/onlineEndpoints/mine");
    let token = app.token_for(&FOREIGN_OWNER, &resource, &[]).expect(200).token();
    assert_eq!(decoded(&token).1["tid"], OTHER_TENANT);
    // And tenant one's owner does not reach it.
    app.token_for(&OWNER, &resource, &[]).expect(400);
    app.api(&OWNER).get(&own).expect(404);
}

#[test]
fn assignments_at_the_root_belong_to_the_tenant_of_their_principal() {
    let app = TestApp::start();
    let root = "/providers/Microsoft.Authorization/roleAssignments";
    let of = |who: &Who| {
        let found = app.api(who).get(root).expect(200).json();
        found["value"].as_array().unwrap().clone()
    };
    let ours = of(&OWNER);
    let theirs = of(&FOREIGN_OWNER);
    let principals = |list: &[serde_json::Value]| -> Vec<String> {
        let mut all: Vec<String> =
            list.iter().map(|one| one["properties"]["principalId"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    };
    assert!(principals(&ours).contains(&OWNER.object_id.to_owned()));
    assert_eq!(principals(&theirs), [FOREIGN_OWNER.object_id]);
    let owner_at_root = ours.iter().find(|one| one["properties"]["principalId"] == OWNER.object_id).unwrap();
    let path = owner_at_root["id"].as_str().unwrap();
    // A list in a subscription shows what is inherited from the root: of its own tenant only.
    let list = format!("{WORKSPACE}{root}");
    let inherited = app.api(&OWNER).get(&list).expect(200).json();
    let inherited = principals(inherited["value"].as_array().unwrap());
    assert!(inherited.contains(&OWNER.object_id.to_owned()), "{inherited:?}");
    assert!(!inherited.contains(&FOREIGN_OWNER.object_id.to_owned()), "{inherited:?}");
    // Neither read nor deleted nor found out by its id.
    let foreign = app.api(&FOREIGN_OWNER);
    foreign.get(path).expect(404);
    foreign.delete(path).expect(204);
    app.api(&OWNER).get(path).expect(200);
    // And nobody assigns a role to another tenant's principal.
    let body = json!({ "properties": {
        "roleDefinitionId": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "principalId": FOREIGN_OWNER.object_id } });
    let new = format!("{root}/eeeeeeee-0000-0000-0000-000000000009");
    let refused = app.api(&OWNER).put(&new, &body).expect(400);
    assert_eq!(
        refused.json()["error"]["message"],
        "`properties.principalId`: no such principal in this tenant"
    );
}

#[test]
fn principals_are_listed_and_made_within_the_callers_tenant() {
    let app = TestApp::start();
    let listed = app.api(&FOREIGN_OWNER).get("/v1.0/servicePrincipals").expect(200).json();
    let ids: Vec<&str> =
        listed["value"].as_array().unwrap().iter().map(|one| one["appId"].as_str().unwrap()).collect();
    assert_eq!(ids, [FOREIGN_OWNER.client_id]);
    // A client id of the other tenant is taken, and stays that tenant's.
    let stolen = json!({ "displayName": "thief", "appId": READER.client_id });
    app.api(&FOREIGN_OWNER).post("/v1.0/servicePrincipals", &stolen).expect(409);
    app.token_as(&READER, "scorer").expect(200);
}
