//! The composition root: from a configuration to a running service.

mod compose;
mod listen;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::dev::{Server, ServerHandle};
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::SockRef;

use crate::audit::spool::SpoolError;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError, Tls};
use crate::domain::signing_key::KeyPolicy;
use crate::entropy::{Entropy, SystemEntropy};
use crate::http::ops;
use crate::http::ops::Draining;
use crate::services::Core;
use crate::services::rotate_signing_keys::RotationError;
use crate::storage::StorageError;
use crate::worker;

pub use compose::compose;
use listen::public_server;

/// Why the service does not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
    #[error("signing keys: {0}")]
    Keys(#[from] RotationError),
    #[error(
        "the secrets in this database were made under pepper {stored}, but pepper {configured} is configured: start with the pepper that made them"
    )]
    Pepper { stored: String, configured: String },
    #[error(
        "access keys in this database are sealed under KEK {0}, which is not configured: start with that KEK, or name it after the new one if it was replaced"
    )]
    Kek(String),
    #[error(
        "this database issues as `{remembered}`, but server.issuer is `{configured}`: all replicas of a database have one issuer. Correct it; if the name is to change, see \"Change the issuer\" in docs/operations.md"
    )]
    Issuer { remembered: String, configured: String },
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("{0}")]
    Other(String),
}

/// The seams that tests put their own parts into.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// In place of the configured lengths, and unchecked: a gateway can be watched through rotations that are seconds
    /// apart, which no configuration may ask for.
    pub key_policy: Option<KeyPolicy>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy::new()), key_policy: None }
    }
}

/// A service that listens.
pub struct Running {
    pub core: Arc<Core>,
    pub public: SocketAddr,
    pub ops: SocketAddr,
    draining: Data<Draining>,
    unready: std::time::Duration,
    handles: [ServerHandle; 2],
    servers: [Server; 2],
    background: [tokio::task::JoinHandle<()>; 2],
}

/// Starts everything; returns when both listeners accept connections.
pub async fn start(config: &Config, parts: Parts) -> Result<Running, StartError> {
    let tls = config.server.tls.as_ref().map(tls_config).transpose()?;
    // Bound before anything is made: a second start on the same address must not touch the database.
    let (public, ops) = (bind(config.server.listen)?, bind(config.ops.listen)?);
    let address =
        |listener: &TcpListener| listener.local_addr().map_err(|error| StartError::Other(error.to_string()));
    let (public_address, ops_address) = (address(&public)?, address(&ops)?);
    let core = Arc::new(compose::serving(config, parts).await?);
    // Before any key is made by it.
    core.compare_clock().await?;
    // And before any is opened: from here on nothing is put under a KEK that this process lacks.
    core.announce().await;
    if let Err(error) = core.watch_signing_keys().await {
        core.take_leave().await;
        return Err(error.into());
    }
    let draining = Data::new(Draining::default());
    let io = |error: std::io::Error| StartError::Other(error.to_string());
    let (server, connections) = public_server(config, &core, public, tls).map_err(io)?;
    let (ops_data, ops_draining) = (Data::from(Arc::clone(&core)), draining.clone());
    let ops_server = HttpServer::new(move || {
        App::new().app_data(ops_data.clone()).app_data(ops_draining.clone()).configure(ops::configure)
    })
    .workers(1)
    .disable_signals()
    .listen(ops)
    .map_err(io)?
    .run();
    core.metrics.ready.set(1);
    tracing::info!(server.address = %public_address, ops.address = %ops_address, region = %config.region.name, issuer = %config.server.issuer, "serving");
    let background = [tokio::spawn(worker::run(Arc::clone(&core))), tokio::spawn(connections.watch())];
    let handles = [server.handle(), ops_server.handle()];
    Ok(Running {
        core,
        public: public_address,
        ops: ops_address,
        draining,
        unready: std::time::Duration::from_secs(config.server.unready_seconds),
        handles,
        servers: [server, ops_server],
        background,
    })
}

/// Stops a running service.
#[derive(Clone)]
pub struct Stopper {
    draining: Data<Draining>,
    unready: std::time::Duration,
    handles: [ServerHandle; 2],
}

impl Stopper {
    /// Says "not ready" for a while, then takes no more requests, lets running ones end, and stops. With `graceful` off,
    /// stops at once.
    pub async fn stop(&self, graceful: bool) {
        self.draining.0.store(true, Ordering::SeqCst);
        if graceful {
            tokio::time::sleep(self.unready).await;
        }
        let [public, ops] = &self.handles;
        public.stop(graceful).await;
        ops.stop(false).await;
    }
}

impl Running {
    pub fn stopper(&self) -> Stopper {
        Stopper { draining: self.draining.clone(), unready: self.unready, handles: self.handles.clone() }
    }

    /// Serves until stopped.
    pub async fn serve(self) -> std::io::Result<()> {
        let [public, ops] = self.servers;
        let outcome = tokio::join!(public, ops);
        self.background.iter().for_each(tokio::task::JoinHandle::abort);
        // What was measured since the worker last wrote it.
        if let Err(error) = self.core.keep_latencies().await {
            tracing::debug!(error = %error, "the last latencies could not be written");
        }
        self.core.take_leave().await;
        self.core.store.close().await;
        outcome.0.and(outcome.1)
    }
}

/// Connections that wait to be accepted. The standard library asks for 128, which a fleet that comes back at once fills;
/// whoever finds no room tries again after a second.
const BACKLOG: i32 = 1024;

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        // A listening socket may be told another length.
        SockRef::from(&listener).listen(BACKLOG)?;
        Ok(listener)
    };
    listen().map_err(|error| StartError::Listen(address, error))
}

/// Reads the certificate and its key as a start would.
pub fn check_certificate(config: &Config) -> Result<(), StartError> {
    config.server.tls.as_ref().map(tls_config).transpose().map(drop)
}

fn tls_config(tls: &Tls) -> Result<ServerConfig, StartError> {
    let fail = |what: &std::path::Path, error: &dyn std::fmt::Display| {
        StartError::Tls(format!("{}: {error}", what.display()))
    };
    let chain = CertificateDer::pem_file_iter(&tls.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail(&tls.certificate_file, &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file).map_err(|error| fail(&tls.key_file, &error))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(&tls.certificate_file, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| fail(&tls.certificate_file, &error))
}
