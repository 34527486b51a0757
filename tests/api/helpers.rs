//! The service under test: a deployment in a temporary folder, the running service over it, one verb an endpoint.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::Value;
use tempfile::TempDir;
use ureq::SendBody;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use workspace_sts::audit::reading;
use workspace_sts::clock::{Clock, ManualClock, SystemClock};
use workspace_sts::config::{Config, ConfigError};
use workspace_sts::domain::audit::{AuditEntry, AuditFilter};
use workspace_sts::domain::signing_key::KeyPolicy;
use workspace_sts::entropy::{Entropy, SeededEntropy};
use workspace_sts::services::Core;
use workspace_sts::services::registry_file::{RegistryFile, Unfinished, Written, compare};
use workspace_sts::startup::{Parts, StartError, Stopper, compose, start};

/// `iss`, and the start of every audience: configured, so it does not name the port that a test happens to get.
pub const ISSUER: &str = "https://localhost";
pub const TENANT: &str = "11111111-1111-1111-1111-111111111111";
pub const SUBSCRIPTION: &str = "/subscriptions/22222222-2222-2222-2222-222222222222";
pub const WORKSPACE: &str = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/demo-rg/providers/Microsoft.MachineLearningServices/workspaces/demo";
pub const OTHER_TENANT: &str = "99999999-9999-9999-9999-999999999999";
pub const OTHER_SUBSCRIPTION: &str = "/subscriptions/88888888-8888-8888-8888-888888888888";
/// ARM demands one; any will do.
pub const V: &str = "api-version=2022-02-01-preview";
/// For tests that fail more often than a caller may.
pub const GUESS_FREELY: &str = "[limits]\nmax_failures_per_minute = 0\n";
const REGISTRY: &str = include_str!("registry.toml");
const OTHER_REGISTRY: &str = include_str!("other_tenant.toml");

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Who {
    pub client_id: &'static str,
    pub object_id: &'static str,
    pub tenant: &'static str,
}

macro_rules! principal {
    ($name:ident, $number:literal, $tenant:expr) => {
        pub const $name: Who = Who {
            client_id: concat!("c0000000-0000-0000-0000-00000000000", $number),
            object_id: concat!("0b000000-0000-0000-0000-00000000000", $number),
            tenant: $tenant,
        };
    };
}

principal!(OWNER, 1, TENANT);
principal!(CONTRIBUTOR, 2, TENANT);
principal!(READER, 3, TENANT);
principal!(STRANGER, 4, TENANT);
principal!(DISABLED, 5, TENANT);
principal!(GROUP_READER, 6, TENANT);
// Owner at the root, in the other tenant.
principal!(FOREIGN_OWNER, 9, OTHER_TENANT);

/// When every test begins.
pub fn beginning() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-03-01T12:00:00Z").unwrap().to_utc()
}

/// ARM id of a webservice of the demo workspace.
pub fn webservice(name: &str) -> String {
    format!("{WORKSPACE}/onlineEndpoints/{name}")
}

/// What is asked for as `resource`.
pub fn audience(name: &str) -> String {
    format!("{ISSUER}{}", webservice(name))
}

/// Everything of a deployment that outlives one run of the service.
pub struct Deployment {
    folder: TempDir,
    pub ca_pem: String,
    pub algorithm: &'static str,
    /// Further lines of `[server]`.
    pub more_server: String,
    /// Further sections of the configuration.
    pub more_config: String,
    pub clock: Arc<ManualClock>,
    entropy: Arc<Reseedable>,
    /// Real time, and these lengths, in place of the still clock and the configured ones.
    pub in_real_time: Option<KeyPolicy>,
}

/// Seeded randomness that a test can begin anew, so that a snapshot does not depend on how much was drawn before.
#[derive(Default)]
struct Reseedable(Mutex<SeededEntropy>);

impl Entropy for Reseedable {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap().fill(buffer);
    }
}

