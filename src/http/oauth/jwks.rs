//! The JWKS: from memory, with a validator and a bounded age.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};

use super::token::tenant;
use crate::domain::region::Region;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
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

/// One region's keys.
pub async fn of_region(call: Call) -> HttpResponse {
    match Region::parse(call.segment("region")) {
        Ok(region) if region == call.core.settings.policy.region => {
            answer(&call, &call.core.published.load().own)
        }
        _ => call.reply(Err(Problem::Refused(Refusal::NotFound))),
    }
}

fn answer(call: &Call, document: &Document) -> HttpResponse {
    let not_modified =
        call.request.headers().get_all(IF_NONE_MATCH).any(|value| matches(value, &document.etag));
    let (status, code) =
        if not_modified { (StatusCode::NOT_MODIFIED, "304") } else { (StatusCode::OK, "200") };
    call.core.metrics.jwks_requests.with_label_values(&[code]).inc();
    // A HEAD loses its body in actix, which keeps the length.
    let body = if not_modified { BoxBody::new(()) } else { BoxBody::new(document.body.clone()) };
    let mut response = HttpResponse::with_body(status, body);
    let max_age = call.core.jwks_max_age();
    let cache_control =
        if max_age > 0 { format!("public, max-age={max_age}") } else { "no-cache".to_owned() };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, reply::JSON);
    if let (Ok(etag), Ok(cache_control)) =
        (HeaderValue::from_str(&document.etag), HeaderValue::try_from(cache_control))
    {
        headers.insert(ETAG, etag);
        headers.insert(CACHE_CONTROL, cache_control);
    }
    response
}

/// RFC 9110, section 13.1.2: a list of tags, weak ones compared as strong, or `*`.
fn matches(value: &HeaderValue, etag: &str) -> bool {
    let value = value.to_str().unwrap_or_default();
    value.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
