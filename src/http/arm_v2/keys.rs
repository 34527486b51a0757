//! `…/listKeys` and `…/regenerateKeys` of an online endpoint, and what became of a regeneration.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::{HttpResponse, web::Payload};
use serde_json::json;

use crate::domain::ids::AuditRecordId;
use crate::domain::resource::Scope;
use crate::http::call::Call;
use crate::http::modelmanagement_v1::keys::RegenerateBody;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::Refusal;

const ASYNC_OPERATION: HeaderName = HeaderName::from_static("azure-asyncoperation");

pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let [primary, secondary] = call.core.list_access_keys(&caller, &id, &call.context).await?;
        Ok::<_, Problem>(reply::ok(&json!({ "primaryKey": *primary, "secondaryKey": *secondary })))
    };
    call.reply(result.await)
}

/// 202 with both ways to ask for the end, as ARM clients differ in which they take. The end is there already.
pub async fn regenerate(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let asked: RegenerateBody = body::json(&call.request, payload).await?;
        let wanted = (asked.name()?, asked.key_value.as_deref());
        let operation = call.core.regenerate_access_key(&caller, &id, wanted, &call.context).await?;
        let mut answer = reply::json(StatusCode::ACCEPTED, reply::JSON, &json!({}));
        let version = call.query("api-version").unwrap_or_default();
        let version: String = form_urlencoded::byte_serialize(version.as_bytes()).collect();
        for (header, what) in [(ASYNC_OPERATION, "operations"), (LOCATION, "operationResults")] {
            let issuer = &call.core.settings.policy.issuer;
            let link = format!("{issuer}{id}/{what}/{operation}?api-version={version}");
            if let Ok(value) = HeaderValue::from_str(&link) {
                answer.headers_mut().insert(header, value);
            }
        }
        // Clients wait this long before they ask again; they take 0 for "no answer" and then wait for 30 s.
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        Ok::<_, Problem>(answer)
    };
    call.reply(result.await)
}

/// What `Azure-AsyncOperation` points to.
pub async fn operation(call: Call) -> HttpResponse {
    let result = find(&call).await.map(|id| {
        reply::ok(&json!({ "id": call.request.path(), "name": id.to_string(), "status": "Succeeded" }))
    });
    call.reply(result)
}

/// What `Location` points to.
pub async fn operation_result(call: Call) -> HttpResponse {
    let result = find(&call).await.map(|_| reply::ok(&json!({})));
    call.reply(result)
}

async fn find(call: &Call) -> Result<AuditRecordId, Problem> {
    call.demand_api_version()?;
    let endpoint = call.webservice()?;
    call.authorize(&Scope::from(&endpoint)).await?;
    let id = AuditRecordId::parse(call.segment("id")).map_err(|_| Refusal::NotFound)?;
    call.core.operation(&Scope::from(&endpoint), id).await?.ok_or(Refusal::NotFound)?;
    Ok(id)
}
