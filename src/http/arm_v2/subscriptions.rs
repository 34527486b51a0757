//! `GET /subscriptions`: the v1 SDK looks here for the subscription that it was told to use.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;

/// The subscriptions of the caller's tenant. No role is asked for: their names open nothing.
pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        call.demand_api_version()?;
        let caller = call.core.authenticate_call(call.bearer(), &call.context).await?;
        let tenant = caller.facts.principal.tenant_id;
        let hierarchy = call.core.directory.hierarchy();
        let mut own: Vec<_> =
            hierarchy.subscriptions.values().filter(|found| found.tenant_id == tenant).collect();
        own.sort_by(|a, b| a.id.cmp(&b.id));
        let value: Vec<Value> = own
            .iter()
            .map(|found| {
                json!({
                    "id": format!("/subscriptions/{}", found.id),
                    "subscriptionId": found.id,
                    "displayName": found.display_name,
                    "state": "Enabled",
                    "tenantId": found.tenant_id,
                })
            })
            .collect();
        Ok::<_, Problem>(reply::ok(&json!({ "value": value })))
    };
    call.reply(result.await)
}
