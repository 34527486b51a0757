//! The comparison against snapshots made on paper, and once against SQLite.

// Certificates are made by rcgen, which only the command line brings.
#[cfg(feature = "cli")]
mod credentials;
#[cfg(feature = "cli")]
mod methods;
mod pruning;

use chrono::DateTime;
use serde_json::{Value, json};

use super::*;
use crate::domain::principal::{FederatedCredential, KeyCredential, ServicePrincipal};
use crate::domain::resource::WebserviceId;
use crate::domain::role::{RoleAssignment, RoleDefinition, built_in_roles};
use crate::domain::webservice::Webservice;
use crate::domain::workspace::{Subscription, Tenant, Workspace};
use crate::entropy::SeededEntropy;
use crate::storage::RegistrySnapshot;

const TENANT: &str = "00000000-0000-0000-0000-000000000001";
const OTHER_TENANT: &str = "00000000-0000-0000-0000-000000000002";
const CLIENT: &str = "00000000-0000-0000-0000-0000000000c1";
const ROLE: &str = "00000000-0000-0000-0000-0000000000b1";
const WORKSPACE: &str =
    "/subscriptions/sub-1/resourceGroups/rg-a/providers/Microsoft.MachineLearningServices/workspaces/ws-1";

/// A file with an entry of every kind.
fn whole() -> Value {
    json!({
        "tenants": [{"id": TENANT, "name": "Tenant"}],
        "subscriptions": [{"id": "sub-1", "tenant": TENANT, "name": "Subscription"}],
        "workspaces": [{"id": WORKSPACE, "home_region": "westeurope", "failover_regions": ["northeurope"]}],
        "webservices": [
            {"workspace": WORKSPACE, "name": "churn", "compute_type": "AKS", "auth_mode": "token",
             "compute_region": "eastus", "scoring_uri": "https://gateway.example/score",
             "token_lifetime_seconds": 900, "description": "Churn.", "tags": {"team": "a"}},
            {"workspace": WORKSPACE, "name": "bare", "compute_type": "ACI"},
        ],
        "principals": [{"client_id": CLIENT, "tenant": TENANT, "name": "Caller", "secret_lifetime_days": 30}],
        "role_definitions": [{"id": ROLE, "name": "Scorer", "actions": ["*/token/action"]}],
        "role_assignments": [
            {"principal": CLIENT, "role": "scorer", "scope": WORKSPACE},
            {"principal": CLIENT, "role": "Reader", "scope": "/"},
        ],
    })
}

/// A file with these entries of one kind in place of those of [`whole`].
fn with(kind: &str, entries: Value) -> Value {
    let mut file = whole();
    file[kind] = entries;
    file
}

fn file(value: Value) -> RegistryFile {
    serde_json::from_value(value).expect("a file of the right form")
}

fn compared(
    value: Value,
    stored: &RegistrySnapshot,
    prune: bool,
    seconds: i64,
) -> Result<Difference, Vec<String>> {
    let now = DateTime::from_timestamp(seconds, 0).expect("in range");
    compare(&file(value), stored, prune, now, &SeededEntropy::default())
}

/// What a database would hold after these mutations. As strict as one about parents and about what is in use.
#[derive(Default)]
struct Paper(RegistrySnapshot);

impl Paper {
    fn apply(&mut self, difference: &Difference) {
        for mutation in &difference.mutations {
            self.write(mutation);
        }
        let made = difference.secrets.iter().map(|(_, object_id, _)| *object_id);
        self.0.with_secret.extend(made);
    }

