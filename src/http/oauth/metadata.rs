//! Discovery: RFC 8414, OpenID Connect Discovery, and the cloud metadata that Azure's SDKs read.
//!
//! All links come from the configured issuer, never from the Host header.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::token::tenant;
use crate::domain::signing_key::SigningAlgorithm;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::services::client_assertion;

pub async fn document(call: Call) -> HttpResponse {
    let result = tenant(&call).map(|tenant| {
        let prefix = tenant.map(|tenant| format!("/{tenant}")).unwrap_or_default();
        reply::ok(&discovery(&call, &prefix))
    });
    call.reply(result)
}

fn discovery(call: &Call, tenant: &str) -> Value {
    let issuer = &call.core.settings.policy.issuer;
    let (token, keys) = if tenant.is_empty() {
        (format!("{issuer}/oauth2/token"), format!("{issuer}/.well-known/jwks.json"))
    } else {
        (format!("{issuer}{tenant}/oauth2/v2.0/token"), format!("{issuer}{tenant}/discovery/v2.0/keys"))
    };
    json!({
        "issuer": issuer,
        "token_endpoint": token,
        // Nobody can sign in here, but MSAL and openidconnect do not parse a document without these.
        "authorization_endpoint": format!("{issuer}{tenant}/oauth2/v2.0/authorize"),
        "jwks_uri": keys,
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": SigningAlgorithm::ALL.map(SigningAlgorithm::as_str),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": client_assertion::ALGORITHMS,
        "scopes_supported": [format!("{issuer}/.default")],
    })
}

/// `GET /discovery`: where the v1 SDK finds the parts of a workspace; all of them are this service.
pub async fn services(call: Call) -> HttpResponse {
    let issuer = &call.core.settings.policy.issuer;
    let names = ["api", "experimentation", "history", "hyperdrive", "modelmanagement", "studio"];
    let document: Value = names.into_iter().map(|name| (name.to_owned(), json!(issuer))).collect();
    let result: Result<HttpResponse, Problem> = Ok(reply::ok(&document));
    call.reply(result)
}

/// `GET /metadata/endpoints`: one cloud, whose ARM, login and audience are this service.
pub async fn cloud(call: Call) -> HttpResponse {
    let issuer = &call.core.settings.policy.issuer;
    // The portal's host is cut at its second dot by the SDKs; any host will do.
    let portal = issuer.clone();
    let cloud = json!([{
        "name": "wsts",
        "portal": portal,
        "resourceManager": format!("{issuer}/"),
        "authentication": { "loginEndpoint": issuer, "audiences": [format!("{issuer}/")], "tenant": "common" },
        "suffixes": { "storage": "storage.invalid" },
    }]);
    let result: Result<HttpResponse, Problem> = Ok(reply::ok(&cloud));
    call.reply(result)
}
