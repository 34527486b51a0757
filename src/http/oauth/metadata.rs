//! Discovery: RFC 8414, OpenID Connect Discovery, and the cloud metadata that Azure's SDKs read.
//!
//! All links come from the configured issuer, never from the Host header. A document is made when it is first asked for
//! and kept: nothing in it changes while the service runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::exchange;
use super::token::tenant;
use crate::domain::ids::TenantId;
use crate::domain::signing_key::SigningAlgorithm;
use crate::http::call::Call;
use crate::http::document;
use crate::services::client_assertion;
use crate::services::publish_keys::Document;

/// Seconds for which a copy serves. A deployment that moves is known everywhere that much later.
const MAX_AGE: i64 = 300;
/// How clients prove themselves, at every endpoint that asks for it.
const AUTH_METHODS: [&str; 3] = ["client_secret_post", "client_secret_basic", "private_key_jwt"];

/// The documents of one worker. As many as there are tenants, and three.
#[derive(Default)]
pub struct Kept(RefCell<HashMap<Kind, Rc<Document>>>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Of a registered tenant, or of the whole service.
    Discovery(Option<TenantId>),
    Services,
    Cloud,
}

impl Kept {
    fn document(&self, kind: Kind, make: impl FnOnce() -> Value) -> Rc<Document> {
        let mut kept = self.0.borrow_mut();
        Rc::clone(kept.entry(kind).or_insert_with(|| Rc::new(Document::of(&make()))))
    }
}

fn answer(call: &Call, kind: Kind, make: impl FnOnce() -> Value) -> HttpResponse {
    let document = match call.request.app_data::<Kept>() {
        Some(kept) => kept.document(kind, make),
        None => Rc::new(Document::of(&make())),
    };
    document::answer(&call.request, &document, MAX_AGE)
}

pub async fn document(call: Call) -> HttpResponse {
    let result = tenant(&call).map(|tenant| {
        answer(&call, Kind::Discovery(tenant), || {
            let prefix = tenant.map(|tenant| format!("/{tenant}")).unwrap_or_default();
            discovery(&call, &prefix)
        })
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
        // RFC 8414, section 2; the last one is our own.
        "revocation_endpoint": format!("{issuer}/oauth2/revoke"),
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "introspection_endpoint": format!("{issuer}/oauth2/introspect"),
        "introspection_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocations_uri": format!("{issuer}/revocations"),
        "grant_types_supported": ["client_credentials", exchange::GRANT_TYPE],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": SigningAlgorithm::ALL.map(SigningAlgorithm::as_str),
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": client_assertion::ALGORITHMS,
        "scopes_supported": [format!("{issuer}/.default")],
    })
}

/// `GET /discovery`: where the v1 SDK finds the parts of a workspace; all of them are this service.
pub async fn services(call: Call) -> HttpResponse {
    let issuer = &call.core.settings.policy.issuer;
    let names = ["api", "experimentation", "history", "hyperdrive", "modelmanagement", "studio"];
    answer(&call, Kind::Services, || names.into_iter().map(|name| (name.to_owned(), json!(issuer))).collect())
}

/// `GET /metadata/endpoints`: one cloud, whose ARM, login and audience are this service.
pub async fn cloud(call: Call) -> HttpResponse {
    let issuer = &call.core.settings.policy.issuer;
    answer(&call, Kind::Cloud, || {
        json!([{
            "name": "wsts",
            // The portal's host is cut at its second dot by the SDKs; any host will do.
            "portal": issuer,
            "resourceManager": format!("{issuer}/"),
            "authentication": { "loginEndpoint": issuer, "audiences": [format!("{issuer}/")], "tenant": "common" },
            "suffixes": { "storage": "storage.invalid" },
        }])
    })
}
