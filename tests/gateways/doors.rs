//! Every configuration of `deploy/gateways/` whose program can be had, before the service: the right token comes in and
//! nothing else does. Those that ask `/authorize` take access keys, too, and refuse what was revoked.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;
use workspace_sts::domain::signing_key::SigningAlgorithm;
use workspace_sts::signing::key_pair::KeyPair;

use crate::gateway::{agent, envoy_binary, path, substituted};
use crate::helpers::*;
use crate::service::Service;
use crate::{alone, figure, model};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    EnvoyAlone,
    EnvoyAsks,
    NginxAsks,
    Caddy,
    HaProxy,
    ApacheAlone,
    ApacheAsks,
}

impl Form {
    /// Of nginx alone `gateway.rs` and the tests of rotation tell.
    const ALL: [Self; 7] = [
        Self::EnvoyAlone,
        Self::EnvoyAsks,
        Self::NginxAsks,
        Self::Caddy,
        Self::HaProxy,
        Self::ApacheAlone,
        Self::ApacheAsks,
    ];

    /// By `/authorize`, which knows access keys.
    fn takes_keys(self) -> bool {
        matches!(self, Self::EnvoyAsks | Self::NginxAsks | Self::Caddy)
    }

    /// Hears of a revocation.
    fn asks(self) -> bool {
        self.takes_keys() || self == Self::ApacheAsks
    }
}

struct Door {
    form: Form,
    url: String,
    child: Child,
    folder: TempDir,
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the parts of one door are.
struct Places<'a> {
    folder: &'a Path,
    port: u16,
    wsts: SocketAddr,
    model: SocketAddr,
}

