//! The JWKS: from memory, with a validator and a bounded age.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use super::token::tenant;
use crate::domain::region::Region;
use crate::http::call::Call;
use crate::http::document;
use crate::http::problem::Problem;
use crate::services::Refusal;
use crate::services::publish_keys::Document;

/// Every region's live keys.
pub async fn union(call: Call) -> HttpResponse {
    answer(&call, &call.core.published.load().union)
}

/// The same under a tenant's path, where Microsoft's clients look for it.
pub async fn of_tenant(call: Call) -> HttpResponse {
    match tenant(&call) {
        Ok(_) => answer(&call, &call.core.published.load().union),
        Err(problem) => call.reply(Err(problem)),
    }
}

/// One region's keys, whichever region answers.
pub async fn of_region(call: Call) -> HttpResponse {
    let published = call.core.published.load();
    let region = Region::parse(call.segment("region")).ok();
    match region.and_then(|region| published.regions.get(&region)) {
        Some(document) => answer(&call, document),
        None => call.reply(Err(Problem::Refused(Refusal::NotFound))),
    }
}

fn answer(call: &Call, document: &Document) -> HttpResponse {
    let response = document::answer(&call.request, document, call.core.spread_jwks_max_age());
    let code = if response.status() == StatusCode::NOT_MODIFIED { "304" } else { "200" };
    call.core.metrics.jwks_requests.with_label_values(&[code]).inc();
    response
}
