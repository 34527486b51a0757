//! `POST /{tenant}/oauth2/v2.0/token` and `/oauth2/token` (RFC 6749, section 4.4; RFC 8693).

use actix_web::{HttpResponse, web::Payload};
use serde::Serialize;

use super::exchange::{self, Exchange};
use super::form::{ClientProof, TokenForm, parameter};
use crate::domain::ids::TenantId;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::authenticate::Credentials;
use crate::services::client_assertion::{ClientAssertion, SentAs};
use crate::services::issue_token::{IssuedToken, TokenRequest};

/// RFC 6749, section 5.1; `refresh_in` as MSAL knows it, `refresh_by` in Unix seconds.
#[derive(Serialize)]
struct TokenAnswer<'a> {
    access_token: &'a str,
    /// Of a token exchange (RFC 8693, section 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
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
    let form = TokenForm::parse(&body)?;
    match form.grant_type.as_deref() {
        Some("client_credentials") => by_client_credentials(call, form).await,
        Some(exchange::GRANT_TYPE) => by_exchange(call, form).await,
        None | Some("") => Err(parameter("grant_type", "missing")),
        Some(_) => Err(Problem::UnsupportedGrantType),
    }
}

/// RFC 6749, section 4.4.
async fn by_client_credentials(call: &Call, mut form: TokenForm<'_>) -> Result<HttpResponse, Problem> {
    let tenant = tenant(call)?;
    let proof = form.client(call.authorization())?;
    let endpoint = client_endpoint(call);
    let issued = token_for(call, &form, credentials_of(&proof, tenant, &endpoint)).await?;
    Ok(reply::ok(&TokenAnswer::of(&issued, None)))
}

/// The endpoint that was called, for the audience of an assertion. Never by the Host header: an assertion for another
/// service must not fit here.
pub(super) fn client_endpoint(call: &Call) -> String {
    format!("{}{}", call.core.settings.policy.issuer, call.request.path())
}

/// What a client proves itself with, at any endpoint that asks for it.
pub(super) fn credentials_of<'a>(
    proof: &'a ClientProof<'_>,
    tenant: Option<TenantId>,
    endpoint: &'a str,
) -> Credentials<'a> {
    match proof {
        ClientProof::Secret { client_id, secret } => Credentials::ClientSecret { tenant, client_id, secret },
        ClientProof::Assertion { client_id, assertion } => {
            let (client_id, sent_as) = (client_id.as_deref(), SentAs::ClientAssertion);
            Credentials::ClientAssertion(ClientAssertion { tenant, client_id, assertion, sent_as, endpoint })
        }
    }
}

/// RFC 8693.
async fn by_exchange(call: &Call, mut form: TokenForm<'_>) -> Result<HttpResponse, Problem> {
    let tenant = tenant(call)?;
    let exchange = Exchange::of(&mut form, call.authorization())?;
    let credentials = Credentials::ClientAssertion(ClientAssertion {
        tenant,
        client_id: Some(&exchange.client_id),
        assertion: &exchange.subject_token,
        sent_as: exchange.sent_as,
        // A token of another issuer is for whom its federated credential says.
        endpoint: "",
    });
    let issued = token_for(call, &form, credentials).await.map_err(Problem::of_subject_token)?;
    Ok(reply::ok(&TokenAnswer::of(&issued, Some(exchange.issued_token_type))))
}

async fn token_for(
    call: &Call,
    form: &TokenForm<'_>,
    credentials: Credentials<'_>,
) -> Result<IssuedToken, Problem> {
    let settings = &call.core.settings;
    let request = TokenRequest {
        credentials,
        target: form.target(&settings.policy, &settings.management_audiences)?,
        lifetime_seconds: form.lifetime()?,
    };
    Ok(call.core.issue_token(&request, &call.context).await?)
}

impl<'a> TokenAnswer<'a> {
    fn of(issued: &'a IssuedToken, issued_token_type: Option<&'static str>) -> Self {
        let (issued_at, refresh_by) = (issued.issued_at.timestamp(), issued.refresh_by.timestamp());
        Self {
            access_token: &issued.token,
            issued_token_type,
            token_type: "Bearer",
            expires_in: issued.expires_at.timestamp() - issued_at,
            refresh_in: refresh_by - issued_at,
            refresh_by,
        }
    }
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