impl Deployment {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let deployment = Self {
            ca_pem: make_certificates(folder.path()),
            folder,
            algorithm: "ES256",
            more_server: String::new(),
            more_config: String::new(),
            clock: Arc::new(ManualClock::at(beginning())),
            entropy: Arc::default(),
            in_real_time: None,
        };
        deployment.write_secret("kek", 1);
        deployment.write_secret("pepper", 2);
        deployment
    }

    /// A KEK or pepper file of 32 equal bytes.
    pub fn write_secret(&self, name: &str, byte: u8) {
        std::fs::write(self.path(name), URL_SAFE_NO_PAD.encode([byte; 32])).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> Config {
        self.try_config().unwrap()
    }

    /// Reads the configuration, or says what is wrong with it.
    pub fn try_config(&self) -> Result<Config, ConfigError> {
        let file = self.path("wsts.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nissuer = \"{ISSUER}\"\nworkers = 2\nunready_seconds = 0\ndrain_seconds = 5\n{}\
             [server.tls]\ncertificate_file = {:?}\nkey_file = {:?}\n[ops]\nlisten = \"127.0.0.1:0\"\n\
             [region]\nname = \"local\"\n[storage]\nsqlite_file = {:?}\n[secrets]\nkek_file = {:?}\npepper_file = {:?}\n\
             [keys]\nalgorithm = \"{}\"\n{}",
            self.more_server,
            self.path("server.pem"),
            self.path("server.key"),
            self.path("wsts.db"),
            self.path("kek"),
            self.path("pepper"),
            self.algorithm,
            self.more_config,
        );
        std::fs::write(&file, text).unwrap();
        Config::load(&file)
    }

    pub fn parts(&self) -> Parts {
        let clock: Arc<dyn Clock> = match self.in_real_time {
            Some(_) => Arc::new(SystemClock),
            None => self.clock.clone(),
        };
        Parts { clock, entropy: self.entropy.clone(), key_policy: self.in_real_time }
    }

    /// Starts the service, or says why not.
    pub fn try_start(&self) -> Result<Started, StartError> {
        Started::new(self.config(), self.parts())
    }

    pub fn run(self) -> TestApp {
        let Started { core, public, ops, stopper, handle, thread } = self.try_start().unwrap();
        TestApp {
            agent: agent(&self.ca_pem),
            deployment: self,
            core,
            public,
            ops,
            stopper,
            handle,
            thread: Some(thread),
            secrets: HashMap::new(),
        }
    }
}

/// A service on a thread and a runtime of its own.
pub struct Started {
    pub core: Arc<Core>,
    pub public: SocketAddr,
    pub ops: SocketAddr,
    pub stopper: Stopper,
    pub handle: tokio::runtime::Handle,
    pub thread: JoinHandle<()>,
}

impl Started {
    pub fn new(config: Config, parts: Parts) -> Result<Self, StartError> {
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let handle = runtime.handle().clone();
            runtime.block_on(async move {
                let running = match start(&config, parts).await {
                    Ok(running) => running,
                    Err(error) => return tell.send(Err(error)).unwrap(),
                };
                let started =
                    (Arc::clone(&running.core), running.public, running.ops, running.stopper(), handle);
                tell.send(Ok(started)).unwrap();
                running.serve().await.unwrap();
            });
        });
        match told.recv().unwrap() {
            Ok((core, public, ops, stopper, handle)) => {
                Ok(Self { core, public, ops, stopper, handle, thread })
            }
            Err(error) => {
                thread.join().unwrap();
                Err(error)
            }
        }
    }
}

/// A running service with the demo registry. Stops when dropped.
pub struct TestApp {
    pub deployment: Deployment,
    pub core: Arc<Core>,
    pub public: SocketAddr,
    pub ops: SocketAddr,
    pub stopper: Stopper,
    pub agent: ureq::Agent,
    handle: tokio::runtime::Handle,
    thread: Option<JoinHandle<()>>,
    /// By client id.
    secrets: HashMap<String, String>,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop(false);
    }
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn request_id(&self) -> &str {
        self.header("x-request-id").expect("every answer names its request")
    }

    /// Panics with the answer if it has another status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }

    /// The token in the answer of any of the three dialects.
    #[track_caller]
    pub fn token(&self) -> String {
        let body = self.json();
        let token = body.get("access_token").or_else(|| body.get("accessToken"));
        token.and_then(Value::as_str).unwrap_or_else(|| panic!("no token in {body}")).to_owned()
    }
}

impl TestApp {
    /// A fresh deployment of two tenants.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// The first tenant alone: role definitions can be changed over HTTP only where no other tenant shares them.
    pub fn of_one_tenant() -> Self {
        let mut app = Deployment::new().run();
        app.apply(REGISTRY);
        app
    }

