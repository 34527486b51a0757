//! Every route that demands an action, asked by everybody who does not hold it: nobody gets further than a refusal.
//!
//! Who does hold it is in the tests of each topic.

use serde_json::json;

use crate::helpers::*;

/// The least role that may take the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Least {
    Reader,
    Contributor,
    Owner,
}

use Least::{Contributor, Owner, Reader};

/// As `http/routes.rs` has them: model management v1, ARM, roles (under two prefixes), principals.
fn rows() -> Vec<(&'static str, String, Least)> {
    let v1 = |rest: &str| format!("/modelmanagement/v1.0{WORKSPACE}{rest}");
    let arm = |rest: &str| format!("{WORKSPACE}{rest}?{V}");
    let roles = |rest: &str| format!("/providers/Microsoft.Authorization{rest}?{V}");
    let roles_at = |rest: &str| format!("{WORKSPACE}/providers/Microsoft.Authorization{rest}?{V}");
    let graph = |rest: &str| format!("/v1.0/servicePrincipals{rest}");
    let (id, owner) = ("5d0c0000-0000-0000-0000-000000000001", OWNER.object_id);
    let group = WORKSPACE.split("/providers").next().unwrap();
    let ml = "providers/Microsoft.MachineLearningServices/workspaces";
    let of_roles = |at: &dyn Fn(&str) -> String| {
        vec![
            ("GET", at("/roleAssignments"), Reader),
            ("GET", at(&format!("/roleAssignments/{id}")), Reader),
            ("PUT", at(&format!("/roleAssignments/{id}")), Owner),
            ("DELETE", at(&format!("/roleAssignments/{id}")), Owner),
            ("GET", at("/roleDefinitions"), Reader),
            ("GET", at(&format!("/roleDefinitions/{id}")), Reader),
            ("PUT", at(&format!("/roleDefinitions/{id}")), Owner),
            ("DELETE", at(&format!("/roleDefinitions/{id}")), Owner),
        ]
    };
    let mut rows = vec![
        ("POST", v1("/services/keyed/listKeys"), Contributor),
        ("POST", v1("/services/keyed/regenerateKeys"), Contributor),
        ("GET", v1("/services"), Reader),
        ("GET", v1("/services/scorer"), Reader),
        ("PATCH", v1("/services/scorer"), Contributor),
        ("DELETE", v1("/services/scorer"), Contributor),
        ("GET", v1(&format!("/operations/{id}")), Reader),
        ("GET", arm("/onlineEndpoints"), Reader),
        ("GET", arm("/onlineEndpoints/scorer"), Reader),
        ("PUT", arm("/onlineEndpoints/scorer"), Contributor),
        ("DELETE", arm("/onlineEndpoints/scorer"), Contributor),
        ("POST", arm("/onlineEndpoints/keyed/listKeys"), Contributor),
        ("POST", arm("/onlineEndpoints/keyed/regenerateKeys"), Contributor),
        ("GET", arm(&format!("/onlineEndpoints/keyed/operations/{id}")), Reader),
        ("GET", arm(&format!("/onlineEndpoints/keyed/operationResults/{id}")), Reader),
        ("GET", arm("/onlineEndpoints/scorer/deployments"), Reader),
        ("GET", arm(""), Reader),
        ("PUT", arm(""), Contributor),
        ("DELETE", arm(""), Contributor),
        ("GET", format!("{group}/{ml}?{V}"), Reader),
        ("GET", format!("{SUBSCRIPTION}/{ml}?{V}"), Reader),
        ("GET", graph(""), Reader),
        ("POST", graph(""), Owner),
        ("GET", graph(&format!("/{owner}")), Reader),
        ("PATCH", graph(&format!("/{owner}")), Owner),
        ("DELETE", graph(&format!("/{owner}")), Owner),
        ("POST", graph(&format!("/{owner}/addPassword")), Owner),
        ("POST", graph(&format!("/{owner}/removePassword")), Owner),
        ("GET", graph(&format!("/{owner}/keyCredentials")), Reader),
        ("POST", graph(&format!("/{owner}/keyCredentials")), Owner),
        ("DELETE", graph(&format!("/{owner}/keyCredentials/{id}")), Owner),
        ("GET", graph(&format!("/{owner}/federatedIdentityCredentials")), Reader),
        ("POST", graph(&format!("/{owner}/federatedIdentityCredentials")), Owner),
        ("DELETE", graph(&format!("/{owner}/federatedIdentityCredentials/{id}")), Owner),
    ];
    rows.extend(of_roles(&roles));
    rows.extend(of_roles(&roles_at));
    rows
}

#[test]
fn every_demand_has_its_row() {
    let routes = include_str!("../../src/http/routes.rs");
    let demands = routes.matches(".on(").count();
    // Those of roles stand under two prefixes.
    assert_eq!(rows().len() - 8, demands, "a route was added or removed: give it its row");
}

#[test]
fn who_lacks_the_role_gets_no_further_than_a_refusal() {
    let app = TestApp::start();
    let tokens: Vec<_> = [
        ("nobody", None, None),
        ("a stranger", Some(&STRANGER), None),
        ("an owner elsewhere", Some(&FOREIGN_OWNER), None),
        ("a reader", Some(&READER), Some(Reader)),
        ("a contributor", Some(&CONTRIBUTOR), Some(Contributor)),
    ]
    .map(|(name, who, holds)| (name, who.map(|who| app.management_token(who)), holds))
    .into();
    // Proven, and disabled since.
    let spent = app.management_token(&GROUP_READER);
    let disable = format!("/v1.0/servicePrincipals/{}", GROUP_READER.object_id);
    app.api(&OWNER).patch(&disable, &json!({ "accountEnabled": false })).expect(204);
    let mut asked = 0;
    let before = app.api(&OWNER).get("/v1.0/servicePrincipals").expect(200).json();
    for (method, path, least) in rows() {
        for (name, token, holds) in &tokens {
            // At their own root they may; and role definitions, which belong to no tenant, are asked for there.
            let at_root = !path.contains("/subscriptions/") || path.contains("/roleDefinitions");
            let is_theirs = *name == "an owner elsewhere" && at_root;
            if holds.is_some_and(|holds| holds >= least) || is_theirs {
                continue;
            }
            let bearer = token.as_ref().map(|token| format!("Bearer {token}"));
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
            let status = app.send(method, &path, &headers, b"{}").status;
            let expected: &[u16] = if token.is_none() { &[401] } else { &[403, 404] };
            assert!(expected.contains(&status), "{name}: {method} {path} ({least:?}): {status}");
            asked += 1;
        }
        let bearer = format!("Bearer {spent}");
        let status = app.send(method, &path, &[("authorization", &bearer)], b"{}").status;
        assert_eq!(status, 401, "a disabled one: {method} {path}");
    }
    println!("figure: 0 of {asked} let through");
    assert_eq!(
        app.api(&OWNER).get("/v1.0/servicePrincipals").expect(200).json(),
        before,
        "nothing was changed"
    );
    for name in ["scorer", "keyed"] {
        app.api(&OWNER).get(&format!("{}?{V}", webservice(name))).expect(200);
    }
}
