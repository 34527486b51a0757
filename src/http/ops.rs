//! The operators' listener: health and metrics. Loopback by default, no authentication.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};

use crate::services::Core;

/// Set when the service begins to drain.
#[derive(Default)]
pub struct Draining(pub AtomicBool);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub fn configure(config: &mut ServiceConfig) {
    config
        .service(web::resource("/livez").route(web::get().to(live)))
        .service(web::resource("/readyz").route(web::get().to(ready)))
        .service(web::resource("/healthz").route(web::get().to(ready)))
        .service(web::resource("/metrics").route(web::get().to(metrics)));
}

/// The process answers; asks nothing of anything else.
async fn live() -> HttpResponse {
    HttpResponse::Ok().body("live\n")
}

/// Whether requests should come here: the clock is right, the signing keys in the database can be used, one is active, its
/// JWKS is fresh, and no drain has begun. Without its database the service goes on with what it knows: ready, and says
/// that it is degraded.
async fn ready(core: Data<Core>, draining: Data<Draining>) -> HttpResponse {
    match why_not_ready(&core, &draining) {
        None if core.recorder.is_diverted()
            || core.directory.is_behind()
            || core.confirmed_keys().is_err() =>
        {
            HttpResponse::Ok().body("ready, degraded: the database is away\n")
        }
        None => HttpResponse::Ok().body("ready\n"),
        Some(why) => HttpResponse::ServiceUnavailable().body(format!("not ready: {why}\n")),
    }
}

fn why_not_ready(core: &Core, draining: &Draining) -> Option<Cow<'static, str>> {
    if draining.0.load(Ordering::SeqCst) {
        return Some("draining".into());
    }
    core.why_not_issuing()
}

async fn metrics(core: Data<Core>, draining: Data<Draining>) -> HttpResponse {
    core.metrics.ready.set(i64::from(why_not_ready(&core, &draining).is_none()));
    core.show_revoked_tokens();
    core.metrics.clock_offset.set(core.clock.seconds_ahead());
    let mut response = HttpResponse::Ok().body(core.metrics.render());
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}
