//! Role definitions and role assignments in ARM's shape.

use serde_json::{Value, json};

use crate::helpers::*;

const DEFINITIONS: &str = "/providers/Microsoft.Authorization/roleDefinitions";
const READER_ROLE: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const OWNER_ROLE: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const CUSTOM: &str =
    "/providers/Microsoft.Authorization/roleDefinitions/dddddddd-0000-0000-0000-000000000001";

fn custom(name: &str, actions: &[&str]) -> Value {
    json!({ "properties": { "roleName": name, "permissions": [{ "actions": actions }] } })
}

fn assignment(number: u32) -> String {
    format!(
        "{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-0000-0000-{number:012}"
    )
}

fn assigned(role: &str, who: &Who) -> Value {
    json!({ "properties": { "roleDefinitionId": role, "principalId": who.object_id } })
}

#[test]
fn built_in_roles_have_azures_ids_and_can_not_be_changed() {
    let app = TestApp::of_one_tenant();
    let api = app.api(&OWNER);
    let found = api.get(DEFINITIONS).expect(200).json();
    let names: Vec<&Value> =
        found["value"].as_array().unwrap().iter().map(|one| &one["properties"]["roleName"]).collect();
    assert_eq!(names, ["Contributor", "Owner", "Reader"]);
    let path = format!("{DEFINITIONS}/{READER_ROLE}");
    let reader = api.get(&path).expect(200).json();
    assert_eq!(reader["properties"]["type"], "BuiltInRole");
    assert_eq!(reader["name"], READER_ROLE);
    api.put(&path, &custom("Reader", &["*"])).expect(409);
    api.delete(&path).expect(409);
    assert_eq!(api.get(&path).expect(200).json(), reader);
}

#[test]
fn a_custom_role_is_made_changed_used_and_deleted() {
    let app = TestApp::of_one_tenant();
    let api = app.api(&OWNER);
    api.get(CUSTOM).expect(404);
    let made = api.put(CUSTOM, &custom("fetcher", &["*/token/action"])).expect(201);
    assert_eq!(made.json()["properties"]["type"], "CustomRole");
    let record = app.record_of(&made);
    assert_eq!(record.detail.as_deref(), Some("put `fetcher`"));
    api.put(&assignment(1), &assigned(CUSTOM, &STRANGER)).expect(201);
    app.token_as(&STRANGER, "scorer").expect(200);
    // In use it stays.
    api.delete(CUSTOM).expect(409);
    api.delete(&assignment(1)).expect(200);
    app.token_as(&STRANGER, "scorer").expect(400);
    api.delete(CUSTOM).expect(200);
    api.delete(CUSTOM).expect(204);
    api.get(CUSTOM).expect(404);
}

#[test]
fn a_not_action_takes_away_within_its_own_role() {
    let app = TestApp::of_one_tenant();
    let api = app.api(&OWNER);
    let body = json!({ "properties": { "roleName": "all but tokens",
        "permissions": [{ "actions": ["*"], "notActions": ["*/TOKEN/action"] }] } });
    api.put(CUSTOM, &body).expect(201);
    api.put(&assignment(1), &assigned(CUSTOM, &STRANGER)).expect(201);
    app.api(&STRANGER).get(WORKSPACE).expect(200);
    app.token_as(&STRANGER, "scorer").expect(400);
    // Another role still grants it.
    api.put(&assignment(2), &assigned(READER_ROLE, &STRANGER)).expect(201);
    app.token_as(&STRANGER, "scorer").expect(200);
}

#[test]
fn definitions_are_the_operators_where_several_tenants_share_them() {
    let app = TestApp::start();
    for who in [&OWNER, &FOREIGN_OWNER] {
        let api = app.api(who);
        api.get(DEFINITIONS).expect(200);
        let refused = api.put(CUSTOM, &custom("mine", &["*"])).expect(409).json();
        assert!(refused["error"]["message"].as_str().unwrap().contains("wsts apply"));
        api.delete(CUSTOM).expect(409);
    }
}

#[test]
fn only_the_root_lets_one_change_a_definition() {
    let app = TestApp::of_one_tenant();
    let api = app.api(&OWNER);
    api.put(&assignment(1), &assigned(OWNER_ROLE, &STRANGER)).expect(201);
    let stranger = app.api(&STRANGER);
    let here = format!("{WORKSPACE}{CUSTOM}");
    stranger.get(&format!("{WORKSPACE}{DEFINITIONS}")).expect(200);
    // Owner of a workspace, and still nobody at the root.
    stranger.put(&here, &custom("mine", &["*"])).expect(404);
    stranger.delete(&format!("{WORKSPACE}{DEFINITIONS}/{READER_ROLE}")).expect(404);
    api.get(CUSTOM).expect(404);
}

#[test]
fn an_assignment_is_made_read_repeated_and_never_changed() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let path = assignment(1);
    let made = api.put(&path, &assigned(READER_ROLE, &STRANGER)).expect(201);
    let record = app.record_of(&made);
    assert_eq!((record.event.as_str(), record.resource.as_deref()), ("change", Some(WORKSPACE)));
    let expected = json!({
        "id": path, "name": "eeeeeeee-0000-0000-0000-000000000001", "type": "Microsoft.Authorization/roleAssignments",
        "properties": { "roleDefinitionId": format!("{DEFINITIONS}/{READER_ROLE}"), "principalId": STRANGER.object_id,
                        "principalType": "ServicePrincipal", "scope": WORKSPACE },
    });
    assert_eq!(made.json(), expected);
    app.token_as(&STRANGER, "scorer").expect(200);
    assert_eq!(api.get(&path).expect(200).json(), expected);
    // Clients retry.
    let again = api.put(&path, &assigned(&format!("{DEFINITIONS}/{READER_ROLE}"), &STRANGER)).expect(200);
    assert_eq!(again.json(), expected);
    api.put(&path, &assigned(OWNER_ROLE, &STRANGER)).expect(409);
    api.put(&path, &assigned(READER_ROLE, &CONTRIBUTOR)).expect(409);
    // Under another scope it is not found.
    let elsewhere = path.replace(WORKSPACE, SUBSCRIPTION);
    api.get(&elsewhere).expect(404);
    api.delete(&elsewhere).expect(204);
    api.get(&path).expect(200);
}

