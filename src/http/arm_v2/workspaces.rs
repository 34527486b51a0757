//! Workspaces: PUT, GET, LIST, DELETE.

use actix_web::{HttpResponse, web::Payload};
use chrono::Duration;
use serde_json::json;

use super::views;
use crate::domain::resource::Scope;
use crate::domain::workspace::Workspace;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, paging, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;

pub async fn get(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.workspace()?;
        call.authorize(&Scope::from(&id)).await?;
        let found = call.core.workspace(&id).await?;
        Ok(reply::ok(&views::workspace(&found.ok_or(Refusal::NotFound)?, issuer(&call))))
    };
    call.reply(result.await)
}

/// All workspaces of the subscription or resource group in the path.
pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let group = match call.segment("group") {
            "" => String::new(),
            group => format!("/resourceGroups/{group}"),
        };
        let scope = Scope::parse(&format!("/subscriptions/{}{group}", call.segment("subscription")))
            .map_err(|error| Problem::Parameter { name: "path", what: error.to_string() })?;
        call.authorize(&scope).await?;
        let after = paging::cursor(&call, scope.key())?;
        let (found, next) = call.core.workspaces(&scope, &after).await?;
        Ok(paging::page(
            &call,
            found.iter().map(|found| views::workspace(found, issuer(&call))).collect(),
            next,
        ))
    };
    call.reply(result.await)
}

pub async fn put(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.workspace()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let body: views::WorkspaceBody = body::json(&call.request, payload).await?;
        let before = call.core.workspace(&id).await?;
        let (now, changed_at) = (call.core.clock.now(), before.as_ref().map(|found| found.updated_at));
        let kept_failover = || before.as_ref().map(|found| found.failover_regions.clone());
        let after = Workspace {
            // Registered once, the spelling stays.
            id: before.as_ref().map_or_else(|| id.clone(), |found| found.id.clone()),
            tenant_id: caller.facts.principal.tenant_id,
            home_region: body.location,
            failover_regions: body.properties.failover_regions.or_else(kept_failover).unwrap_or_default(),
            created_at: before.as_ref().map_or(now, |found| found.created_at),
            updated_at: changed_at.map_or(now, |last| now.max(last + Duration::microseconds(1))),
        };
        let expected = Mutation::ExpectWorkspace(id, changed_at);
        call.core.change(&caller, &[expected, Mutation::PutWorkspace(after.clone())], &call.context).await?;
        let view = views::workspace(&after, issuer(&call));
        Ok(if before.is_some() { reply::ok(&view) } else { reply::created(&view) })
    };
    call.reply(result.await)
}

pub async fn delete(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let id = call.workspace()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        if call.core.workspace(&id).await?.is_none() {
            // ARM's answer to deleting what is not there.
            return Ok(reply::no_content());
        }
        let with_webservices =
            call.query("forceToPurge").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        call.core.delete_workspace(&caller, &id, with_webservices, &call.context).await?;
        Ok(reply::ok(&json!({})))
    };
    call.reply(result.await)
}

fn issuer(call: &Call) -> &str {
    &call.core.settings.policy.issuer
}
