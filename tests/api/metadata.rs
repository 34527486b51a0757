//! Discovery documents: every link from the configured issuer, never from the Host header.

use serde_json::json;

use crate::helpers::*;

#[test]
fn both_discovery_documents_say_the_same_at_both_forms_of_a_tenants_path() {
    let app = TestApp::start();
    let document = app.get("/.well-known/openid-configuration").expect(200);
    let methods = ["client_secret_post", "client_secret_basic", "private_key_jwt"];
    let expected = json!({
        "issuer": ISSUER,
        "token_endpoint": "https://localhost/oauth2/token",
        "authorization_endpoint": "https://localhost/oauth2/v2.0/authorize",
        "jwks_uri": "https://localhost/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "EdDSA", "RS256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
        "revocation_endpoint": "https://localhost/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint": "https://localhost/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "revocations_uri": "https://localhost/revocations",
        "scopes_supported": ["https://localhost/.default"],
    });
    assert_eq!(document.json(), expected);
    assert_eq!(app.get("/.well-known/oauth-authorization-server").expect(200).json(), expected);

    let of_tenant = app.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).expect(200).json();
    assert_eq!(of_tenant["issuer"], ISSUER);
    assert_eq!(of_tenant["token_endpoint"], format!("{ISSUER}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(of_tenant["jwks_uri"], format!("{ISSUER}/{TENANT}/discovery/v2.0/keys"));
    // RFC 8414, section 3.1: the well-known part stands before the issuer's path.
    let inserted =
        app.get(&format!("/.well-known/oauth-authorization-server/{TENANT}/v2.0")).expect(200).json();
    assert_eq!(inserted, of_tenant);
}

#[test]
fn every_link_leads_somewhere() {
    let app = TestApp::start();
    for path in
        ["/.well-known/openid-configuration", &format!("/{TENANT}/v2.0/.well-known/openid-configuration")]
    {
        let document = app.get(path).json();
        let path = |name: &str| document[name].as_str().unwrap().strip_prefix(ISSUER).unwrap().to_owned();
        app.get(&path("jwks_uri")).expect(200);
        for name in ["token_endpoint", "revocation_endpoint", "introspection_endpoint"] {
            app.form(&path(name), &[], &[]).expect(400);
        }
        app.get(&path("revocations_uri")).expect(200);
    }
}

#[test]
fn a_host_header_changes_no_link() {
    let app = TestApp::start();
    let request = b"GET /.well-known/openid-configuration HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n\r\n";
    let answer = crate::raw::send(&app, request).unwrap().expect(200);
    assert!(!answer.text().contains("evil"));
}

#[test]
fn a_tenant_that_is_not_registered_is_refused() {
    let app = TestApp::start();
    for tenant in ["77777777-7777-7777-7777-777777777777", "common", "contoso.example"] {
        for path in [
            format!("/{tenant}/v2.0/.well-known/openid-configuration"),
            format!("/.well-known/oauth-authorization-server/{tenant}/v2.0"),
            format!("/{tenant}/discovery/v2.0/keys"),
        ] {
            let answer = app.get(&path).expect(400);
            assert_eq!(answer.json()["type"], "urn:wsts:problem:unknown-tenant");
        }
    }
}

#[test]
fn the_cloud_document_names_this_service_everywhere() {
    let app = TestApp::start();
    let clouds = app.get("/metadata/endpoints?api-version=2015-01-01").expect(200).json();
    assert_eq!(clouds[0]["resourceManager"], "https://localhost/");
    assert_eq!(clouds[0]["authentication"]["loginEndpoint"], ISSUER);
    // Its audience is one for which management tokens are given.
    let audience = clouds[0]["authentication"]["audiences"][0].as_str().unwrap();
    app.token_for(&READER, audience, &[]).expect(200);
}

#[test]
fn every_document_may_be_kept_and_is_not_sent_again_to_who_has_it() {
    let app = TestApp::start();
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        &format!("/{TENANT}/v2.0/.well-known/openid-configuration"),
        &format!("/.well-known/oauth-authorization-server/{TENANT}/v2.0"),
        &format!("/{TENANT}/b2c_1_x/v2.0/.well-known/openid-configuration"),
        "/discovery",
        "/metadata/endpoints",
    ] {
        let answer = app.get(path).expect(200);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"), "{path}");
        let etag = answer.header("etag").unwrap();
        let again = app.send("GET", path, &[("if-none-match", etag)], b"").expect(304);
        assert!(again.body.is_empty());
        assert_eq!(again.header("etag"), Some(etag));
        assert_eq!(again.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(app.send("HEAD", path, &[], b"").expect(200).header("etag"), Some(etag));
    }
    let tag = |path: &str| app.get(path).expect(200).header("etag").unwrap().to_owned();
    let of = |tenant: &str| tag(&format!("/{tenant}/v2.0/.well-known/openid-configuration"));
    assert_ne!(of(TENANT), of(OTHER_TENANT), "a tenant's document is its own");
}
