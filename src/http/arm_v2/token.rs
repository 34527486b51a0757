//! `POST …/onlineEndpoints/{name}/token`: a webservice token for a management token.

use actix_web::HttpResponse;
use serde::Serialize;

use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::services::authenticate::Credentials;
use crate::services::issue_token::{RequestedTarget, TokenRequest};

/// EndpointAuthToken of the 2022-02-01-preview API; times are Unix seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EndpointAuthToken<'a> {
    access_token: &'a str,
    token_type: &'static str,
    refresh_after_time_utc: i64,
    expiry_time_utc: i64,
}

pub async fn token(call: Call) -> HttpResponse {
    let result = issue(&call).await;
    call.reply(result)
}

async fn issue(call: &Call) -> Result<HttpResponse, Problem> {
    call.demand_api_version()?;
    let request = TokenRequest {
        target: RequestedTarget::Webservice(call.webservice()?),
        credentials: Credentials::ManagementToken(call.bearer()),
        lifetime_seconds: None,
    };
    let issued = call.core.issue_token(&request, &call.context).await?;
    Ok(reply::ok(&EndpointAuthToken {
        access_token: &issued.token,
        token_type: "Bearer",
        refresh_after_time_utc: issued.refresh_by.timestamp(),
        expiry_time_utc: issued.expires_at.timestamp(),
    }))
}
