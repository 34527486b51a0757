//! Documents from memory that caches may keep: a strong validator, a bounded age, 304 to who has it already.

use actix_web::body::{self, BoxBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse};

use super::reply;
use crate::services::publish_keys::Document;

/// The document, or 304 when the request names its tag. `max_age` in seconds; 0 forbids use without asking.
pub fn answer(request: &HttpRequest, document: &Document, max_age: i64) -> HttpResponse {
    let is_known = request.headers().get_all(IF_NONE_MATCH).any(|value| matches(value, &document.etag));
    let mut response = if is_known {
        // Not an empty body: over HTTP/2 that declares a length of 0, which is not the document's (RFC 9110, section
        // 8.6).
        HttpResponse::with_body(StatusCode::NOT_MODIFIED, BoxBody::new(body::None::new()))
    } else {
        // A HEAD loses its body in actix, which keeps the length.
        HttpResponse::with_body(StatusCode::OK, BoxBody::new(document.body.clone()))
    };
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
