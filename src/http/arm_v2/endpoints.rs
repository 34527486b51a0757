//! Webservices as online endpoints: PUT, GET, LIST, DELETE.

use actix_web::{HttpResponse, web::Payload};
use serde_json::json;

use super::views;
use crate::domain::resource::Scope;
use crate::domain::webservice::{AuthMode, ComputeType, Webservice};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, paging, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;

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
        let before = call.core.webservice(&id).await?;
        // What is absent stays as it is: the SDK reads an endpoint, changes a tag, and puts back only what it knows.
        let (asked, kept) = (body.properties, before.as_ref().map(|found| &found.webservice));
        let (compute_type, auth_mode) = kinds(&asked, kept)?;
        let now = call.core.clock.now();
        let after = Webservice {
            id: before.as_ref().map_or_else(|| id.clone(), |found| found.webservice.id.clone()),
            compute_type,
            auth_mode,
            compute_region: body
                .location
                .or_else(|| kept.map(|kept| kept.compute_region.clone()))
                .unwrap_or_else(|| workspace.home_region.clone()),
            scoring_uri: asked.scoring_uri.or_else(|| kept?.scoring_uri.clone()),
            token_lifetime: asked.token_lifetime_seconds.or_else(|| kept?.token_lifetime),
            description: asked.description,
            tags: body.tags,
            created_at: before.as_ref().map_or(now, |found| found.webservice.created_at),
            updated_at: now,
        };
        let warnings: Vec<String> = workspace.distance_warning(&after.compute_region).into_iter().collect();
        call.core.change(&caller, &[Mutation::PutWebservice(after.clone())], &call.context).await?;
        let (home, compute) = (workspace.home_region.as_str(), after.compute_region.as_str());
        call.core.metrics.introduce_pair(home, compute);
        let view = views::endpoint(&after, &warnings);
        Ok(if before.is_some() { reply::ok(&view) } else { reply::created(&view) })
    };
    call.reply(result.await)
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
        Some(text) => ComputeType::parse(text).ok_or_else(|| {
            parameter("properties.computeType", format!("`{text}` is none of AKS, ACI, Kubernetes"))
        })?,
    };
    let wish = match properties.auth_mode.as_deref() {
        None => kept.map(|kept| kept.auth_mode),
        Some(text) => Some(views::parse_auth_mode(text).ok_or_else(|| {
            parameter("properties.authMode", format!("`{text}` is none of Key, AMLToken, None"))
        })?),
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
