//! The one table from an error to a status, a code and words (docs/problems.md).
//!
//! Only here is an error shaped for the wire. "No role" and "no such webservice" get the same words; all faults of
//! credentials get the same words; the service's own troubles are named without their inner messages.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{denials, reply};
use crate::domain::denial::Denial;
use crate::domain::region::RegionAddress;
use crate::services::{Limit, Refusal};

/// The shape of errors on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 6749, section 5.2, with the `error_codes` that Microsoft's clients know.
    OAuth,
    /// Model management v1: a bare object of code, statusCode, message.
    V1,
    /// ARM: an `error` object of code and message.
    V2,
    /// RFC 9457.
    Problem,
    /// The same for gateways, which know 401 and 403 and make 500 of any other refusal.
    Gateway,
}

/// Everything that can go wrong with a request.
#[derive(Debug)]
pub enum Problem {
    Refused(Refusal),
    /// A parameter or member that is missing, doubled or out of its rule; named.
    Parameter {
        name: &'static str,
        what: String,
    },
    UnsupportedGrantType,
    /// Of the subject token of an exchange.
    SubjectToken(Denial),
    InvalidScope(String),
    InvalidTarget(String),
    UnknownTenant,
    MissingApiVersion,
    InvalidApiVersion,
    NoRoute,
    MethodNotAllowed(&'static str),
    MediaType(&'static str),
    /// With the limit in bytes, as in the next two of size.
    BodyTooLarge(usize),
    BodyTimeout,
    BodyBroken,
    UriTooLong(usize),
    HeadTooLarge(usize),
    /// A handler panicked.
    Internal,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a caller should wait when the service is in trouble of its own, in seconds.
const RETRY_AFTER_TROUBLE_SECONDS: &str = "2";
/// What a caller should wait when too many ask at once, in seconds.
const RETRY_AFTER_OVERLOAD_SECONDS: &str = "1";

pub(super) struct Row {
    status: StatusCode,
    /// Last part of the RFC 9457 `type`, and the ARM code in CamelCase.
    slug: &'static str,
    code: &'static str,
    /// RFC 6749 `error` and Entra's number.
    oauth: (&'static str, u32),
    text: String,
    /// Where to ask instead, in order.
    pub(super) serving: Vec<RegionAddress>,
}

pub(super) fn row(
    status: StatusCode,
    slug: &'static str,
    code: &'static str,
    oauth: (&'static str, u32),
    text: impl Into<String>,
) -> Row {
    Row { status, slug, code, oauth, text: text.into(), serving: Vec::new() }
}

pub(super) const INVALID_REQUEST: (&str, u32) = ("invalid_request", 900_144);

fn table(problem: &Problem, dialect: Dialect) -> Row {
    use StatusCode as S;
    match problem {
        Problem::Refused(refusal) => refused(refusal, dialect),
        Problem::Parameter { name, what } => row(
            S::BAD_REQUEST,
            "invalid-parameter",
            "InvalidParameter",
            INVALID_REQUEST,
            format!("`{name}`: {what}"),
        ),
        Problem::UnsupportedGrantType => row(
            S::BAD_REQUEST,
            "unsupported-grant-type",
            "UnsupportedGrantType",
            ("unsupported_grant_type", 70_003),
            "`grant_type` must be client_credentials or urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        // RFC 8693, section 2.2.2: whatever is wrong with a subject token, the request is invalid.
        Problem::SubjectToken(denial) => {
            let of_client = denials::row_of(*denial, dialect);
            Row { status: S::BAD_REQUEST, oauth: ("invalid_request", of_client.oauth.1), ..of_client }
        }
        Problem::InvalidScope(what) => {
            row(S::BAD_REQUEST, "invalid-scope", "InvalidScope", ("invalid_scope", 70_011), what.clone())
        }
        Problem::InvalidTarget(what) => {
            row(S::BAD_REQUEST, "invalid-target", "InvalidTarget", ("invalid_target", 500_011), what.clone())
        }
        Problem::UnknownTenant => row(
            S::BAD_REQUEST,
            "unknown-tenant",
            "InvalidTenant",
            ("invalid_request", 90_002),
            "the tenant in the path is not registered here",
        ),
        Problem::MissingApiVersion => row(
            S::BAD_REQUEST,
            "missing-api-version",
            "MissingApiVersionParameter",
            INVALID_REQUEST,
            "the query parameter `api-version` is required; any date is accepted, such as 2022-05-01",
        ),
        Problem::InvalidApiVersion => row(
            S::BAD_REQUEST,
            "invalid-api-version",
            "InvalidApiVersionParameter",
            INVALID_REQUEST,
            "`api-version` must come once and be a date, such as 2022-05-01 or 2022-02-01-preview",
        ),
        at_the_door => door(at_the_door),
    }
}

/// What is refused before any use case is asked, whatever the path.
fn door(problem: &Problem) -> Row {
    use StatusCode as S;
    match problem {
        Problem::NoRoute => row(
            S::NOT_FOUND,
            "no-route",
            "ResourceNotFound",
            INVALID_REQUEST,
            "there is nothing at this path",
        ),
        Problem::MethodNotAllowed(allow) => row(
            S::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "MethodNotAllowed",
            INVALID_REQUEST,
            format!("this path takes {allow} only"),
        ),
        Problem::MediaType(expected) => row(
            S::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "UnsupportedMediaType",
            INVALID_REQUEST,
            format!("the Content-Type must be {expected}, without a Content-Encoding"),
        ),
        Problem::BodyTooLarge(most) => row(
            S::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "RequestEntityTooLarge",
            INVALID_REQUEST,
            format!("the body is larger than {most} bytes"),
        ),
        Problem::BodyTimeout => row(
            S::REQUEST_TIMEOUT,
            "body-timeout",
            "RequestTimeout",
            INVALID_REQUEST,
            "the body did not arrive in time",
        ),
        Problem::BodyBroken => {
            row(S::BAD_REQUEST, "body-broken", "InvalidRequestContent", INVALID_REQUEST, "the body broke off")
        }
        Problem::UriTooLong(most) => row(
            S::URI_TOO_LONG,
            "uri-too-long",
            "UriTooLong",
            INVALID_REQUEST,
            format!("the URI is longer than {most} bytes"),
        ),
        Problem::HeadTooLarge(most) => row(
            S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            "RequestHeaderFieldsTooLarge",
            INVALID_REQUEST,
            format!("the request head is larger than {most} bytes"),
        ),
        // `table` has the other rows, so only `Internal` itself comes here.
        _ => row(
            S::INTERNAL_SERVER_ERROR,
            "internal-error",
            "InternalServerError",
            ("server_error", 90_036),
            "an internal error; tell the operators the request id",
        ),
    }
}

fn refused(refusal: &Refusal, dialect: Dialect) -> Row {
    use StatusCode as S;
    match refusal {
        Refusal::Denied(denial) => denials::row_of(*denial, dialect),
        Refusal::Misdirected(serving) => denials::misdirected(serving),
        Refusal::Forbidden(action) => row(
            S::FORBIDDEN,
            "action-not-granted",
            "AuthorizationFailed",
            ("access_denied", 65_001),
            format!("no role of this principal grants `{action}` here"),
        ),
        Refusal::NotFound => row(
            S::NOT_FOUND,
            "not-found",
            "ResourceNotFound",
            INVALID_REQUEST,
            "no such resource, or this principal has no role (at least Reader) to see it",
        ),
        Refusal::Invalid(what) => {
            row(S::BAD_REQUEST, "invalid-request", "InvalidRequestContent", INVALID_REQUEST, what.clone())
        }
        Refusal::Conflict(what) | Refusal::Stale(what) => {
            row(S::CONFLICT, "conflict", "Conflict", INVALID_REQUEST, what.clone())
        }
        Refusal::Unavailable(_) => row(
            S::SERVICE_UNAVAILABLE,
            "temporarily-unavailable",
            "ServiceUnavailable",
            ("temporarily_unavailable", 90_033),
            "the service can't answer right now; try again after Retry-After",
        ),
        Refusal::Overloaded => row(
            S::SERVICE_UNAVAILABLE,
            "overloaded",
            "ServerBusy",
            ("temporarily_unavailable", 90_033),
            "more requests than the service can answer; try again after Retry-After",
        ),
        Refusal::TooMany(limited) => row(
            S::TOO_MANY_REQUESTS,
            "too-many-requests",
            "TooManyRequests",
            ("temporarily_unavailable", 90_055),
            match limited.limit {
                Limit::Principal => {
                    "this principal asks for too many tokens; keep each until its refresh_by, and try again after Retry-After"
                }
                Limit::Client | Limit::Global => {
                    "too many failed attempts; correct the credentials, and try again after Retry-After"
                }
            },
        ),
    }
}

/// Marks the answer to a request that was turned away unseen, for whoever counts or logs answers.
pub struct Shed;

/// What an error answer needs to know of its request.
pub struct Occasion<'a> {
    pub request_id: &'a str,
    pub trace_id: Option<&'a str>,
    pub now: chrono::DateTime<chrono::Utc>,
    /// The request used HTTP Basic, so a 401 names that scheme (RFC 6749, section 5.2).
    pub basic: bool,
}

impl Problem {
    /// The answer in a dialect's shape.
    /// What a refusal is for a caller that exchanges a token.
    pub fn of_subject_token(self) -> Self {
        match self {
            Self::Refused(Refusal::Denied(denial)) if denial.is_of_credentials() => {
                Self::SubjectToken(denial)
            }
            other => other,
        }
    }

    pub fn response(&self, dialect: Dialect, occasion: &Occasion<'_>) -> HttpResponse {
        let mut row = table(self, dialect);
        if dialect == Dialect::Gateway
            && row.status.is_client_error()
            && row.status != StatusCode::UNAUTHORIZED
        {
            row.status = StatusCode::FORBIDDEN;
        }
        let content_type = match dialect {
            Dialect::Problem | Dialect::Gateway => reply::PROBLEM_JSON,
            _ => reply::JSON,
        };
        let mut response = reply::json(row.status, content_type, &body(&row, dialect, occasion));
        let was_shed = matches!(self, Self::Refused(Refusal::Overloaded));
        if was_shed {
            response.extensions_mut().insert(Shed);
        }
        let headers = response.headers_mut();
        if row.status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = if was_shed { RETRY_AFTER_OVERLOAD_SECONDS } else { RETRY_AFTER_TROUBLE_SECONDS };
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if let Self::Refused(Refusal::TooMany(limited)) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from(limited.retry_after_seconds));
        }
        if row.status == StatusCode::UNAUTHORIZED {
            let challenge = match (dialect, occasion.basic) {
                (Dialect::OAuth, true) => Some("Basic realm=\"wsts\""),
                // openid-client hides `invalid_client` behind a challenge that was not asked for.
                (Dialect::OAuth, false) => None,
                _ if row.slug == "missing-token" => Some("Bearer realm=\"wsts\""),
                _ => Some("Bearer realm=\"wsts\", error=\"invalid_token\""),
            };
            if let Some(challenge) = challenge {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if let Self::MethodNotAllowed(allow) = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

fn body(row: &Row, dialect: Dialect, occasion: &Occasion<'_>) -> Value {
    let mut body = plain_body(row, dialect, occasion);
    if row.serving.is_empty() {
        return body;
    }
    let serving = json!(row.serving);
    let (place, name, value) = match dialect {
        // ARM's place for what an error has to say beyond its words.
        Dialect::V2 => {
            let info = json!([{ "type": "ServingRegions", "info": { "regions": serving } }]);
            (body.get_mut("error"), "additionalInfo", info)
        }
        _ => (Some(&mut body), "serving_regions", serving),
    };
    if let Some(Value::Object(members)) = place {
        members.insert(name.to_owned(), value);
    }
    body
}

fn plain_body(row: &Row, dialect: Dialect, occasion: &Occasion<'_>) -> Value {
    match dialect {
        Dialect::OAuth => json!({
            "error": row.oauth.0,
            "error_description": row.text,
            "error_codes": [row.oauth.1],
            "timestamp": occasion.now.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            "trace_id": occasion.trace_id.unwrap_or(occasion.request_id),
            "correlation_id": occasion.request_id,
        }),
        Dialect::V1 => json!({
            "code": row.code,
            "statusCode": row.status.as_u16(),
            "message": row.text,
            "correlation": { "RequestId": occasion.request_id },
        }),
        Dialect::V2 => json!({ "error": { "code": row.code, "message": row.text } }),
        Dialect::Problem | Dialect::Gateway => json!({
            "type": format!("urn:wsts:problem:{}", row.slug),
            "title": row.slug.replace('-', " "),
            "status": row.status.as_u16(),
            "detail": row.text,
            "request_id": occasion.request_id,
        }),
    }
}