impl Door {
    /// Before the webservice of this name.
    fn open(form: Form, service: &Service, model: SocketAddr, webservice: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("door-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(folder.path().join("ca.pem"), &service.app.deployment.ca_pem).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let places = Places { folder: folder.path(), port, wsts: service.app.public, model };
        let mut command = match form {
            Form::EnvoyAlone => envoy("envoy/envoy.yaml", &places, webservice),
            Form::EnvoyAsks => envoy("envoy/authorize.yaml", &places, webservice),
            Form::NginxAsks => nginx(&places, webservice),
            Form::Caddy => caddy(&places, webservice),
            Form::HaProxy => haproxy(&places, service),
            Form::ApacheAlone => apache(&places, None),
            Form::ApacheAsks => apache(&places, Some(service)),
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}: scripts/test installs it"));
        Self { form, url: format!("http://127.0.0.1:{port}/score"), child, folder }
    }

    fn wait_for(&mut self, credential: &str) {
        let (agent, deadline) = (agent(), Instant::now() + Duration::from_secs(20));
        loop {
            let last = ask(&agent, self, Some(credential), &[]);
            if matches!(&last, Ok((200, _))) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let tail = &log[log.len().saturating_sub(3000)..];
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{:?}: {last:?}, {ended:?}\n{tail}",
                self.form
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn written(places: &Places<'_>, name: &str, text: &str) -> String {
    std::fs::write(places.folder.join(name), text).unwrap();
    path(places.folder, name)
}

fn of_webservice(text: &str, webservice: &str) -> String {
    text.replace("onlineEndpoints/scorer", &format!("onlineEndpoints/{webservice}"))
}

fn envoy(file: &str, places: &Places<'_>, webservice: &str) -> Command {
    let address = |port: u16| format!("address: 127.0.0.1, port_value: {port} ");
    let text = substituted(
        file,
        &[
            ("address: 127.0.0.1, port_value: 8080 ", &address(places.port)),
            ("address: wsts.example, port_value: 8443 ", &address(places.wsts.port())),
            ("address: 127.0.0.1, port_value: 9000 ", &address(places.model.port())),
            ("/etc/envoy/wsts-ca.pem", &path(places.folder, "ca.pem")),
        ],
    );
    let file = written(places, "envoy.yaml", &of_webservice(&text, webservice));
    let mut command = Command::new(envoy_binary());
    command.args([
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "warn",
        "--config-path",
        &file,
    ]);
    command
}

fn nginx(places: &Places<'_>, webservice: &str) -> Command {
    let names = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let own: String =
        names.iter().map(|name| format!(" {name}_temp_path {};", path(places.folder, name))).collect();
    let text = substituted(
        "nginx/authorize.conf",
        &[
            ("http {", &format!("http {{{own}")),
            ("/run/nginx.pid", &path(places.folder, "pid")),
            ("/var/log/nginx/error.log warn", "stderr error"),
            ("server wsts.example:8443;", &format!("server {};", places.wsts)),
            ("server 127.0.0.1:9000;", &format!("server {};", places.model)),
            ("listen 127.0.0.1:8080;", &format!("listen 127.0.0.1:{};", places.port)),
            ("/etc/nginx/wsts-ca.pem", &path(places.folder, "ca.pem")),
        ],
    );
    let file = written(places, "nginx.conf", &of_webservice(&text, webservice));
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-g", "daemon off;", "-e", "stderr", "-c", &file]).arg("-p").arg(places.folder);
    command
}

fn caddy(places: &Places<'_>, webservice: &str) -> Command {
    let text = substituted(
        "caddy/Caddyfile",
        &[
            ("http://127.0.0.1:8080", &format!("http://127.0.0.1:{}", places.port)),
            ("https://wsts.example:8443", &format!("https://{}", places.wsts)),
            ("reverse_proxy 127.0.0.1:9000", &format!("reverse_proxy {}", places.model)),
            ("/etc/caddy/wsts-ca.pem", &path(places.folder, "ca.pem")),
        ],
    );
    let file = written(places, "Caddyfile", &of_webservice(&text, webservice));
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config", &file]);
    command
        .env("HOME", places.folder)
        .env("XDG_DATA_HOME", places.folder)
        .env("XDG_CONFIG_HOME", places.folder);
    command
}

fn haproxy(places: &Places<'_>, service: &Service) -> Command {
    let config = service.app.deployment.path("wsts.toml").display().to_string();
    let exported = Command::new(env!("CARGO_BIN_EXE_wsts"))
        .args(["keys", "export", "--format", "pem", "--config", &config])
        .output()
        .unwrap();
    let exported = String::from_utf8(exported.stdout).unwrap();
    let mut text = substituted(
        "haproxy/haproxy.cfg",
        &[
            ("bind 127.0.0.1:8080", &format!("bind 127.0.0.1:{}", places.port)),
            ("server model 127.0.0.1:9000", &format!("server model {}", places.model)),
        ],
    );
    // A file and a line for each key.
    let line = text.lines().find(|line| line.contains("KID.pem")).expect("the line of a key").to_owned();
    let mut lines = String::new();
    for key in exported.split("# kid ").skip(1) {
        let kid = key.split(' ').next().unwrap();
        let file = written(places, &format!("{kid}.pem"), &key[key.find("-----").unwrap()..]);
        lines.push_str(&line.replace("/etc/haproxy/wsts/KID.pem", &file).replace("KID", kid));
        lines.push('\n');
    }
    text = text.replace(&format!("{line}\n"), &lines);
    let file = written(places, "haproxy.cfg", &text);
    let mut command = Command::new("/usr/sbin/haproxy");
    command.args(["-db", "-f", &file]);
    command
}

/// The module knows the system's CAs alone, among which the test's is not: it looks at no certificate here.
fn apache(places: &Places<'_>, asks: Option<&Service>) -> Command {
    let wsts = format!("https://localhost:{}", places.wsts.port());
    let mut text = substituted(
        "apache/oauth2.conf",
        &[
            ("Listen 127.0.0.1:8080", &format!("Listen 127.0.0.1:{}", places.port)),
            ("ProxyPass http://127.0.0.1:9000/", &format!("ProxyPass http://{}/", places.model)),
            ("/run/apache2/apache2.pid", &path(places.folder, "pid")),
            ("DefaultRuntimeDir /run/apache2", &format!("DefaultRuntimeDir {}", places.folder.display())),
            ("/var/log/apache2/error.log", "/dev/stderr"),
            ("https://localhost:8443", &wsts),
            ("ssl_verify=true", "ssl_verify=false"),
        ],
    );
    if let Some(service) = asks {
        text = text.replace("    OAuth2TokenVerify jwks_uri", "    #OAuth2TokenVerify jwks_uri");
        text = text.replace("    #OAuth2TokenVerify introspect", "    OAuth2TokenVerify introspect");
        text =
            text.replace("CLIENT_ID", READER.client_id).replace("CLIENT_SECRET", service.app.secret(&READER));
    }
    let file = written(places, "apache.conf", &text);
    let mut command = Command::new("/usr/sbin/apache2");
    command.args(["-D", "FOREGROUND", "-f", &file]);
    command
}

/// Status and body of one request.
fn ask(
    agent: &ureq::Agent,
    door: &Door,
    credential: Option<&str>,
    headers: &[(&str, &str)],
) -> Result<(u16, String), String> {
    let mut request = agent.get(&door.url);
    if let Some(credential) = credential {
        request = request.header("authorization", format!("Bearer {credential}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = request.call().map_err(|error| error.to_string())?;
    let body = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), body))
}

/// A webservice behind another gateway.
const SIBLING: &str = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg-a/providers/Microsoft.MachineLearningServices/workspaces/alpha/onlineEndpoints/sibling";

fn sibling_token(service: &Service) -> String {
    service.app.token_for(&OWNER, &format!("{ISSUER}{SIBLING}"), &[]).expect(200).token()
}

/// Tokens that nobody may come in with, by what is wrong with them.
fn wrong_tokens(service: &Service) -> Vec<(&'static str, String)> {
    let good = service.token();
    let (header, claims) = decoded(&good);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = service.app.core.clock.now();
    let ring = service.app.core.key_ring.load();
    let mut expired = claims.clone();
    for name in ["iat", "nbf", "exp", "refresh_by"] {
        expired[name] = json!(expired[name].as_i64().unwrap() - 7200);
    }
    let expired = ring.active(now).unwrap().sign(&expired).unwrap();
    let other = KeyPair::generate(SigningAlgorithm::Es256).unwrap();
    let other = KeyPair::from_pkcs8(SigningAlgorithm::Es256, &other).unwrap();
    let signed = format!("{}.{}", part(&header), part(&claims));
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(other.sign(signed.as_bytes()).unwrap()));
    let mut none = header.clone();
    none["alg"] = json!("none");
    vec![
        ("another webservice's", sibling_token(service)),
        ("a management token", service.management_token()),
        ("expired", expired),
        ("of another key", forged),
        ("alg none", format!("{}.{}.", part(&none), part(&claims))),
        ("no token", "nonsense".to_owned()),
    ]
}

/// In, with who it is where the form tells; and out for every other reason.
fn tokens_come_in(door: &mut Door, service: &Service) -> usize {
    let (agent, good) = (agent(), service.token());
    door.wait_for(&good);
    let mut refused = 0;
    for (what, token) in wrong_tokens(service) {
        let found = ask(&agent, door, Some(&token), &[]);
        assert!(matches!(found, Ok((401 | 403, _))), "{:?}: {what}: {found:?}", door.form);
        refused += 1;
    }
    let found = ask(&agent, door, None, &[]);
    assert!(matches!(found, Ok((401 | 403, _))), "{:?} without a token: {found:?}", door.form);
    // What a caller says of itself reaches nobody.
    let lies = [("x-wsts-principal", "somebody"), ("x-wsts-client", "else")];
    let (status, told) = ask(&agent, door, Some(&good), &lies).unwrap();
    assert_eq!(status, 200, "{:?}: {told}", door.form);
    assert!(!told.contains("somebody") && !told.contains("else"), "{:?}: {told}", door.form);
    if door.form.takes_keys() {
        assert!(told.contains(&format!("x-wsts-principal: {}", READER.object_id)), "{:?}: {told}", door.form);
        assert!(told.contains("x-wsts-auth: token"), "{:?}: {told}", door.form);
    }
    // Nor can it have itself judged for another webservice.
    let other = sibling_token(service);
    let found = ask(&agent, door, Some(&other), &[("x-wsts-webservice", SIBLING)]);
    assert!(matches!(found, Ok((401 | 403, _))), "{:?}, named by its caller: {found:?}", door.form);
    refused + 2
}

fn revoked_is_out(door: &Door, service: &Service) {
    let (agent, token) = (agent(), service.token());
    assert!(matches!(ask(&agent, door, Some(&token), &[]), Ok((200, _))), "{:?}", door.form);
    let fields =
        [("client_id", READER.client_id), ("client_secret", service.app.secret(&READER)), ("token", &token)];
    service.app.form("/oauth2/revoke", &[], &fields).expect(200);
    let found = ask(&agent, door, Some(&token), &[]);
    assert!(matches!(found, Ok((401 | 403, _))), "{:?}: revoked: {found:?}", door.form);
}

fn keys_come_in(door: &mut Door, service: &Service) {
    let keys = |what: &str| {
        let path = format!("{}/listKeys?{V}", webservice("keyed"));
        let keys = service.app.api(&OWNER).post(&path, &json!({})).expect(200).json();
        keys[what].as_str().unwrap().to_owned()
    };
    let (agent, primary, secondary) = (agent(), keys("primaryKey"), keys("secondaryKey"));
    door.wait_for(&primary);
    let (_, told) = ask(&agent, door, Some(&secondary), &[]).unwrap();
    assert!(told.contains("x-wsts-key: secondary"), "{:?}: {told}", door.form);
    let mut wrong = primary.clone();
    wrong.replace_range(..1, if primary.starts_with('x') { "y" } else { "x" });
    for key in [wrong.as_str(), "", &service.token()] {
        let found = ask(&agent, door, Some(key), &[]);
        assert!(matches!(found, Ok((401 | 403, _))), "{:?}: a wrong key: {found:?}", door.form);
    }
    let path = format!("{}/regenerateKeys?{V}", webservice("keyed"));
    service.app.api(&OWNER).post(&path, &json!({ "keyType": "Primary" })).expect(202);
    let found = ask(&agent, door, Some(&primary), &[]);
    assert!(matches!(found, Ok((401 | 403, _))), "{:?}: the old key: {found:?}", door.form);
    assert!(matches!(ask(&agent, door, Some(&keys("primaryKey")), &[]), Ok((200, _))), "{:?}", door.form);
}

#[test]
fn the_right_credential_comes_in_and_no_other() {
    let _alone = alone();
    let mut service = Service::start(Deployment::new().config().key_policy());
    let model = model::start();
    let mut open = Vec::new();
    for form in Form::ALL {
        let mut door = Door::open(form, &service, model, "scorer");
        let refused = tokens_come_in(&mut door, &service);
        if form.asks() {
            revoked_is_out(&door, &service);
        }
        if form.takes_keys() {
            keys_come_in(&mut Door::open(form, &service, model, "keyed"), &service);
        }
        figure(&format!("{form:?}"), "wrong tokens let in", format!("0 of {refused}"), "0");
        open.push(door);
    }
    // Whoever asks lets nobody in while there is nobody to ask.
    let token = service.token();
    service.app.stop(false);
    for door in open.iter().filter(|door| door.form.asks()) {
        let found = ask(&agent(), door, Some(&token), &[]);
        assert!(!matches!(found, Ok((200, _))), "{:?}, wsts away: {found:?}", door.form);
    }
}
