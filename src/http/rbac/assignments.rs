//! Role assignments: PUT, GET, LIST, DELETE.

use actix_web::{HttpResponse, web::Payload};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scope;
use crate::domain::ids::{ObjectId, RoleAssignmentId, RoleDefinitionId};
use crate::domain::resource::Scope;
use crate::domain::role::RoleAssignment;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::Refusal;
use crate::services::authenticate::Authenticated;
use crate::services::change_registry::Mutation;

#[derive(Deserialize)]
struct Body {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    /// An id, or an ARM id that ends in one.
    role_definition_id: String,
    /// Object id of the principal.
    principal_id: ObjectId,
}

pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let scope = scope(&call)?;
        let caller = call.authorize(&scope).await?;
        let found = call.core.assignments(&caller, &scope).await?;
        let value: Vec<Value> = found.iter().map(view).collect();
        Ok(reply::ok(&json!({ "value": value })))
    };
    call.reply(result.await)
}

pub async fn get(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let scope = scope(&call)?;
        let caller = call.authorize(&scope).await?;
        let found = find(&call, &scope, &caller).await?;
        Ok(reply::ok(&view(&found.ok_or(Refusal::NotFound)?)))
    };
    call.reply(result.await)
}

pub async fn put(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let scope = scope(&call)?;
        let caller = call.authorize(&scope).await?;
        let body: Body = body::json(&call.request, payload).await?;
        if !call.core.exists(&scope).await? {
            return Err(Refusal::NotFound.into());
        }
        let role_id = role_id(&body.properties.role_definition_id)?;
        if !call.core.directory.roles().contains_key(&role_id) {
            return Err(Problem::Parameter {
                name: "properties.roleDefinitionId",
                what: "no such role".to_owned(),
            });
        }
        if call.core.principal(&caller, body.properties.principal_id).await?.is_none() {
            let what = "no such principal in this tenant".to_owned();
            return Err(Problem::Parameter { name: "properties.principalId", what });
        }
        let assignment =
            RoleAssignment { id: id(&call)?, object_id: body.properties.principal_id, role_id, scope };
        match call.core.assignment(assignment.id).await? {
            Some(before) if before == assignment => return Ok(reply::ok(&view(&before))),
            Some(_) => {
                return Err(
                    Refusal::Conflict("a role assignment can't be changed, only deleted".to_owned()).into()
                );
            }
            None => {}
        }
        call.core.change(&caller, &[Mutation::PutAssignment(assignment.clone())], &call.context).await?;
        Ok(reply::created(&view(&assignment)))
    };
    call.reply(result.await)
}

pub async fn delete(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let scope = scope(&call)?;
        let caller = call.authorize(&scope).await?;
        let Some(found) = find(&call, &scope, &caller).await? else {
            return Ok(reply::no_content());
        };
        call.core.change(&caller, &[Mutation::DeleteAssignment(found.id)], &call.context).await?;
        Ok(reply::ok(&view(&found)))
    };
    call.reply(result.await)
}

/// The assignment in the path, if it is at this scope and of the caller's tenant: the root is every tenant's.
async fn find(call: &Call, scope: &Scope, caller: &Authenticated) -> Result<Option<RoleAssignment>, Problem> {
    let found = call.core.assignment(id(call)?).await?;
    match found.filter(|found| found.scope == *scope) {
        Some(found) if call.core.principal(caller, found.object_id).await?.is_some() => Ok(Some(found)),
        _ => Ok(None),
    }
}

fn id(call: &Call) -> Result<RoleAssignmentId, Problem> {
    RoleAssignmentId::parse(call.segment("id"))
        .map_err(|error| Problem::Parameter { name: "roleAssignmentId", what: error.to_string() })
}

fn role_id(text: &str) -> Result<RoleDefinitionId, Problem> {
    RoleDefinitionId::parse(text.rsplit('/').next().unwrap_or_default())
        .map_err(|error| Problem::Parameter { name: "properties.roleDefinitionId", what: error.to_string() })
}

fn view(assignment: &RoleAssignment) -> Value {
    let prefix = assignment.scope.to_string();
    let prefix = prefix.trim_end_matches('/');
    json!({
        "id": format!("{prefix}/providers/Microsoft.Authorization/roleAssignments/{}", assignment.id),
        "name": assignment.id,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{}", assignment.role_id),
            "principalId": assignment.object_id,
            "principalType": "ServicePrincipal",
            "scope": assignment.scope,
        },
    })
}
