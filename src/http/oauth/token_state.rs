//! `POST /oauth2/revoke` (RFC 7009), `POST /oauth2/introspect` (RFC 7662) and the feed of revoked tokens.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Payload;
use serde_json::{Value, json};

use super::form::{TokenForm, parameter};
use super::token::{client_endpoint, credentials_of};
use crate::domain::claims::ReadClaims;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply::{self, NO_STORE};
use crate::http::{body, document};

/// Seconds for which a copy of the feed serves: what is revoked is refused by who reads it within so many and one.
const FEED_MAX_AGE: i64 = 5;

pub async fn revoke(call: Call, payload: Payload) -> HttpResponse {
    let result = try_revoke(&call, payload).await;
    call.reply(result)
}

async fn try_revoke(call: &Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let body = form_body(call, payload).await?;
    let mut form = TokenForm::parse(&body)?;
    let token = form.token.take().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| parameter("token", "missing"))?;
    let (proof, endpoint) = (form.client(call.authorization())?, client_endpoint(call));
    let credentials = credentials_of(&proof, None, &endpoint);
    call.core.revoke_token(&credentials, &token, &call.context).await?;
    // RFC 7009, section 2.2: 200 whether there was something to revoke or not; its body says nothing.
    let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(()));
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

pub async fn introspect(call: Call, payload: Payload) -> HttpResponse {
    let result = try_introspect(&call, payload).await;
    call.reply(result)
}

async fn try_introspect(call: &Call, payload: Payload) -> Result<HttpResponse, Problem> {
    let body = form_body(call, payload).await?;
    let mut form = TokenForm::parse(&body)?;
    let token = form.token.take().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| parameter("token", "missing"))?;
    let (proof, endpoint) = (form.client(call.authorization())?, client_endpoint(call));
    let credentials = credentials_of(&proof, None, &endpoint);
    let active = call.core.introspect_token(&credentials, &token, &call.context).await?;
    Ok(reply::ok(&active.map_or_else(|| json!({ "active": false }), |claims| described(&claims))))
}

/// RFC 7662, section 2.2, and the members of ours that tokens have.
fn described(claims: &ReadClaims) -> Value {
    json!({
        "active": true,
        "token_type": "Bearer",
        "iss": claims.iss,
        "sub": claims.sub,
        "aud": claims.aud,
        "client_id": claims.client_id,
        "scope": claims.scope,
        "iat": claims.iat,
        "nbf": claims.nbf,
        "exp": claims.exp,
        "jti": claims.jti,
        "oid": claims.oid,
        "tid": claims.tid,
        "workspace": claims.workspace,
        "webservice": claims.webservice,
        "region": claims.region,
        "refresh_by": claims.refresh_by,
    })
}

async fn form_body(call: &Call, payload: Payload) -> Result<actix_web::web::Bytes, Problem> {
    body::demand_media_type(&call.request, "application/x-www-form-urlencoded")?;
    body::read(&call.request, payload).await
}

/// `GET /revocations`: every revoked token that has not expired.
pub async fn feed(call: Call) -> HttpResponse {
    document::answer(&call.request, &call.core.revocation_feed(), FEED_MAX_AGE)
}
