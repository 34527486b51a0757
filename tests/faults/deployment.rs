//! A deployment with real processes: files in a temporary folder, replicas of the real binary, and what the audit holds
//! in the end.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::BufRead as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;

use crate::load::{End, agent, token_id};

const TENANT: &str = "33333333-3333-4333-8333-333333333333";
const SUBSCRIPTION: &str = "44444444-4444-4444-8444-444444444444";
const ISSUER: &str = "http://localhost";

/// Somebody with a secret and the Reader role.
#[derive(Debug, Clone)]
pub struct Caller {
    client_id: String,
    secret: String,
}

impl Caller {
    /// What asks for a token for the one webservice.
    fn form(&self) -> [(&'static str, String); 4] {
        [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", self.client_id.clone()),
            ("client_secret", self.secret.clone()),
            ("resource", format!("{ISSUER}{}/onlineEndpoints/scorer", workspace())),
        ]
    }

    /// The bytes of the whole request, over HTTP/1.1.
    pub fn request(&self) -> Vec<u8> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(self.form()).finish();
        let head = "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// `wsts token` as this caller at these addresses, with what it is told beside them.
    pub fn command(&self, bases: &[&str], more: &[&str]) -> Command {
        let mut command = wsts();
        command.args(["token", "--verbose", "--client-id", &self.client_id, "--webservice"]);
        command.arg(format!("{}/onlineEndpoints/scorer", workspace()));
        command.args(bases.iter().flat_map(|base| ["--url", base])).args(more);
        command.env("WSTS_CLIENT_SECRET", &self.secret);
        command
    }

    /// Asks for a token.
    pub fn ask(&self, agent: &ureq::Agent, base: &str) -> End {
        let mut answer = match agent.post(format!("{base}/oauth2/token")).send_form(self.form()) {
            Ok(answer) => answer,
            Err(error) => return End::Broken(error.to_string()),
        };
        let status = answer.status().as_u16();
        let body = match answer.body_mut().read_to_string() {
            Ok(body) => body,
            Err(error) => return End::Broken(error.to_string()),
        };
        if status != 200 {
            return End::Status(status);
        }
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON with a 200");
        End::Token(token_id(answer["access_token"].as_str().unwrap()).unwrap())
    }
}

fn workspace() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/faults-rg/providers/Microsoft.MachineLearningServices/workspaces/faults"
    )
}

pub struct Deployment {
    pub folder: TempDir,
    /// `[storage]` of the configuration, without its heading.
    storage: String,
    pub callers: Vec<Caller>,
    /// Of each replica, for its listener and its ops listener: the same after a restart.
    ports: Vec<[u16; 2]>,
    /// Of each replica; all are of one region unless a test says otherwise.
    regions: [&'static str; REPLICAS],
}

/// Replicas that a deployment may have.
const REPLICAS: usize = 2;

impl Deployment {
    /// With so many callers, on the database that `storage` names.
    pub fn new(storage: &str, callers: usize) -> Self {
        Self::prepared(storage, callers, |_| {})
    }

