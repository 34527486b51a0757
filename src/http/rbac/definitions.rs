//! Role definitions: PUT, GET, LIST, DELETE. They hold for the whole deployment; the scope in the path is where the
//! caller must have the right to manage them.

use actix_web::{HttpResponse, web::Payload};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scope;
use crate::domain::ids::RoleDefinitionId;
use crate::domain::resource::Scope;
use crate::domain::role::{ActionPattern, RoleDefinition};
use crate::domain::text;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;

#[derive(Deserialize)]
struct Body {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    role_name: String,
    #[serde(default)]
    description: String,
    permissions: Vec<Permission>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    actions: Vec<ActionPattern>,
    #[serde(default)]
    not_actions: Vec<ActionPattern>,
}

pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        call.authorize(&scope(&call)?).await?;
        let roles = call.core.directory.roles();
        let mut roles: Vec<_> = roles.values().collect();
        roles.sort_by(|a, b| a.name.cmp(&b.name));
        let value: Vec<Value> = roles.into_iter().map(view).collect();
        Ok(reply::ok(&json!({ "value": value })))
    };
    call.reply(result.await)
}

pub async fn get(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        call.authorize(&scope(&call)?).await?;
        let roles = call.core.directory.roles();
        Ok(reply::ok(&view(roles.get(&id(&call)?).ok_or(Refusal::NotFound)?)))
    };
    call.reply(result.await)
}

pub async fn put(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        scope(&call)?;
        // A definition reaches every scope where it is assigned, so changing one takes the right at the root.
        let caller = call.authorize(&Scope::root()).await?;
        let body: Body = body::json(&call.request, payload).await?;
        let [permission] = <[Permission; 1]>::try_from(body.properties.permissions).map_err(|given| {
            let what = format!("exactly one is taken, not {}", given.len());
            Problem::Parameter { name: "properties.permissions", what }
        })?;
        let id = id(&call)?;
        demand_one_tenant(&call)?;
        let before = call.core.directory.roles().get(&id).cloned();
        if before.as_ref().is_some_and(|role| role.built_in) {
            return Err(Refusal::Conflict("built-in roles can't be changed".to_owned()).into());
        }
        text::check_name(&body.properties.role_name)
            .map_err(|rule| Problem::Parameter { name: "properties.roleName", what: rule.to_string() })?;
        text::check_description(&body.properties.description)
            .map_err(|rule| Problem::Parameter { name: "properties.description", what: rule.to_string() })?;
        let role = RoleDefinition {
            id,
            name: body.properties.role_name,
            description: body.properties.description,
            actions: permission.actions,
            not_actions: permission.not_actions,
            built_in: false,
        };
        call.core.change(&caller, &[Mutation::PutRole(role.clone())], &call.context).await?;
        Ok(if before.is_some() { reply::ok(&view(&role)) } else { reply::created(&view(&role)) })
    };
    call.reply(result.await)
}

pub async fn delete(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        scope(&call)?;
        let caller = call.authorize(&Scope::root()).await?;
        let id = id(&call)?;
        demand_one_tenant(&call)?;
        let Some(role) = call.core.directory.roles().get(&id).cloned() else {
            return Ok(reply::no_content());
        };
        if role.built_in {
            return Err(Refusal::Conflict("built-in roles can't be deleted".to_owned()).into());
        }
        call.core.change(&caller, &[Mutation::DeleteRole(id)], &call.context).await?;
        Ok(reply::ok(&view(&role)))
    };
    call.reply(result.await)
}

/// Definitions belong to the deployment, so with several tenants none of them may change what the others use.
fn demand_one_tenant(call: &Call) -> Result<(), Problem> {
    if call.core.directory.hierarchy().tenants.len() <= 1 {
        return Ok(());
    }
    let what = "this deployment has several tenants, which share the role definitions: change them with `wsts apply`";
    Err(Refusal::Conflict(what.to_owned()).into())
}

fn id(call: &Call) -> Result<RoleDefinitionId, Problem> {
    RoleDefinitionId::parse(call.segment("id"))
        .map_err(|error| Problem::Parameter { name: "roleDefinitionId", what: error.to_string() })
}

fn view(role: &RoleDefinition) -> Value {
    json!({
        "id": format!("/providers/Microsoft.Authorization/roleDefinitions/{}", role.id),
        "name": role.id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": if role.built_in { "BuiltInRole" } else { "CustomRole" },
            "description": role.description,
            "permissions": [{ "actions": role.actions, "notActions": role.not_actions }],
            "assignableScopes": ["/"],
        },
    })
}
