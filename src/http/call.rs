//! One request as the handlers see it: where it came from, who claims to send it, what its route demands.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse};

use super::problem::{Dialect, Occasion, Problem};
use super::routes::RouteFacts;
use crate::domain::resource::{ResourceError, Scope, WebserviceId, WorkspaceId};
use crate::services::authenticate::Authenticated;
use crate::services::{Core, Endpoint, Refusal, RequestContext};

/// A request with its context.
pub struct Call {
    pub request: HttpRequest,
    pub core: Data<Core>,
    pub context: RequestContext,
    dialect: Dialect,
}

impl FromRequest for Call {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let facts = request.app_data::<RouteFacts>();
        let dialect = facts.map_or(Dialect::Problem, |facts| facts.dialect);
        // Both were put there by our own middleware and startup; a route outside them is a bug in this program.
        let context = request.extensions_mut().remove::<RequestContext>();
        let core = request.app_data::<Data<Core>>().cloned();
        ready(match (core, context) {
            (Some(core), Some(mut context)) => {
                context.endpoint = facts.map_or(Endpoint::Api, |facts| facts.endpoint);
                Ok(Self { request: request.clone(), core, context, dialect })
            }
            _ => Err(actix_web::error::ErrorInternalServerError("the route lacks its middleware")),
        })
    }
}

impl Call {
    /// The bearer token, if one was sent.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.authorization()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// `Authorization` as it was sent. Empty when it is no text or comes twice: a proxy in front may have judged the
    /// other one.
    pub fn authorization(&self) -> Option<&str> {
        let mut values = self.request.headers().get_all(AUTHORIZATION);
        let first = values.next()?;
        match values.next() {
            None => Some(text(first).unwrap_or_default()),
            Some(_) => Some(""),
        }
    }

    /// Proves the caller and checks what the route demands at this scope.
    pub async fn authorize(&self, scope: &Scope) -> Result<Authenticated, Problem> {
        let facts = self.request.app_data::<RouteFacts>();
        // A row without a demand never calls this; refusing is the safe answer to a wrong table.
        let demand = facts.and_then(|facts| facts.demand(self.request.method())).ok_or(Refusal::NotFound)?;
        Ok(self.core.authorize_call(self.bearer(), demand, scope, &self.context).await?)
    }

    /// A path parameter, decoded; empty when the route has none of the name.
    pub fn segment(&self, name: &str) -> &str {
        self.request.match_info().get(name).unwrap_or_default()
    }

    /// The workspace in the path.
    pub fn workspace(&self) -> Result<WorkspaceId, Problem> {
        WorkspaceId::new(self.segment("subscription"), self.segment("group"), self.segment("workspace"))
            .map_err(|error| bad_path(&error))
    }

    /// The webservice in the path.
    pub fn webservice(&self) -> Result<WebserviceId, Problem> {
        WebserviceId::new(self.workspace()?, self.segment("name")).map_err(|error| bad_path(&error))
    }

    /// A query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.request.query_string().as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// ARM demands an api-version. Any will do that is one: a date, and behind it perhaps `-preview`.
    pub fn demand_api_version(&self) -> Result<(), Problem> {
        let query = form_urlencoded::parse(self.request.query_string().as_bytes());
        let mut versions = query.filter(|(key, _)| key.eq_ignore_ascii_case("api-version"));
        match (versions.next(), versions.next()) {
            (Some((_, version)), None) if is_api_version(&version) => Ok(()),
            (Some((_, version)), _) if !version.is_empty() => Err(Problem::InvalidApiVersion),
            _ => Err(Problem::MissingApiVersion),
        }
    }

    pub fn is(&self, method: &Method) -> bool {
        self.request.method() == method
    }

    /// The answer, an error in the shape of the route's dialect.
    pub fn reply(&self, result: Result<HttpResponse, Problem>) -> HttpResponse {
        result.unwrap_or_else(|problem| {
            let used_basic = self.request.headers().get(AUTHORIZATION).is_some_and(|value| {
                value.as_bytes().get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
            });
            if let Problem::Refused(Refusal::Unavailable(what)) = &problem {
                // One a request behind a gateway is too many; the metric tells.
                if self.dialect == Dialect::Gateway {
                    tracing::debug!(request.id = %self.context.request_id, error = %what, "check could not be answered");
                } else {
                    tracing::error!(request.id = %self.context.request_id, error = %what, "request could not be answered");
                }
            }
            let occasion = Occasion {
                request_id: &self.context.request_id,
                trace_id: self.context.trace_id.as_deref(),
                now: self.core.clock.now(),
                basic: used_basic,
            };
            problem.response(self.dialect, &occasion)
        })
    }
}

/// What `HeaderValue::to_str` gives, which looks at every byte by itself: a token has a thousand.
fn text(value: &HeaderValue) -> Option<&str> {
    // Of control characters a header value holds tabs only.
    let bytes = value.as_bytes();
    if bytes.is_ascii() { std::str::from_utf8(bytes).ok() } else { None }
}

/// As ARM writes them: 2022-05-01, 2022-02-01-preview.
fn is_api_version(text: &str) -> bool {
    let (date, suffix) = text.split_at_checked(10).unwrap_or_default();
    let suffix_is_word = suffix.strip_prefix('-').is_some_and(|word| {
        (1..=16).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    // chrono takes unpadded fields too; ten bytes leave no room for them.
    chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok() && (suffix.is_empty() || suffix_is_word)
}

fn bad_path(error: &ResourceError) -> Problem {
    Problem::Parameter { name: "path", what: error.to_string() }
}