    /// The same, with the deployment altered before it starts.
    pub fn with(alter: impl FnOnce(&mut Deployment)) -> Self {
        let mut deployment = Deployment::new();
        alter(&mut deployment);
        let mut app = deployment.run();
        app.apply(REGISTRY);
        app.apply(OTHER_REGISTRY);
        app
    }

    /// Stops the service and starts it again over the same files.
    pub fn restart(mut self) -> Self {
        self.stop(true);
        let secrets = std::mem::take(&mut self.secrets);
        let fresh = Deployment::new();
        let deployment = std::mem::replace(&mut self.deployment, fresh);
        drop(self);
        let mut app = deployment.run();
        app.secrets = secrets;
        app
    }

    /// Stops the service and gives back its files.
    pub fn into_deployment(mut self) -> Deployment {
        self.stop(true);
        std::mem::replace(&mut self.deployment, Deployment::new())
    }

    pub fn stop(&mut self, graceful: bool) {
        if let Some(thread) = self.thread.take() {
            let stopper = self.stopper.clone();
            self.handle.spawn(async move { stopper.stop(graceful).await });
            thread.join().unwrap();
        }
    }

    /// Starts something on the service's own runtime; the channel gives what it ends with.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (tell, told) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = tell.send(future.await);
        });
        told
    }

    /// Runs something on the service's own runtime.
    pub fn block_on<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        self.spawn(future).recv().unwrap()
    }

    /// Applies a registry file, as `wsts apply` does.
    pub fn apply(&mut self, text: &str) {
        let file: RegistryFile = toml::from_str(text).unwrap();
        let core = Arc::clone(&self.core);
        let made = self.block_on(async move {
            let stored = core.store.snapshot().await.unwrap();
            let difference = compare(&file, &stored, false, core.clock.now(), core.entropy.as_ref()).unwrap();
            let mut made = Vec::new();
            let keep = |written: Written| {
                made.extend(written.secrets);
                Ok::<_, Unfinished>(())
            };
            core.apply(difference, &core.local_context(), keep).await.unwrap();
            made
        });
        for secret in made {
            self.secrets.insert(secret.client_id.to_string(), secret.plain.expose().to_owned());
        }
    }

    /// Applies a registry file as another process does: nothing of it reaches this one's memory at once.
    pub fn apply_elsewhere(&self, text: &str) {
        let file: RegistryFile = toml::from_str(text).unwrap();
        let (config, parts) = (self.deployment.config(), self.deployment.parts());
        self.block_on(async move {
            let core = compose(&config, parts).await.unwrap();
            let stored = core.store.snapshot().await.unwrap();
            let difference = compare(&file, &stored, false, core.clock.now(), core.entropy.as_ref()).unwrap();
            core.apply(difference, &core.local_context(), |_| Ok::<_, Unfinished>(())).await.unwrap();
        });
    }

    /// The next request draws the same random bytes as in every other run.
    pub fn reseed(&self) {
        *self.deployment.entropy.0.lock().unwrap() = SeededEntropy::default();
    }

    /// Time passes, and the worker tends the keys.
    pub fn advance(&self, seconds: i64) {
        self.advance_unattended(seconds);
        let core = Arc::clone(&self.core);
        // By a wrong clock it tends nothing.
        let _ = self.block_on(async move { core.tend_signing_keys().await });
    }

    /// Time passes, and the database can't be read.
    pub fn advance_unattended(&self, seconds: i64) {
        self.deployment.clock.advance(Duration::seconds(seconds));
    }

    /// As the worker does every few seconds.
    pub fn tend_signing_keys(&self) {
        let core = Arc::clone(&self.core);
        self.block_on(async move { core.tend_signing_keys().await.unwrap() });
    }

    pub fn now(&self) -> i64 {
        self.deployment.clock.now().timestamp()
    }

    pub fn secret(&self, who: &Who) -> &str {
        &self.secrets[who.client_id]
    }

    // --- the audit ---

    /// Every record, in no order that a still clock could give them.
    pub fn audit(&self) -> Vec<AuditEntry> {
        let core = Arc::clone(&self.core);
        self.block_on(async move {
            let found = reading::newest(core.store.as_ref(), &AuditFilter::default(), 100_000).await.unwrap();
            found.iter().map(AuditEntry::from).collect()
        })
    }

    /// The records of one request.
    pub fn audit_of(&self, answer: &Answer) -> Vec<AuditEntry> {
        let mut records = self.audit();
        records.retain(|record| record.request_id == answer.request_id());
        records
    }

    /// The only record of one request.
    #[track_caller]
    pub fn record_of(&self, answer: &Answer) -> AuditEntry {
        let mut records = self.audit_of(answer);
        assert_eq!(records.len(), 1, "one record for a request: {records:?}");
        records.remove(0)
    }

    // --- requests of any kind ---

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.public.port())
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = if body.is_empty() {
            self.agent.run(request.body(SendBody::none()).unwrap())
        } else {
            let (mut body, length) = (body, body.len());
            let request = request.header("content-length", length);
            self.agent.run(request.body(SendBody::from_reader(&mut body)).unwrap())
        };
        read(answer.unwrap())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    /// The ops listener: plain HTTP.
    pub fn get_ops(&self, path: &str) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.ops.port());
        read(self.agent.get(&url).call().unwrap())
    }

    /// A form to a token endpoint.
    pub fn form(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send("POST", path, &all, body.as_bytes())
    }

    // --- one verb an endpoint ---

    /// One round trip: client credentials against a webservice token.
    pub fn token_as(&self, who: &Who, name: &str) -> Answer {
        self.token_for(who, &audience(name), &[])
    }

    /// A token for any `resource`, with further form fields.
    pub fn token_for(&self, who: &Who, resource: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", who.client_id),
            ("client_secret", self.secret(who)),
            ("resource", resource),
        ];
        fields.extend_from_slice(more);
        self.form("/oauth2/token", &[], &fields)
    }

    /// A management token.
    #[track_caller]
    pub fn management_token(&self, who: &Who) -> String {
        self.token_for(who, ISSUER, &[]).expect(200).token()
    }

    pub fn v1_token(&self, bearer: &str, name: &str) -> Answer {
        let path = format!("/modelmanagement/v1.0{WORKSPACE}/services/{name}/token");
        self.send("POST", &path, &[("authorization", &bearer_of(bearer))], b"")
    }

    pub fn v2_token(&self, bearer: &str, name: &str) -> Answer {
        let path = format!("{}/token?{V}", webservice(name));
        self.send("POST", &path, &[("authorization", &bearer_of(bearer))], b"")
    }

    /// The API as this principal.
    #[track_caller]
    pub fn api(&self, who: &Who) -> Api<'_> {
        self.api_with(&self.management_token(who))
    }

    pub fn api_with(&self, token: &str) -> Api<'_> {
        Api { app: self, bearer: bearer_of(token) }
    }
}