    fn write(&mut self, mutation: &Mutation) {
        let held = &mut self.0;
        match mutation {
            Mutation::PutTenant(put) => replace(&mut held.tenants, put, |one: &Tenant| one.id),
            Mutation::PutSubscription(put) => {
                assert!(held.tenants.iter().any(|tenant| tenant.id == put.tenant_id));
                replace(&mut held.subscriptions, put, |one: &Subscription| one.id.clone());
            }
            Mutation::PutWorkspace(put) => {
                let parent = put.id.subscription();
                assert!(held.subscriptions.iter().any(|found| found.id == parent));
                replace(&mut held.workspaces, put, |one: &Workspace| one.id.key());
            }
            Mutation::PutWebservice(put) => {
                assert!(held.workspaces.iter().any(|found| found.id == *put.id.workspace()));
                replace(&mut held.webservices, put, |one: &Webservice| one.id.key());
            }
            Mutation::PutPrincipal(put) => {
                let other =
                    |one: &ServicePrincipal| one.object_id == put.object_id && one.client_id != put.client_id;
                assert!(!held.principals.iter().any(other));
                replace(&mut held.principals, put, |one: &ServicePrincipal| one.object_id);
            }
            Mutation::PutRole(put) => {
                let other = |one: &RoleDefinition| one.name == put.name && one.id != put.id;
                assert!(!held.roles.iter().any(other));
                replace(&mut held.roles, put, |one: &RoleDefinition| one.id);
            }
            Mutation::PutAssignment(put) => {
                assert!(held.roles.iter().any(|role| role.id == put.role_id));
                assert!(held.principals.iter().any(|found| found.object_id == put.object_id));
                replace(&mut held.assignments, put, |one: &RoleAssignment| one.id);
            }
            Mutation::DeleteAssignment(id) => held.assignments.retain(|found| found.id != *id),
            Mutation::DeleteWebservice(id) => held.webservices.retain(|found| found.id != *id),
            Mutation::DeleteWorkspace(id) => {
                assert!(!held.webservices.iter().any(|found| found.id.workspace() == id));
                held.workspaces.retain(|found| found.id != *id);
            }
            Mutation::DeletePrincipal(id) => held.principals.retain(|found| found.object_id != *id),
            Mutation::DeleteRole(id) => {
                assert!(!held.assignments.iter().any(|found| found.role_id == *id));
                held.roles.retain(|found| found.id != *id);
            }
            Mutation::DeleteSubscription(id) => {
                assert!(!held.workspaces.iter().any(|found| found.id.subscription() == id));
                held.subscriptions.retain(|found| found.id != *id);
            }
            Mutation::DeleteTenant(id) => {
                assert!(!held.subscriptions.iter().any(|found| found.tenant_id == *id));
                assert!(!held.principals.iter().any(|found| found.tenant_id == *id));
                held.tenants.retain(|found| found.id != *id);
            }
            Mutation::AddKeyCredential(key) => held.key_credentials.push(KeyCredential::clone(key)),
            Mutation::RemoveKeyCredential(_, id) => held.key_credentials.retain(|found| found.id != *id),
            Mutation::PutFederatedCredential(put) => {
                replace(&mut held.federated_credentials, put, |one: &FederatedCredential| one.id);
            }
            Mutation::RemoveFederatedCredential(_, id) => {
                held.federated_credentials.retain(|found| found.id != *id);
            }
            other => panic!("a file never does {other:?}"),
        }
    }
}

fn replace<T: Clone, K: PartialEq>(list: &mut Vec<T>, put: &T, key: impl Fn(&T) -> K) {
    list.retain(|found| key(found) != key(put));
    list.push(put.clone());
}

/// What is stored after [`whole`] was applied to nothing.
fn applied() -> RegistrySnapshot {
    let mut paper = Paper::default();
    let first = compared(whole(), &paper.0, false, 1).expect("lawful");
    paper.apply(&first);
    paper.0
}

fn texts(difference: &Difference) -> Vec<String> {
    difference.lines.iter().map(|line| format!("{} {}", line.sign, line.text)).collect()
}

/// The mistakes of a file compared with nothing.
fn mistakes(value: Value) -> Vec<String> {
    match compared(value, &RegistrySnapshot::default(), false, 1) {
        Err(mistakes) => mistakes,
        Ok(difference) => panic!("no mistake found: {:?}", texts(&difference)),
    }
}

#[test]
fn a_file_compared_with_nothing_puts_everything() {
    let difference = compared(whole(), &RegistrySnapshot::default(), false, 1).expect("lawful");
    let warning = format!(
        "! webservice {WORKSPACE}/onlineEndpoints/churn: the cluster runs in `eastus`, but tokens for this workspace \
         are issued in `westeurope`: every token fetch pays that distance and depends on that region"
    );
    let expected = [
        format!("+ tenant {TENANT} `Tenant`"),
        "+ subscription sub-1".to_owned(),
        format!("+ workspace {WORKSPACE} in westeurope"),
        format!("+ webservice {WORKSPACE}/onlineEndpoints/churn (AKS, auth mode token)"),
        warning,
        format!("+ webservice {WORKSPACE}/onlineEndpoints/bare (ACI, auth mode none)"),
        "+ built-in role Owner".to_owned(),
        "+ built-in role Contributor".to_owned(),
        "+ built-in role Reader".to_owned(),
        "+ role `Scorer`".to_owned(),
        format!("+ principal {CLIENT} `Caller`"),
        format!("+ client secret of principal {CLIENT} for 30 days"),
        format!("+ role assignment `scorer` of principal {CLIENT} at {WORKSPACE}"),
        format!("+ role assignment `Reader` of principal {CLIENT} at /"),
    ];
    assert_eq!(texts(&difference), expected);
    assert_eq!(difference.secrets.len(), 1);
}

#[test]
fn a_file_that_was_applied_changes_nothing_more() {
    for prune in [false, true] {
        let again = compared(whole(), &applied(), prune, 2).expect("lawful");
        assert_eq!(texts(&again), Vec::<String>::new());
        assert!(again.mutations.is_empty() && again.secrets.is_empty());
    }
}

