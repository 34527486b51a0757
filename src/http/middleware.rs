//! What every request passes through, outermost: limits, context, panics, measurement, the log line.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Version;
use actix_web::http::header::{HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage as _, HttpResponse};
use futures_util::FutureExt as _;

use super::body;
use super::canonical_path::canonicalize;
use super::connections::Connection;
use super::edge::Edge;
use super::gateway::authorize;
use super::problem::{Dialect, Occasion, Problem, Shed};
use crate::services::{Core, Endpoint, RequestContext};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// MSAL's own correlation id.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Longest id that is taken over from a caller.
const MAX_ID_CHARS: usize = 64;

/// Runs a request through the rest of the service.
pub async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    core: Data<Core>,
    edge: Data<Edge>,
) -> Result<ServiceResponse, Error> {
    let mut turn = request.request().conn_data::<Connection>().map(|found| (found.begin(), found.is_http2()));
    let context = context(&request, &core, &edge);
    let address = context.address;
    let (started, request_id, trace_id) =
        (context.started, context.request_id.clone(), context.trace_id.clone());
    let (dialect, method) = (dialect_of(request.path()), request.method().clone());
    core.metrics.http_requests_in_flight.inc();
    // Counted down when this future ends or is dropped with its connection.
    let _in_flight = InFlight(core.clone());
    let occasion = Occasion {
        request_id: &request_id,
        trace_id: trace_id.as_deref(),
        now: core.clock.now(),
        basic: false,
    };
    let unlawful = check_limits(&request, &edge).or_else(|| secret_in_uri(&request));
    // Of a request that is refused for its head as well: its answer is lost by the same way.
    let (broken, rest) = match body_comes_first(&request) {
        true if dialect == Dialect::Gateway => (None, leave_body_out(&mut request, &edge).await),
        true => (take_body_in(&mut request, &edge).await.err(), None),
        false => (None, None),
    };
    let refused = unlawful.map(|problem| (problem, None)).or(broken);
    let outcome = match refused {
        Some((problem, rest)) => {
            let answer = problem.response(dialect, &occasion);
            Ok(request.into_response(match rest {
                Some(rest) => answer.map_body(|_, body| BoxBody::new(WithRest { body, _rest: rest })),
                None => answer,
            }))
        }
        None => {
            canonicalize(&mut request);
            request.extensions_mut().insert(context);
            match AssertUnwindSafe(next.call(request)).catch_unwind().await {
                Ok(outcome) => outcome.map(ServiceResponse::map_into_boxed_body),
                Err(_) => {
                    core.metrics.panics.inc();
                    tracing::error!(request.id = %request_id, "a handler panicked");
                    let answer = with_request_id(Problem::Internal.response(dialect, &occasion), &request_id);
                    Err(InternalError::from_response("panic", answer).into())
                }
            }
        }
    };
    outcome.map(|response| {
        observe(
            &core,
            &response,
            &method,
            started,
            &Origin { request_id: &request_id, trace_id: trace_id.as_deref(), address },
        );
        let response = match rest {
            Some(rest) => response.map_body(|_, body| BoxBody::new(WithRest { body, _rest: rest })),
            None => response,
        };
        response.map_body(|head, body| {
            if let Ok(value) = HeaderValue::from_str(&request_id) {
                head.headers_mut().insert(REQUEST_ID, value);
            }
            match turn.take() {
                // Over HTTP/2 the answer waits here until its caller has read it.
                Some((turn, true)) => BoxBody::new(WithRest { body, _rest: turn }),
                _ => body,
            }
        })
    })
}

/// Where an answer given before the body was read does harm, the body is read first; a handler then finds it in memory.
/// Over HTTP/2 such an answer resets the stream, and clients lose it. In chunks over HTTP/1.1 (RFC 9112, section 7.1)
/// actix would read on for the end of the body, without a limit of time or size, before it lets go of the connection.
/// With a length it closes the connection, and the handler reads when it needs to.
fn body_comes_first(request: &ServiceRequest) -> bool {
    request.version() == Version::HTTP_2 || request.headers().contains_key(TRANSFER_ENCODING)
}

/// A body that can't be taken in leaves its rest: kept until the answer is sent, it makes actix close the
/// connection instead of reading on.
async fn take_body_in(request: &mut ServiceRequest, edge: &Edge) -> Result<(), (Problem, Option<Payload>)> {
    let mut payload = request.take_payload();
    let is_stream = request.version() == Version::HTTP_2;
    match body::take_in(&mut payload, if is_stream { body::DISCARDED } else { 0 }, edge).await {
        Ok(bytes) => {
            request.set_payload(Payload::from(bytes));
            Ok(())
        }
        Err(problem) => {
            // Over HTTP/2 the stream alone ends, and with it what keeps the rest.
            Err((problem, (!is_stream).then_some(payload)))
        }
    }
}

/// The body is not what a gateway asks about, and whatever is wrong with it is the model's to say. Over HTTP/2 it is read
/// and forgotten; in chunks its rest is kept, as above, and the answer does not wait for it.
async fn leave_body_out(request: &mut ServiceRequest, edge: &Edge) -> Option<Payload> {
    let mut payload = request.take_payload();
    if request.version() != Version::HTTP_2 {
        return Some(payload);
    }
    // However it ends, the question has an answer.
    let _ = body::take_in(&mut payload, body::DISCARDED, edge).await;
    None
}

