//! Every route of the table: which methods it takes, and the shape of its refusals.

use serde_json::Value;

use crate::helpers::*;

/// Path, methods, dialect.
fn table() -> Vec<(String, &'static str, &'static str)> {
    let id = "eeeeeeee-0000-0000-0000-000000000001";
    let provider = "providers/Microsoft.MachineLearningServices/workspaces";
    let mut rows = vec![
        ("/oauth2/token".to_owned(), "POST", "oauth"),
        (format!("/{TENANT}/oauth2/v2.0/token"), "POST", "oauth"),
        (format!("/{TENANT}/oauth2/token"), "POST", "oauth"),
        (format!("/modelmanagement/v1.0{WORKSPACE}/services/scorer/token"), "POST", "v1"),
        (format!("{}/token", webservice("scorer")), "POST", "v2"),
        (format!("/modelmanagement/v1.0{WORKSPACE}/services/scorer/listkeys"), "POST", "v1"),
        (format!("/modelmanagement/v1.0{WORKSPACE}/services/scorer/regenerateKeys"), "POST", "v1"),
        (format!("/modelmanagement/v1.0{WORKSPACE}/services"), "GET", "v1"),
        (format!("/modelmanagement/v1.0{WORKSPACE}/services/scorer"), "DELETE, GET, PATCH", "v1"),
        (format!("/modelmanagement/v1.0{WORKSPACE}/operations/{id}"), "GET", "v1"),
        (format!("{}/listKeys", webservice("scorer")), "POST", "v2"),
        (format!("{}/regenerateKeys", webservice("scorer")), "POST", "v2"),
        (format!("{}/operations/{id}", webservice("scorer")), "GET", "v2"),
        (format!("{}/operationResults/{id}", webservice("scorer")), "GET", "v2"),
        (format!("{}/deployments", webservice("scorer")), "GET", "v2"),
        ("/subscriptions".to_owned(), "GET", "v2"),
        (format!("{WORKSPACE}/onlineEndpoints"), "GET", "v2"),
        (webservice("scorer"), "DELETE, GET, PUT", "v2"),
        (WORKSPACE.to_owned(), "DELETE, GET, PUT", "v2"),
        (format!("{SUBSCRIPTION}/resourceGroups/demo-rg/{provider}"), "GET", "v2"),
        (format!("{SUBSCRIPTION}/{provider}"), "GET", "v2"),
        ("/v1.0/servicePrincipals".to_owned(), "GET, POST", "problem"),
        (format!("/v1.0/servicePrincipals/{id}"), "DELETE, GET, PATCH", "problem"),
        (format!("/v1.0/servicePrincipals/{id}/addPassword"), "POST", "problem"),
        (format!("/v1.0/servicePrincipals/{id}/removePassword"), "POST", "problem"),
    ];
    for scope in ["", SUBSCRIPTION, WORKSPACE, &webservice("scorer")] {
        let prefix = format!("{scope}/providers/Microsoft.Authorization");
        for kind in ["roleAssignments", "roleDefinitions"] {
            rows.push((format!("{prefix}/{kind}"), "GET", "v2"));
            rows.push((format!("{prefix}/{kind}/{id}"), "DELETE, GET, PUT", "v2"));
        }
    }
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/regions",
        "/regions/local/jwks.json",
        "/metadata/endpoints",
        "/discovery",
    ] {
        rows.push((path.to_owned(), "GET, HEAD", "problem"));
    }
    rows
}

