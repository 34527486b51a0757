//! `…/operations/{id}`: what became of a change. Changes are made before they are answered, so an operation that there
//! is has succeeded; its id is that of the change's audit record.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use serde_json::json;

use super::views;
use crate::domain::ids::AuditRecordId;
use crate::domain::resource::{Scope, WorkspaceId};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::services::Refusal;

const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");

pub async fn get(call: Call) -> HttpResponse {
    let result = async {
        let workspace = Scope::from(&call.workspace()?);
        // Before the database is asked anything.
        call.core.authenticate_call(call.bearer(), &call.context).await?;
        let found = match AuditRecordId::parse(call.segment("id")) {
            Ok(id) => call.core.operation(&workspace, id).await?,
            Err(_) => None,
        };
        // Whoever may see the webservice may see what became of it, without a role on the workspace.
        let resource = found.as_ref().and_then(|found| Scope::parse(found.resource.as_deref()?).ok());
        call.authorize(&resource.unwrap_or(workspace)).await?;
        let found = found.ok_or(Refusal::NotFound)?;
        let at = views::time(found.occurred_at);
        Ok::<_, Problem>(reply::ok(&json!({
            "id": found.id,
            "operationType": "Service",
            "state": "Succeeded",
            "createdTime": at,
            "endTime": at,
            "error": null,
            "resourceLocation": found.resource,
            "operationLog": null,
            "operationDetails": null,
        })))
    };
    call.reply(result.await)
}

/// Where the operation of a change is found, in the header that v1 clients want.
pub fn point_to(call: &Call, answer: &mut HttpResponse, id: AuditRecordId) {
    let Ok(workspace) = call.workspace() else { return };
    if let Ok(value) = HeaderValue::from_str(&location(call, &workspace, id)) {
        answer.headers_mut().insert(OPERATION_LOCATION, value);
    }
}

fn location(call: &Call, workspace: &WorkspaceId, id: AuditRecordId) -> String {
    format!("{}/modelmanagement/v1.0{workspace}/operations/{id}", call.core.settings.policy.issuer)
}
