//! Running the binary.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The principals and the webservice of config/quickstart.toml.
pub const READER: &str = "33333333-3333-3333-3333-333333333333";
pub const STRANGER: &str = "55555555-5555-5555-5555-555555555555";
pub const WORKSPACE: &str = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/demo-rg/providers/Microsoft.MachineLearningServices/workspaces/demo";

/// A port that nobody listens on, each time another one, and below those that the system gives to outgoing connections:
/// one of these would be taken by somebody else's request before the service listens.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::SeqCst) % 1000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A folder with an empty home in it and two ports of its own.
pub struct Place {
    folder: TempDir,
    pub port: u16,
    pub ops_port: u16,
}

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Place {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let [port, ops_port] = [(); 2].map(|()| free_port());
        Self { folder, port, ops_port }
    }

    /// A place with a demo deployment in `wsts-data`.
    pub fn with_demo() -> Self {
        let place = Self::new();
        place.quickstart().expect(0);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsts"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.path("home"))
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    pub fn quickstart(&self) -> Ended {
        let (port, ops) = (self.port.to_string(), self.ops_port.to_string());
        self.run(&["quickstart", "--once", "--port", &port, "--ops-port", &ops])
    }

    /// A command over the demo deployment.
    pub fn over_demo(&self, args: &[&str]) -> Ended {
        self.run(&[args, &["--config", "wsts-data/wsts.toml"]].concat())
    }

    /// Every audit record, newest first.
    pub fn audit(&self) -> Vec<serde_json::Value> {
        let listed = self.over_demo(&["audit", "list", "--format", "json", "--limit", "100000"]).expect(0);
        listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Serves the demo until dropped.
    pub fn serve(&self) -> Serving {
        self.serve_with("wsts-data/wsts.toml")
    }

    pub fn serve_with(&self, config: &str) -> Serving {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child =
            self.command(&["serve", "--config", config]).stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let serving = Serving(child);
        wait_until(|| self.healthcheck().code == Some(0));
        serving
    }

    pub fn healthcheck(&self) -> Ended {
        self.run(&["healthcheck", "--url", &format!("http://127.0.0.1:{}/readyz", self.ops_port)])
    }
}

/// A running `wsts serve`.
pub struct Serving(Child);

impl Serving {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The exit code, within 20 s.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until(|| {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
pub fn wait_until(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "not within 20 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Permission bits of a file.
pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
