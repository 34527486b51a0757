//! Webservices as online endpoints: PUT, GET, LIST, DELETE.

use actix_web::{HttpResponse, web::Payload};
use serde_json::json;

use super::views;
use crate::domain::resource::{Scope, WebserviceId};
use crate::domain::webservice::{AuthMode, ComputeType, Webservice};
use crate::domain::workspace::Workspace;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, paging, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;
use chrono::DateTime;

pub async fn get(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.webservice()?;
        call.authorize(&Scope::from(&id)).await?;
        let found = call.core.webservice(&id).await?;
        Ok(reply::ok(&views::endpoint(&found.ok_or(Refusal::NotFound)?.webservice, &[])))
    };
    call.reply(result.await)
}

pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.workspace()?;
        call.authorize(&Scope::from(&id)).await?;
        let workspace = call.core.workspace(&id).await?;
        workspace.ok_or(Refusal::NotFound)?;
        let after = paging::cursor(&call, &id.key())?;
        let (found, next) = call.core.webservices(&id, &after).await?;
        Ok(paging::page(&call, found.iter().map(|found| views::endpoint(found, &[])).collect(), next))
    };
    call.reply(result.await)
}

pub async fn put(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let body: views::EndpointBody = body::json(&call.request, payload).await?;
        let workspace = call.core.workspace(id.workspace()).await?;
        let workspace = workspace.ok_or(Refusal::NotFound)?;
        let edit = |before: Option<&Webservice>| resulting(&id, &workspace, &body, before);
        let edited = call.core.edit_webservice(&caller, &id, edit, &call.context).await?;
        let warnings: Vec<String> =
            workspace.distance_warning(&edited.after.compute_region).into_iter().collect();
        call.core.metrics.pair(workspace.home_region.as_str(), edited.after.compute_region.as_str());
        let view = views::endpoint(&edited.after, &warnings);
        Ok(if edited.before.is_some() { reply::ok(&view) } else { reply::created(&view) })
    };
    call.reply(result.await)
}

/// What a PUT makes of a webservice. What is absent stays as it is: the SDK reads an endpoint, changes a tag, and puts
/// back only what it knows.
fn resulting(
    id: &WebserviceId,
    workspace: &Workspace,
    body: &views::EndpointBody,
    kept: Option<&Webservice>,
) -> Result<Webservice, Problem> {
    let asked = &body.properties;
    let (compute_type, auth_mode) = kinds(asked, kept)?;
    let scoring_uri = asked.scoring_uri.as_ref().map(|uri| uri.clone().into_text());
    Ok(Webservice {
        // Registered once, the spelling stays.
        id: kept.map_or_else(|| id.clone(), |kept| kept.id.clone()),
        compute_type,
        auth_mode,
        compute_region: body
            .location
            .clone()
            .or_else(|| kept.map(|kept| kept.compute_region.clone()))
            .unwrap_or_else(|| workspace.home_region.clone()),
        scoring_uri: scoring_uri.or_else(|| kept?.scoring_uri.clone()),
        token_lifetime: asked.token_lifetime_seconds.or_else(|| kept?.token_lifetime),
        description: asked.description.clone().or_else(|| kept?.description.clone()),
        tags: body.tags.clone().or_else(|| Some(kept?.tags.clone())).unwrap_or_default(),
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    })
}

/// wsts knows no deployments, but the v2 SDK asks for them with each endpoint.
pub async fn deployments(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.webservice()?;
        call.authorize(&Scope::from(&id)).await?;
        call.core.webservice(&id).await?.ok_or(Refusal::NotFound)?;
        Ok(reply::ok(&json!({ "value": [] })))
    };
    call.reply(result.await)
}

/// Compute type and auth mode, judged together on what would result.
fn kinds(
    properties: &views::EndpointProperties,
    kept: Option<&Webservice>,
) -> Result<(ComputeType, AuthMode), Problem> {
    let parameter = |name, what: String| Problem::Parameter { name, what };
    let compute_type = match properties.compute_type.as_deref() {
        None => kept.map_or(ComputeType::Kubernetes, |kept| kept.compute_type),
        Some(text) => ComputeType::parse(text)
            .ok_or_else(|| parameter("properties.computeType", "none of AKS, ACI, Kubernetes".to_owned()))?,
    };
    let wish = match properties.auth_mode.as_deref() {
        None => kept.map(|kept| kept.auth_mode),
        Some(text) => Some(
            views::parse_auth_mode(text)
                .ok_or_else(|| parameter("properties.authMode", "none of Key, AMLToken, None".to_owned()))?,
        ),
    };
    let auth_mode = AuthMode::resolve(compute_type, wish)
        .map_err(|error| parameter("properties.authMode", error.to_string()))?;
    Ok((compute_type, auth_mode))
}

pub async fn delete(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let found = call.core.webservice(&id).await?;
        if found.is_none() {
            return Ok(reply::no_content());
        }
        call.core.change(&caller, &[Mutation::DeleteWebservice(id)], &call.context).await?;
        Ok(reply::ok(&json!({})))
    };
    call.reply(result.await)
}
