//! The public listener: TLS, the limits that actix holds, the connections.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use rustls::ServerConfig;

use crate::config::Config;
use crate::http::connections::{Connections, Rules};
use crate::http::edge::Edge;
use crate::http::proxies::TrustedProxies;
use crate::http::{middleware, routes};
use crate::services::Core;

/// Beyond the deadlines, so that actix's own answer (408) comes first.
const PATIENCE_BEYOND: Duration = Duration::from_secs(1);

pub(super) fn public_server(
    config: &Config,
    core: &Arc<Core>,
    listener: TcpListener,
    tls: Option<ServerConfig>,
) -> std::io::Result<(Server, Arc<Connections>)> {
    let limits = &config.limits;
    let seconds = |count: u32| Duration::from_secs(count.into());
    let proxies = TrustedProxies(config.server.trusted_proxies.clone());
    let edge = Data::new(Edge {
        proxies: proxies.clone(),
        max_body_bytes: limits.max_body_bytes,
        max_head_bytes: limits.max_head_bytes,
        max_uri_bytes: limits.max_uri_bytes,
        body_deadline: seconds(limits.body_deadline_seconds),
    });
    let longest =
        limits.head_deadline_seconds.max(limits.body_deadline_seconds).max(limits.keep_alive_seconds);
    let rules = Rules {
        per_address: limits.max_connections_per_address,
        patience: seconds(longest) + PATIENCE_BEYOND,
        proxies,
        proxies_only: tls.is_none() && config.server.plain_http_behind_proxies,
    };
    let connections = Connections::new(rules, Arc::clone(&core.metrics));
    let data = Data::from(Arc::clone(core));
    let app = move || {
        let (core, around) = (data.clone(), edge.clone());
        App::new()
            .app_data(data.clone())
            .app_data(edge.clone())
            .wrap(from_fn(move |request, next| {
                middleware::around(request, next, core.clone(), around.clone())
            }))
            .configure(routes::configure)
    };
    let workers =
        config.server.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, Into::into));
    let on_connect = Arc::clone(&connections);
    let server = HttpServer::new(app)
        .workers(workers)
        // actix counts for each worker.
        .max_connections((limits.max_connections / workers).max(1))
        .on_connect(move |io, extensions| on_connect.connected(io, extensions))
        .client_request_timeout(seconds(limits.head_deadline_seconds))
        .keep_alive(seconds(limits.keep_alive_seconds))
        .tls_handshake_timeout(seconds(limits.tls_handshake_seconds))
        .shutdown_timeout(config.server.drain_seconds)
        .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    };
    Ok((server?.run(), connections))
}