#[track_caller]
fn assert_shape(answer: &Answer, dialect: &str, code: &str, slug: &str) {
    let body = answer.json();
    let content_type = if dialect == "problem" { "application/problem+json" } else { "application/json" };
    assert_eq!(answer.header("content-type"), Some(content_type));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    match dialect {
        "oauth" => {
            let expected =
                ["correlation_id", "error", "error_codes", "error_description", "timestamp", "trace_id"];
            assert_eq!(names, expected);
            assert_eq!(body["error"], "invalid_request");
            assert_eq!(body["correlation_id"], answer.request_id());
        }
        "v1" => {
            assert_eq!(names, ["code", "correlation", "message", "statusCode"]);
            assert_eq!((&body["code"], &body["statusCode"]), (&code.into(), &answer.status.into()));
            assert_eq!(body["correlation"]["RequestId"], answer.request_id());
        }
        "v2" => {
            assert_eq!(names, ["error"]);
            let inner: Vec<&str> = body["error"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(inner, ["code", "message"]);
            assert_eq!(body["error"]["code"], code);
        }
        _ => {
            assert_eq!(names, ["detail", "request_id", "status", "title", "type"]);
            assert_eq!(body["type"], format!("urn:wsts:problem:{slug}"));
            assert_eq!(body["status"], answer.status);
            assert_eq!(body["request_id"], answer.request_id());
        }
    }
}

#[test]
fn a_method_that_a_route_does_not_take_is_405_with_allow_in_its_dialect() {
    let app = TestApp::start();
    for (path, allow, dialect) in table() {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = app.send(method, &path, &[], b"");
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
            if method != "HEAD" {
                assert_shape(&answer, dialect, "MethodNotAllowed", "method-not-allowed");
            }
        }
    }
}

#[test]
fn every_method_in_allow_reaches_its_handler() {
    let app = TestApp::start();
    for (path, allow, _) in table() {
        for method in allow.split(", ") {
            let answer = app.send(method, &path, &[], b"");
            assert!(![404, 405].contains(&answer.status), "{method} {path}: {}", answer.text());
        }
    }
}

#[test]
fn a_path_without_a_route_is_404_in_the_dialect_of_its_beginning() {
    let app = TestApp::start();
    for (path, dialect) in [
        ("/", "problem"),
        ("/nothing", "problem"),
        ("/v1.0/users", "problem"),
        ("/oauth2/authorize", "oauth"),
        ("/x/oauth2/v2.0/authorize", "oauth"),
        ("/modelmanagement/v1.0/subscriptions/x", "v1"),
        ("/modelmanagement", "v1"),
        ("/subscriptions/", "v2"),
        ("/subscriptions/x/resourceGroups/y", "v2"),
        ("/providers/Microsoft.Compute/operations", "v2"),
        ("/.well-known/jwks.json/", "problem"),
        ("/metrics", "problem"),
        ("/readyz", "problem"),
    ] {
        for method in ["GET", "POST"] {
            let answer = app.send(method, path, &[], b"").expect(404);
            assert_shape(&answer, dialect, "ResourceNotFound", "no-route");
        }
    }
}

#[test]
fn arm_routes_ask_for_an_api_version() {
    let app = TestApp::start();
    let token = app.management_token(&OWNER);
    let bearer = format!("Bearer {token}");
    for (path, allow, dialect) in table() {
        if dialect != "v2" {
            continue;
        }
        for method in allow.split(", ") {
            for (query, code) in [
                ("", "MissingApiVersionParameter"),
                ("?", "MissingApiVersionParameter"),
                ("?api-version=", "MissingApiVersionParameter"),
                ("?apiversion=2022-05-01", "MissingApiVersionParameter"),
                ("?api-version=1", "InvalidApiVersionParameter"),
                ("?api-version=2022-13-01", "InvalidApiVersionParameter"),
                ("?api-version=2022-05-01-", "InvalidApiVersionParameter"),
                ("?api-version=2022-05-01%00", "InvalidApiVersionParameter"),
                ("?api-version=2022-05-01&api-version=2022-05-01", "InvalidApiVersionParameter"),
            ] {
                let answer = app.send(method, &format!("{path}{query}"), &[("authorization", &bearer)], b"");
                assert_eq!(answer.status, 400, "{method} {path}{query}: {}", answer.text());
                assert_eq!(answer.json()["error"]["code"], Value::from(code), "{query}");
            }
        }
    }
}
