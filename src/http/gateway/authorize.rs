//! `/authorize`, by any method: may this request come in? 200, 401 or 403, whatever is asked; 503 for our own trouble.
//!
//! A gateway sends its caller's request here without the body. Some of it is the gateway's and some the caller's, and
//! which is which differs from gateway to gateway (docs/gateways.md): so every place that names a webservice must name
//! the same one.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::domain::denial::Denial;
use crate::domain::issuance::Policy;
use crate::domain::resource::WebserviceId;
use crate::http::call::Call;
use crate::http::reply::NO_STORE;
use crate::services::check_access::{Access, AccessCheck, Proof};

/// Where gateways ask.
pub const PATH: &str = "/authorize";

const WEBSERVICE: HeaderName = HeaderName::from_static("x-wsts-webservice");
const AUTH: HeaderName = HeaderName::from_static("x-wsts-auth");
const PRINCIPAL: HeaderName = HeaderName::from_static("x-wsts-principal");
const CLIENT: HeaderName = HeaderName::from_static("x-wsts-client");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-wsts-token-id");
const KEY: HeaderName = HeaderName::from_static("x-wsts-key");
/// The parameter of the query that names the webservice.
const QUERY: &str = "webservice";
/// Slashes in the ARM id of a webservice, the first one included.
const SLASHES: usize = 10;

/// Whether the check answers at this path, as it came.
pub fn is_at(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|tail| tail.is_empty() || tail.starts_with('/'))
}

pub async fn check(call: Call) -> HttpResponse {
    let webservice = named(&call.request, &call.core.settings.policy);
    let credential = call.bearer().filter(|credential| !credential.is_empty());
    let checked = call.core.check_access(&AccessCheck { webservice, credential }, &call.context).await;
    match checked {
        Ok(access) => allowed(&access),
        Err(refusal) => call.reply(Err(refusal.into())),
    }
}

/// The webservice on which all places that name one agree.
fn named(request: &HttpRequest, policy: &Policy) -> Result<WebserviceId, Denial> {
    let places = [by_header(request, policy)?, by_query(request, policy)?, by_path(request.path())];
    let mut names = places.into_iter().flatten();
    let first = names.next().ok_or(Denial::WebserviceNotNamed)?;
    if names.all(|other| other.key() == first.key()) { Ok(first) } else { Err(Denial::WebserviceNamedTwice) }
}

/// A header that comes twice names nothing: a gateway in front may have judged the other one.
fn by_header(request: &HttpRequest, policy: &Policy) -> Result<Option<WebserviceId>, Denial> {
    let mut values = request.headers().get_all(WEBSERVICE);
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => parse(text, policy).map(Some),
        (_, Some(_)) => Err(Denial::WebserviceNamedTwice),
        (Err(_), None) => Err(Denial::WebserviceNotNamed),
    }
}

/// Behind a longer path stands the query of the gateway's caller.
fn by_query(request: &HttpRequest, policy: &Policy) -> Result<Option<WebserviceId>, Denial> {
    if request.path() != PATH || request.query_string().is_empty() {
        return Ok(None);
    }
    let query = form_urlencoded::parse(request.query_string().as_bytes());
    let mut values = query.filter(|(name, _)| name.eq_ignore_ascii_case(QUERY));
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, text)), None) => parse(&text, policy).map(Some),
        (Some(_), Some(_)) => Err(Denial::WebserviceNamedTwice),
    }
}

/// An ARM id as it came, before whatever stands behind it. Any other path is that of the gateway's caller; names hold no
/// `%`, so nothing is decoded here.
fn by_path(path: &str) -> Option<WebserviceId> {
    let tail = path.strip_prefix(PATH)?;
    let mut slashes = tail.match_indices('/').skip(SLASHES - 1);
    slashes.next()?;
    let end = slashes.next().map_or(tail.len(), |(at, _)| at);
    tail.get(..end).and_then(|id| WebserviceId::parse(id).ok())
}

/// An ARM id, or a whole audience.
fn parse(text: &str, policy: &Policy) -> Result<WebserviceId, Denial> {
    let id = policy.behind_base(text).unwrap_or(text);
    WebserviceId::parse(id).map_err(|_| Denial::WebserviceNotNamed)
}

/// Every header is there, empty when there is nothing to tell: a gateway that hands them on then overwrites what its
/// caller may have sent under these names.
fn allowed(access: &Access) -> HttpResponse {
    const NOTHING: HeaderValue = HeaderValue::from_static("");
    // All of these are ids of ours, which are plain text.
    let text = |text: String| HeaderValue::try_from(text).unwrap_or(NOTHING);
    let webservice = &access.webservice.webservice;
    let (mut principal, mut client, mut token_id, mut key) = (NOTHING, NOTHING, NOTHING, NOTHING);
    match &access.proof {
        Proof::Open => {}
        Proof::Key(name) => key = HeaderValue::from_static(name.lower_case()),
        Proof::Token(token) => {
            principal = text(token.object_id.to_string());
            client = text(token.client_id.to_string());
            token_id = HeaderValue::from_str(&token.token_id).unwrap_or(NOTHING);
        }
    }
    let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(()));
    let headers = response.headers_mut();
    headers.insert(WEBSERVICE, text(webservice.id.text()));
    headers.insert(AUTH, HeaderValue::from_static(webservice.auth_mode.as_str()));
    headers.insert(PRINCIPAL, principal);
    headers.insert(CLIENT, client);
    headers.insert(TOKEN_ID, token_id);
    headers.insert(KEY, key);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}
