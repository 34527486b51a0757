//! `POST /{tenant}/oauth2/v2.0/token` and `/oauth2/token` (RFC 6749, section 4.4).

use actix_web::{HttpResponse, web::Payload};
use serde::Serialize;

use super::form::{ClientProof, TokenForm};
use crate::domain::ids::TenantId;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::authenticate::Credentials;
use crate::services::client_assertion::ClientAssertion;
use crate::services::issue_token::TokenRequest;

/// RFC 6749, section 5.1; `refresh_in` as MSAL knows it, `refresh_by` in Unix seconds.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    refresh_in: i64,
    refresh_by: i64,
}

pub async fn token(call: Call, payload: Payload) -> HttpResponse {
    let result = issue(&call, payload).await;
    call.reply(result)
}

async fn issue(call: &Call, payload: Payload) -> Result<HttpResponse, Problem> {
    body::demand_media_type(&call.request, "application/x-www-form-urlencoded")?;
    let body = body::read(&call.request, payload).await?;
    let mut form = TokenForm::parse(&body)?;
    match form.grant_type.as_deref() {
        Some("client_credentials") => {}
        None | Some("") => {
            return Err(Problem::Parameter { name: "grant_type", what: "missing".to_owned() });
        }
        Some(_) => return Err(Problem::UnsupportedGrantType),
    }
    let tenant = tenant(call)?;
    let proof = form.client(call.authorization())?;
    let settings = &call.core.settings;
    let endpoint;
    let request = TokenRequest {
        credentials: match &proof {
            ClientProof::Secret { client_id, secret } => {
                Credentials::ClientSecret { tenant, client_id, secret }
            }
            ClientProof::Assertion { client_id, assertion } => {
                let client_id = client_id.as_deref();
                // Never by the Host header: an assertion for another service must not fit here.
                endpoint = format!("{}{}", settings.policy.issuer, call.request.path());
                Credentials::ClientAssertion(ClientAssertion {
                    tenant,
                    client_id,
                    assertion,
                    endpoint: &endpoint,
                })
            }
        },
        target: form.target(&settings.policy, &settings.management_audiences)?,
        lifetime_seconds: form.lifetime()?,
    };
    let issued = call.core.issue_token(&request, &call.context).await?;
    let issued_at = issued.issued_at.timestamp();
    let refresh_by = issued.refresh_by.timestamp();
    Ok(reply::ok(&TokenAnswer {
        access_token: &issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_at.timestamp() - issued_at,
        refresh_in: refresh_by - issued_at,
        refresh_by,
    }))
}

/// The tenant in the path, which must be registered; `None` on the path without one.
pub fn tenant(call: &Call) -> Result<Option<TenantId>, Problem> {
    match call.segment("tenant") {
        "" => Ok(None),
        text => match TenantId::parse(text) {
            Ok(tenant) if call.core.directory.hierarchy().tenants.contains(&tenant) => Ok(Some(tenant)),
            _ => Err(Problem::UnknownTenant),
        },
    }
}