#[test]
fn spellings_are_not_differences() {
    let upper = WORKSPACE.to_ascii_uppercase();
    let mut respelled = whole();
    respelled["subscriptions"][0]["id"] = json!("SUB-1");
    respelled["workspaces"][0]["id"] = json!(upper);
    respelled["webservices"][0]["workspace"] = json!(upper);
    respelled["webservices"][1]["name"] = json!("BARE");
    respelled["role_assignments"][0]["scope"] = json!(upper);
    let again = compared(respelled, &applied(), true, 2).expect("lawful");
    assert_eq!(texts(&again), Vec::<String>::new());
}

#[test]
fn what_differs_is_changed_in_place() {
    let mut changed = whole();
    changed["tenants"][0]["name"] = json!("Renamed");
    changed["workspaces"][0]["home_region"] = json!("eastus");
    changed["webservices"][0]["auth_mode"] = json!("key");
    changed["principals"][0]["enabled"] = json!(false);
    let stored = applied();
    let difference = compared(changed, &stored, false, 2).expect("lawful");
    let bare = format!("~ webservice {WORKSPACE}/onlineEndpoints/bare (ACI, auth mode none)");
    let expected = [
        format!("~ tenant {TENANT} `Renamed`"),
        format!("~ workspace {WORKSPACE} in eastus"),
        format!("~ webservice {WORKSPACE}/onlineEndpoints/churn (AKS, auth mode key)"),
        // It names no region of its own and follows its workspace.
        bare,
        format!("~ principal {CLIENT} `Caller` (disabled)"),
    ];
    assert_eq!(texts(&difference), expected);
    let workspace = difference.mutations.iter().find_map(|mutation| match mutation {
        Mutation::PutWorkspace(put) => Some((put.created_at.timestamp(), put.updated_at.timestamp())),
        _ => None,
    });
    assert_eq!(workspace, Some((1, 2)), "creation stays");
    let object_id = difference.mutations.iter().find_map(|mutation| match mutation {
        Mutation::PutPrincipal(put) => Some(put.object_id),
        _ => None,
    });
    assert_eq!(object_id, Some(stored.principals[0].object_id), "no new id is drawn");
}

#[test]
fn dangling_references_are_named() {
    let none = json!([]);
    let entry = &whole()["webservices"][0];
    let expectations = [
        (with("tenants", none.clone()), "subscription sub-1: no tenant"),
        (with("tenants", none.clone()), "`Caller`: no tenant"),
        (with("subscriptions", none.clone()), "/workspaces/ws-1: no subscription sub-1"),
        (with("workspaces", none.clone()), "webservice churn: no workspace /subscriptions/sub-1"),
        (with("principals", none.clone()), "at /: no such principal"),
        (with("role_definitions", none), "role assignment `scorer`"),
        (
            with(
                "role_assignments",
                json!([{"principal": CLIENT, "role": "Reader", "scope": "/subscriptions/sub-2"}]),
            ),
            "the scope's subscription does not exist in the principal's tenant",
        ),
        (
            with(
                "role_assignments",
                json!([{"principal": CLIENT, "role": "Reader", "scope": format!("{WORKSPACE}2")}]),
            ),
            "/workspaces/ws-12: no such workspace or webservice",
        ),
        (
            with(
                "role_assignments",
                json!([{"principal": CLIENT, "role": "Reader", "scope": format!("{WORKSPACE}/onlineEndpoints/gone")}]),
            ),
            "/onlineEndpoints/gone: no such workspace or webservice",
        ),
    ];
    for (value, named) in expectations {
        let found = mistakes(value);
        assert!(found.iter().any(|mistake| mistake.contains(named)), "`{named}` is not in {found:#?}");
    }
    // What is stored is there too, unless this very application removes it. A resource group is no row.
    let mut assigned = json!({ "role_assignments": [
        {"principal": CLIENT, "role": "Reader", "scope": format!("{WORKSPACE}/services/bare")},
        {"principal": CLIENT, "role": "Reader", "scope": "/subscriptions/sub-1/resourceGroups/any"},
    ] });
    let difference = compared(assigned.clone(), &applied(), false, 2).expect("lawful");
    assert_eq!(difference.mutations.len(), 2);
    for kind in ["tenants", "subscriptions", "workspaces", "principals"] {
        assigned[kind] = whole()[kind].clone();
    }
    let found = compared(assigned, &applied(), true, 2).expect_err("its scope is pruned");
    assert!(found.len() == 1 && found[0].ends_with("/bare: no such workspace or webservice"), "{found:?}");
    // All mistakes at once, and none twice.
    let mut several = with(
        "webservices",
        json!([entry, entry, {"workspace": WORKSPACE, "name": "-", "compute_type": "AKS"}]),
    );
    several["role_assignments"][1]["role"] = json!("Nobody");
    assert_eq!(mistakes(several).len(), 3);
}