    /// The same in a folder that the test has a hand in first.
    pub fn prepared(storage: &str, callers: usize, prepare: impl FnOnce(&Path)) -> Self {
        // Not in the system's temporary folder: that may be memory, where nothing is ever synced.
        let folder =
            tempfile::Builder::new().prefix("faults-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        prepare(folder.path());
        let mut deployment = Self {
            folder,
            storage: storage.to_owned(),
            callers: Vec::new(),
            ports: Vec::new(),
            regions: ["local"; REPLICAS],
        };
        deployment.ports = (0..REPLICAS).map(|_| [free_port(), free_port()]).collect();
        for (name, byte) in [("kek", 1_u8), ("pepper", 2)] {
            std::fs::write(deployment.path(name), URL_SAFE_NO_PAD.encode([byte; 32])).unwrap();
        }
        let secrets = deployment.path("secrets");
        deployment.apply(callers, &["--secrets-to", secrets.to_str().unwrap()]);
        let secrets = std::fs::read_to_string(secrets).unwrap();
        deployment.callers = secrets
            .lines()
            .map(|line| {
                let shown: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| shown[name].as_str().unwrap().to_owned();
                Caller { client_id: text("client_id"), secret: text("client_secret") }
            })
            .collect();
        assert_eq!(deployment.callers.len(), callers);
        deployment
    }

    /// With a replica in each of these regions.
    pub fn in_regions(mut self, regions: [&'static str; REPLICAS]) -> Self {
        self.regions = regions;
        self
    }

    /// `[[regions]]`, if there are several.
    fn listed(&self) -> String {
        if self.regions.iter().all(|region| *region == self.regions[0]) {
            return String::new();
        }
        let entry = |(number, name): (usize, &&str)| {
            format!("[[regions]]\nname = \"{name}\"\nurl = \"{}\"\n", Replica::base(number, self))
        };
        self.regions.iter().enumerate().map(entry).collect()
    }

    /// The same on another database.
    pub fn moved_to(mut self, storage: &str) -> Self {
        storage.clone_into(&mut self.storage);
        self
    }

    /// Makes the registry that of so many callers, as the command line does: by a process of its own.
    pub fn apply(&self, callers: usize, args: &[&str]) {
        let file = self.path("registry.toml");
        std::fs::write(&file, registry(callers)).unwrap();
        let done = wsts()
            .args(["apply", "--config"])
            .arg(self.config(0))
            .arg("-f")
            .arg(file)
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// On SQLite.
    pub fn on_sqlite(callers: usize) -> Self {
        Self::new("sqlite_file = \"{folder}/wsts.db\"\n", callers)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of a replica. Few principals make all of the load, from one address, so
    /// neither has a limit.
    fn config(&self, replica: usize) -> PathBuf {
        let ports = self.ports[replica];
        let folder = self.folder.path().display().to_string();
        let storage = self.storage.replace("{folder}", &folder);
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{}\"\nissuer = \"{ISSUER}\"\nunready_seconds = 1\n[ops]\nlisten = \"127.0.0.1:{}\"\n\
             [region]\nname = \"{}\"\n{}[storage]\n{storage}[secrets]\nkek_file = \"{folder}/kek\"\n\
             pepper_file = \"{folder}/pepper\"\n[audit]\nspool_file = \"{folder}/spool-{replica}/wsts.spool\"\n\
             [log]\nformat = \"json\"\n\
             [limits]\nmax_tokens_per_principal_per_minute = 0\nmax_connections_per_address = 0\n",
            ports[0],
            ports[1],
            self.regions[replica],
            self.listed(),
        );
        std::fs::create_dir_all(self.path(&format!("spool-{replica}"))).unwrap();
        let path = self.path(&format!("replica-{replica}.toml"));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts a replica and waits until it is ready.
    pub fn start(&self, number: usize) -> Replica {
        self.start_in(number, &[])
    }

    /// The same with more in its environment.
    pub fn start_in(&self, number: usize, environment: &[(&str, &OsStr)]) -> Replica {
        let started = Instant::now();
        let mut replica = self.spawn(number, environment);
        while replica.ready().is_none_or(|(status, _)| status != 200) {
            let ended = replica.ended();
            let log = || std::fs::read_to_string(self.log(number)).unwrap_or_default();
            assert!(ended.is_none() && started.elapsed() < Duration::from_secs(30), "not ready: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        replica.took = started.elapsed();
        replica
    }

    /// Starts a replica that may end at once.
    pub fn spawn(&self, number: usize, environment: &[(&str, &OsStr)]) -> Replica {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(self.log(number)).unwrap();
        let mut command = wsts();
        command.args(["serve", "--config"]).arg(self.config(number)).envs(environment.iter().copied());
        let child = command.stderr(log).spawn().unwrap();
        let [base, ops] = self.ports[number].map(|port| format!("http://127.0.0.1:{port}"));
        Replica { child, base, ops, took: Duration::ZERO }
    }

    /// The last lines that a replica logged, for a test that fails.
    pub fn log_tail(&self, number: usize) -> String {
        let log = std::fs::read_to_string(self.log(number)).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(8).collect();
        lines.join("\n")
    }

    fn log(&self, number: usize) -> PathBuf {
        self.path(&format!("log-{number}"))
    }

    /// `jti` of every token in the audit, each there once, after the chains were verified.
    pub fn audited(&self) -> HashSet<String> {
        self.audited_tokens().into_keys().collect()
    }

    /// The same with the `exp` of each token.
    pub fn audited_tokens(&self) -> HashMap<String, String> {
        let config = self.path("replica-0.toml");
        let verified = wsts().args(["audit", "verify", "--config"]).arg(&config).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success(), "the chains don't hold: {said}");
        let mut export =
            wsts().args(["audit", "export", "--config"]).arg(&config).stdout(Stdio::piped()).spawn().unwrap();
        let mut found = HashMap::new();
        for line in std::io::BufReader::new(export.stdout.take().unwrap()).lines() {
            let entry: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            if let Some(id) = entry["token_id"].as_str() {
                let expires_at = entry["expires_at"].as_str().unwrap().to_owned();
                let before = found.insert(id.to_owned(), expires_at);
                assert!(before.is_none(), "token {id} stands in the audit twice");
            }
        }
        assert!(export.wait().unwrap().success());
        found
    }

    /// How many of these tokens the audit does not hold.
    pub fn lost(&self, tokens: &HashSet<String>) -> usize {
        let audited = self.audited();
        tokens.iter().filter(|id| !audited.contains(*id)).count()
    }
}

/// A running process of the service. Killed when dropped.
pub struct Replica {
    child: Child,
    pub base: String,
    pub ops: String,
    /// From the start of the process to its readiness.
    pub took: Duration,
}

impl Replica {
    /// What `/readyz` says; `None` when nobody answers.
    pub fn ready(&self) -> Option<(u16, String)> {
        get(&format!("{}/readyz", self.ops))
    }

    pub fn base(number: usize, deployment: &Deployment) -> String {
        format!("http://127.0.0.1:{}", deployment.ports[number][0])
    }

    /// The value of a metric without labels but the region.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = get(&format!("{}/metrics", self.ops)).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until no record is in the spool; how long that took.
    pub fn wait_until_shipped(&self) -> Duration {
        let started = Instant::now();
        while self.metric("sts_audit_spool_records") > 0.0 {
            assert!(started.elapsed() < Duration::from_secs(60), "the spool is not shipped");
            std::thread::sleep(Duration::from_millis(20));
        }
        started.elapsed()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM: it drains.
    pub fn terminate(&self) {
        signal(self.child.id(), "TERM");
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(process: u32, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(done.success());
}

pub fn get(url: &str) -> Option<(u16, String)> {
    let mut answer = agent().get(url).call().ok()?;
    Some((answer.status().as_u16(), answer.body_mut().read_to_string().ok()?))
}

/// The binary, without settings of whoever runs the tests.
pub fn wsts() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsts"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WSTS_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn registry(callers: usize) -> String {
    let workspace = workspace();
    let mut text = format!(
        "[[tenants]]\nid = \"{TENANT}\"\nname = \"faults\"\n\
         [[subscriptions]]\nid = \"{SUBSCRIPTION}\"\ntenant = \"{TENANT}\"\nname = \"faults\"\n\
         [[workspaces]]\nid = \"{workspace}\"\nhome_region = \"local\"\nfailover_regions = [\"beside\"]\n\
         [[webservices]]\nworkspace = \"{workspace}\"\nname = \"scorer\"\ncompute_type = \"AKS\"\nauth_mode = \"token\"\n"
    );
    for number in 0..callers {
        let client = format!("11111111-1111-4111-8111-{number:012}");
        text += &format!(
            "[[principals]]\nclient_id = \"{client}\"\ntenant = \"{TENANT}\"\nname = \"caller {number}\"\nsecret_lifetime_days = 1\n\
             [[role_assignments]]\nprincipal = \"{client}\"\nrole = \"Reader\"\nscope = \"{workspace}\"\n"
        );
    }
    text
}

/// Whether the long form was asked for.
pub fn is_full() -> bool {
    std::env::var_os("WSTS_FAULTS_FULL").is_some()
}

/// Prints a figure beside the one that must hold.
pub fn figure(fault: &str, what: &str, found: impl std::fmt::Display, wanted: &str) {
    eprintln!("{fault:<28} {what:<46} {found:>14}   {wanted}");
}
