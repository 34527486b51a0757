//! Answers with their headers; static header values, one buffer.

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A JSON answer that no cache may keep (RFC 6749, section 5.1).
pub fn json(status: StatusCode, content_type: HeaderValue, body: &impl Serialize) -> HttpResponse {
    // The bodies are our own structs of strings and numbers, which always serialise.
    let mut bytes = Vec::with_capacity(1536);
    if serde_json::to_writer(&mut bytes, body).is_err() {
        bytes.clear();
    }
    let mut response = HttpResponse::with_body(status, BoxBody::new(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// 200 with JSON.
pub fn ok(body: &impl Serialize) -> HttpResponse {
    json(StatusCode::OK, JSON, body)
}

/// 201 with JSON.
pub fn created(body: &impl Serialize) -> HttpResponse {
    json(StatusCode::CREATED, JSON, body)
}

/// 204.
pub fn no_content() -> HttpResponse {
    HttpResponse::with_body(StatusCode::NO_CONTENT, BoxBody::new(()))
}