#[test]
fn doubles_are_named() {
    for kind in ["tenants", "subscriptions", "workspaces", "webservices", "principals", "role_definitions"] {
        let mut doubled = whole();
        let entries = doubled[kind].as_array_mut().expect("a list");
        entries.push(entries[0].clone());
        let found = mistakes(doubled);
        assert!(found.iter().all(|mistake| mistake.ends_with("named twice")), "{kind}: {found:?}");
    }
    let mut one_role_id = whole();
    one_role_id["role_definitions"] = json!([{"id": ROLE, "name": "Scorer", "actions": ["*"]}, {"id": ROLE, "name": "Other", "actions": ["*"]}]);
    assert_eq!(mistakes(one_role_id), [format!("role id {ROLE}: named twice")]);
    let second = "00000000-0000-0000-0000-0000000000c2";
    let shared = json!([
        {"client_id": CLIENT, "tenant": TENANT, "name": "One", "object_id": ROLE},
        {"client_id": second, "tenant": TENANT, "name": "Two", "object_id": ROLE},
    ]);
    assert_eq!(mistakes(with("principals", shared)), [format!("object id {ROLE}: named twice")]);
    // The same assignment twice is one.
    let twice = json!({"principal": CLIENT, "role": "Reader", "scope": "/"});
    let difference =
        compared(with("role_assignments", json!([twice, twice])), &applied(), false, 2).expect("lawful");
    assert!(difference.mutations.is_empty());
}

#[test]
fn rules_that_do_not_hold_are_refused() {
    let aci = json!([{"workspace": WORKSPACE, "name": "churn", "compute_type": "ACI", "auth_mode": "token"}]);
    let built_in = json!([{"id": built_in_roles()[0].id.to_string(), "name": "Mine", "actions": ["*"]}]);
    let eternal =
        json!([{"client_id": CLIENT, "tenant": TENANT, "name": "Caller", "secret_lifetime_days": 731}]);
    let expectations = [
        (with("webservices", aci), "an ACI webservice can't have auth mode `token`"),
        (with("role_definitions", built_in), "built-in roles can't be changed"),
        (with("principals", eternal), "secret_lifetime_days must be 1 to 730"),
    ];
    for (value, named) in expectations {
        let found = mistakes(value);
        assert!(found.iter().any(|mistake| mistake.contains(named)), "`{named}` is not in {found:?}");
    }
    // What can't be changed once it is stored.
    let mut moved = whole();
    let tenants = moved["tenants"].as_array_mut().expect("a list");
    tenants.push(json!({"id": OTHER_TENANT, "name": "Other"}));
    moved["subscriptions"][0]["tenant"] = json!(OTHER_TENANT);
    moved["principals"][0]["object_id"] = json!(ROLE);
    moved["role_assignments"] = json!([]);
    let found = compared(moved, &applied(), false, 2).expect_err("not lawful");
    let object_id = format!("principal {CLIENT} `Caller`: its object id can't be changed");
    assert_eq!(found, ["subscription sub-1: its tenant can't be changed".to_owned(), object_id]);
}

#[test]
fn names_and_descriptions_follow_one_rule() {
    for (kind, key, value) in [
        ("tenants", "name", json!("")),
        ("subscriptions", "name", json!("two\nlines")),
        ("principals", "name", json!("\u{1b}[2J")),
        ("role_definitions", "name", json!("n".repeat(129))),
        ("role_definitions", "description", json!("d".repeat(4097))),
        ("webservices", "description", json!("\u{7f}")),
        ("webservices", "tags", json!({ "": "of no name" })),
        ("webservices", "tags", json!({ "a": "\u{0}" })),
    ] {
        let mut unlawful = whole();
        unlawful[kind][0][key] = value;
        unlawful["role_assignments"] = json!([]);
        let found = mistakes(unlawful);
        assert!(found.len() == 1 && found[0].contains("without control characters"), "{kind}: {found:?}");
    }
    let mut lawful = whole();
    lawful["webservices"][0]["description"] = json!("two\nlines");
    assert!(compared(lawful, &RegistrySnapshot::default(), false, 1).is_ok());
}

#[test]
fn unknown_keys_and_wrong_forms_are_refused() {
    let mut unknown = whole();
    unknown["webservices"][0]["auth_enabled"] = json!(true);
    for value in [unknown, json!({"webservice": []}), with("tenants", json!([{"id": "1", "name": ""}]))] {
        assert!(serde_json::from_value::<RegistryFile>(value).is_err());
    }
}