fn bearer_of(token: &str) -> String {
    format!("Bearer {token}")
}

/// The API with somebody's management token.
pub struct Api<'a> {
    app: &'a TestApp,
    bearer: String,
}

impl Api<'_> {
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(body))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, Some(body))
    }

    /// ARM paths get an api-version if they name no query of their own.
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let path = if path.contains('?') || path.starts_with("/v1.0/") {
            path.to_owned()
        } else {
            format!("{path}?{V}")
        };
        let mut headers = vec![("authorization", self.bearer.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        self.app.send(method, &path, &headers, body.as_bytes())
    }
}

/// `Authorization: Basic` of a form-encoded id and secret (RFC 6749, section 2.3.1).
pub fn basic(client_id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(client_id), encode(secret))))
}

/// Header and claims of a token.
pub fn decoded(token: &str) -> (Value, Value) {
    let part = |at: usize| {
        let text = token.split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    (part(0), part(1))
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Answer {
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Answer { status: answer.status().as_u16(), headers, body: answer.body_mut().read_to_vec().unwrap() }
}

fn agent(ca_pem: &str) -> ureq::Agent {
    let ca = Certificate::from_pem(ca_pem.as_bytes()).unwrap();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[ca])).build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(std::time::Duration::from_secs(30)))
        .max_redirects(0)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .build()
        .into()
}

/// A CA, and in the folder `server.pem` and `server.key` for localhost; returns the CA.
pub fn make_certificates(folder: &Path) -> String {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "test CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    server.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, &ca).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    std::fs::File::create(folder.join("server.key"))
        .unwrap()
        .write_all(key.serialize_pem().as_bytes())
        .unwrap();
    ca.pem()
}

/// Seconds for which an answer may be kept.
#[track_caller]
pub fn max_age(answer: &Answer) -> i64 {
    let value = answer.header("cache-control").expect("cache-control");
    value.strip_prefix("public, max-age=").unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}