/// The body of an answer, and with it what is to last as long: what is never read of the request, or its turn.
struct WithRest<T> {
    body: BoxBody,
    _rest: T,
}

impl<T: Unpin + 'static> MessageBody for WithRest<T> {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

fn with_request_id(mut answer: HttpResponse, request_id: &str) -> HttpResponse {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    answer
}

struct InFlight(Data<Core>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.http_requests_in_flight.dec();
    }
}

fn context(request: &ServiceRequest, core: &Core, edge: &Edge) -> RequestContext {
    let mut drawn = core.draw_context(Endpoint::Api);
    drawn.address = request.peer_addr().map(|peer| edge.proxies.client(peer.ip(), request.headers()));
    let text = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(given) = text(&REQUEST_ID).or_else(|| text(&CLIENT_REQUEST_ID)).filter(|id| is_plain_id(id)) {
        drawn.request_id = given.into();
    }
    drawn.trace_id = text(&TRACEPARENT).and_then(trace_id);
    drawn
}

/// An id that can stand in a log line and a header as it is.
fn is_plain_id(id: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The trace id of a W3C `traceparent` (Trace Context, section 3.2).
fn trace_id(value: &str) -> Option<String> {
    let mut parts = value.split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (version.len() == 2 && hex(version) && id.len() == 32 && hex(id) && id.bytes().any(|b| b != b'0'))
        .then(|| id.to_owned())
}

fn check_limits(request: &ServiceRequest, edge: &Edge) -> Option<Problem> {
    let uri = request.uri();
    let uri_bytes = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if uri_bytes > edge.max_uri_bytes {
        return Some(Problem::UriTooLong(edge.max_uri_bytes));
    }
    // As on the wire in HTTP/1.1: name, colon, space, value, line end.
    let fields: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (uri_bytes + fields > edge.max_head_bytes).then_some(Problem::HeadTooLarge(edge.max_head_bytes))
}

/// Parameters that nobody may put where every proxy and browser on the way can keep them (RFC 6749, section 2.3.1; RFC
/// 6750, section 5.3).
const NEVER_IN_URI: [&str; 6] =
    ["access_token", "client_assertion", "client_secret", "refresh_token", "subject_token", "token"];

/// Told to the caller although its request might be answered without: the secret is known to others now.
fn secret_in_uri(request: &ServiceRequest) -> Option<Problem> {
    // What a gateway asks about has its own caller's query behind it.
    if request.query_string().is_empty() || authorize::is_at(request.path()) {
        return None;
    }
    let mut names = form_urlencoded::parse(request.query_string().as_bytes()).map(|(name, _)| name);
    let name =
        names.find_map(|name| NEVER_IN_URI.into_iter().find(|known| name.eq_ignore_ascii_case(known)))?;
    let what = "sent in the URI, where all on the way can read it: send it in the body, or as `Authorization`, and replace it if it is in use";
    Some(Problem::Parameter { name, what: what.to_owned() })
}

/// The dialect of a path that may have no route.
pub fn dialect_of(path: &str) -> Dialect {
    let first = path.split('/').nth(1).unwrap_or_default();
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    if authorize::is_at(path) {
        Dialect::Gateway
    } else if is("modelmanagement") {
        Dialect::V1
    } else if is("subscriptions") || is("providers") {
        Dialect::V2
    } else if path.contains("/oauth2/") {
        Dialect::OAuth
    } else {
        Dialect::Problem
    }
}

/// Whose request it was, for the log.
struct Origin<'a> {
    request_id: &'a str,
    trace_id: Option<&'a str>,
    address: Option<IpAddr>,
}

fn observe(
    core: &Core,
    response: &ServiceResponse,
    method: &actix_web::http::Method,
    started: Instant,
    origin: &Origin<'_>,
) {
    let elapsed = started.elapsed();
    let status = response.status();
    // Templates and known methods only: a caller must not be able to make series.
    let pattern = response.request().match_pattern();
    let route = pattern.as_deref().unwrap_or("other");
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "_OTHER",
    };
    core.metrics
        .http_request_duration
        .with_label_values(&[method, route, status.as_str()])
        .observe(elapsed.as_secs_f64());
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    let is_of_gateway = authorize::is_at(response.request().path());
    let address = origin.address.map(tracing::field::display);
    // Issued tokens have their audit rows; a line for each is for those who look for something.
    macro_rules! line {
        ($level:ident, $message:literal) => {
            tracing::$level!(
                request.id = origin.request_id,
                trace.id = origin.trace_id,
                http.method = method,
                http.route = route,
                http.status = status,
                client.address = address,
                duration_micros = micros,
                $message
            )
        };
    }
    match status {
        // Thousands a second, each alike: the metric tells.
        500.. if response.response().extensions().contains::<Shed>() => line!(debug, "request turned away"),
        // As many as there are requests behind the gateways, and the metric tells those, too.
        400.. if is_of_gateway => line!(debug, "check refused"),
        500.. => line!(error, "request failed"),
        400.. => line!(info, "request refused"),
        _ => line!(debug, "request answered"),
    }
}
