//! Another issuer: an HTTPS server with a certificate of its own CA, whose answers a test says and whose visitors it
//! counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::helpers::*;
use crate::signer::*;

pub const DISCOVERY: &str = "/.well-known/openid-configuration";
pub const JWKS: &str = "/keys";

pub struct Issuer {
    pub url: String,
    folder: TempDir,
    state: Arc<State>,
    handle: actix_web::dev::ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// Status, `Location` if any, and body.
type Said = (u16, Option<String>, String);

#[derive(Default)]
struct State {
    /// By path.
    answers: Mutex<HashMap<String, Said>>,
    fetched: Mutex<Vec<String>>,
    delay_millis: AtomicU64,
    trickles: AtomicBool,
    encodes: AtomicBool,
    asked_to_encode: AtomicBool,
}

async fn answer(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let path = request.path().to_owned();
    state.fetched.lock().unwrap().push(path.clone());
    tokio::time::sleep(Duration::from_millis(state.delay_millis.load(Ordering::SeqCst))).await;
    if request.headers().contains_key("accept-encoding") {
        state.asked_to_encode.store(true, Ordering::SeqCst);
    }
    let found = state.answers.lock().unwrap().get(&path).cloned();
    let (status, location, body) = found.unwrap_or((404, None, String::new()));
    let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap());
    if let Some(location) = location {
        response.insert_header(("location", location));
    }
    if state.encodes.load(Ordering::SeqCst) {
        response.insert_header(("content-encoding", "gzip"));
    }
    response.content_type("application/json");
    if !state.trickles.load(Ordering::SeqCst) {
        return response.body(body);
    }
    // A byte at a time, each well within any patience.
    let bytes = futures_util::stream::iter(body.into_bytes());
    response.streaming(bytes.then(async |byte| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, actix_web::Error>(web::Bytes::from(vec![byte]))
    }))
}

impl Issuer {
    /// Publishes its discovery document and no key yet.
    pub fn start() -> Self {
        Self::start_as("https")
    }

    pub fn start_as(scheme: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let ca = make_certificates(folder.path());
        std::fs::write(folder.path().join("ca.pem"), ca).unwrap();
        let certificate = CertificateDer::from_pem_file(folder.path().join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.path().join("server.key")).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let state = Data::new(State::default());
        let shared = state.clone();
        let plain = scheme == "http";
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(shared.clone()).default_service(web::to(answer));
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = match plain {
                    true => server.bind("127.0.0.1:0").unwrap(),
                    false => server.bind_rustls_0_23("127.0.0.1:0", tls).unwrap(),
                };
                let port = server.addrs()[0].port();
                let running = server.run();
                tell.send((port, running.handle())).unwrap();
                running.await.unwrap();
            });
        });
        let (port, handle) = told.recv().unwrap();
        let issuer = Self {
            url: format!("{scheme}://localhost:{port}"),
            folder,
            state: state.into_inner(),
            handle,
            thread: Some(thread),
        };
        issuer.discovery(&json!({ "issuer": issuer.url, "jwks_uri": format!("{}{JWKS}", issuer.url) }));
        issuer
    }

    /// With this one key, called `main`.
    pub fn with_key(key: &Signer) -> Self {
        let issuer = Self::start();
        issuer.publish(&[key.jwk("main")]);
        issuer
    }

    /// What the service is told of it.
    pub fn entry(&self) -> String {
        trusted(&self.url, &self.folder.path().join("ca.pem"))
    }

    pub fn publish(&self, keys: &[Value]) {
        self.say(JWKS, 200, &json!({ "keys": keys }).to_string());
    }

    pub fn discovery(&self, document: &Value) {
        self.say(DISCOVERY, 200, &document.to_string());
    }

    pub fn say(&self, path: &str, status: u16, body: &str) {
        self.state.answers.lock().unwrap().insert(path.to_owned(), (status, None, body.to_owned()));
    }

    pub fn redirect(&self, path: &str, location: &str) {
        let answer = (302, Some(location.to_owned()), String::new());
        self.state.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub fn delay(&self, millis: u64) {
        self.state.delay_millis.store(millis, Ordering::SeqCst);
    }

    /// From now on its answers never come to an end.
    pub fn trickle(&self) {
        self.state.trickles.store(true, Ordering::SeqCst);
    }

    /// From now on it says that its answers are compressed.
    pub fn encode(&self) {
        self.state.encodes.store(true, Ordering::SeqCst);
    }

    pub fn was_asked_to_encode(&self) -> bool {
        self.state.asked_to_encode.load(Ordering::SeqCst)
    }

    /// How often a path was asked for.
    pub fn fetches(&self, path: &str) -> usize {
        self.state.fetched.lock().unwrap().iter().filter(|fetched| *fetched == path).count()
    }

    /// What was asked for at all.
    pub fn all_fetches(&self) -> Vec<String> {
        self.state.fetched.lock().unwrap().clone()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let handle = self.handle.clone();
        // The command is sent at once; nobody waits for its end but the thread below.
        drop(handle.stop(false));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A section of the configuration.
pub fn trusted(issuer: &str, ca_file: &std::path::Path) -> String {
    format!(
        "[[federation.issuers]]\nissuer = \"{issuer}\"\nca_file = {ca_file:?}\nallow_private_addresses = true\n"
    )
}

/// What a build of the pipeline says of itself.
pub fn federated_claims(app: &TestApp, issuer: &str) -> Value {
    let now = app.now();
    json!({ "iss": issuer, "sub": "repo:team/model", "aud": "api://sts", "iat": now, "exp": now + 3600 })
}

/// Registers trust in the tokens of [`federated_claims`]; gives its id.
#[track_caller]
pub fn trust(app: &TestApp, who: &Who, issuer: &str, members: &Value) -> String {
    let body = json!({ "name": format!("trust in {issuer}"), "issuer": issuer, "subject": "repo:team/model",
                       "audiences": ["api://sts"] });
    let added = app.api(&OWNER).post(&path_of(who, FEDERATED), &with(&body, members)).expect(201).json();
    added["id"].as_str().unwrap().to_owned()
}
