//! `POST …/services/{name}/token`: a webservice token for a management token. No body, no Content-Type.

use actix_web::HttpResponse;
use serde::Serialize;

use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::services::authenticate::Credentials;
use crate::services::issue_token::{RequestedTarget, TokenRequest};

/// All four are required by the SDK; times are Unix seconds as numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthToken<'a> {
    access_token: &'a str,
    token_type: &'static str,
    refresh_after: i64,
    expiry_on: i64,
}

pub async fn token(call: Call) -> HttpResponse {
    let result = issue(&call).await;
    call.reply(result)
}

async fn issue(call: &Call) -> Result<HttpResponse, Problem> {
    let request = TokenRequest {
        target: RequestedTarget::Webservice(call.webservice()?),
        credentials: Credentials::ManagementToken(call.bearer()),
        lifetime_seconds: None,
    };
    let issued = call.core.issue_token(&request, &call.context).await?;
    Ok(reply::ok(&AuthToken {
        access_token: &issued.token,
        token_type: "Bearer",
        refresh_after: issued.refresh_by.timestamp(),
        expiry_on: issued.expires_at.timestamp(),
    }))
}