#[test]
fn the_scope_of_an_assignment_may_be_anything_from_the_root_to_a_webservice() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let scopes = [
        webservice("scorer"),
        WORKSPACE.to_owned(),
        format!("{SUBSCRIPTION}/resourceGroups/demo-rg"),
        SUBSCRIPTION.to_owned(),
        String::new(),
    ];
    for scope in scopes {
        let path = format!(
            "{scope}/providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-0000-0000-000000000001"
        );
        app.token_as(&STRANGER, "scorer").expect(400);
        api.put(&path, &assigned(READER_ROLE, &STRANGER)).expect(201);
        app.token_as(&STRANGER, "scorer").expect(200);
        api.get(&path).expect(200);
        api.delete(&path).expect(200);
    }
    app.token_as(&STRANGER, "scorer").expect(400);
}

#[test]
fn an_assignment_of_what_is_not_there_is_refused_and_named() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let nobody = Who { object_id: "0b000000-0000-0000-0000-00000000dead", ..STRANGER };
    let no_role = "dddddddd-0000-0000-0000-00000000dead";
    for (body, word) in [
        (assigned(no_role, &STRANGER), "`properties.roleDefinitionId`: no such role"),
        (assigned("Reader", &STRANGER), "`properties.roleDefinitionId`"),
        (assigned(READER_ROLE, &nobody), "`properties.principalId`: no such principal"),
        (json!({ "properties": {} }), "roleDefinitionId"),
    ] {
        let answer = api.put(&assignment(1), &body).expect(400).json();
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{answer}");
    }
    let crooked = format!("{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/no-uuid");
    api.put(&crooked, &assigned(READER_ROLE, &STRANGER)).expect(400);
    let crooked = format!("{SUBSCRIPTION}/nonsense/x/providers/Microsoft.Authorization/roleAssignments");
    api.get(&crooked).expect(400);
}

#[test]
fn a_definition_outside_the_rules_is_refused_and_named() {
    let app = TestApp::of_one_tenant();
    let api = app.api(&OWNER);
    let two =
        json!({ "properties": { "roleName": "two", "permissions": [{ "actions": [] }, { "actions": [] }] } });
    for (body, word) in [
        (two, "exactly one"),
        (custom("", &["*"]), "properties.roleName"),
        (custom(&"n".repeat(129), &["*"]), "properties.roleName"),
        (custom("odd", &["a b"]), "action pattern"),
        (json!({ "properties": { "roleName": "x" } }), "permissions"),
    ] {
        let answer = api.put(CUSTOM, &body).expect(400).json();
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{answer}");
    }
}

#[test]
fn two_roles_of_one_name_are_refused() {
    let app = TestApp::of_one_tenant();
    let api = app.api(&OWNER);
    api.put(CUSTOM, &custom("fetcher", &["*"])).expect(201);
    let other = CUSTOM.replace("0001", "0002");
    api.put(&other, &custom("Fetcher", &["*"])).expect(409);
    api.put(&other, &custom("reader", &["*"])).expect(409);
}

#[test]
fn names_and_descriptions_follow_one_rule() {
    let app = TestApp::of_one_tenant();
    let api = app.api(&OWNER);
    let path = "/providers/Microsoft.Authorization/roleDefinitions/eeeeeeee-0000-0000-0000-0000000000aa";
    for (name, description) in [("", ""), ("two\nlines", ""), ("\u{1b}[2J", ""), ("x", "\u{1b}[2J")] {
        let body = json!({ "properties": { "roleName": name, "description": description,
                                           "permissions": [{ "actions": ["*/read"] }] } });
        let refused = api.put(path, &body).expect(400).json();
        assert!(refused["error"]["message"].as_str().unwrap().contains("control characters"), "{refused}");
    }
    let endpoint = webservice("scorer");
    for (description, tag) in [("\u{7f}", "a"), (&*"d".repeat(4097), "a"), ("", ""), ("", "\n")] {
        let body = json!({ "tags": { tag: "b" }, "properties": { "description": description } });
        let refused = api.put(&endpoint, &body).expect(400).json();
        assert!(refused["error"]["message"].as_str().unwrap().contains("control characters"), "{refused}");
    }
    let body = json!({ "tags": { "a": "" }, "properties": { "description": "two\nlines" } });
    api.put(&endpoint, &body).expect(200);
}

#[test]
fn no_role_is_assigned_where_nothing_is() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let body =
        json!({ "properties": { "roleDefinitionId": READER_ROLE, "principalId": STRANGER.object_id } });
    let id = "providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-0000-0000-00000000";
    for (number, scope) in [format!("{WORKSPACE}2"), webservice("nothing")].iter().enumerate() {
        let path = format!("{scope}/{id}{number:04}");
        let refused = api.put(&path, &body).expect(404).json();
        assert_eq!(refused["error"]["code"], "ResourceNotFound");
        api.get(&path).expect(404);
    }
    let group = format!("{SUBSCRIPTION}/resourceGroups/yet-empty");
    for (number, scope) in [WORKSPACE.to_owned(), webservice("scorer"), group].iter().enumerate() {
        api.put(&format!("{scope}/{id}{:04}", 10 + number), &body).expect(201);
    }
}
