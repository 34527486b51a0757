//! A PostgreSQL server of the test program's own: found on this machine, made in a temporary folder, on a free loopback
//! port, and gone with the program, however that ends.
//!
//! For other test programs: `#[path = "../support/postgres_server.rs"] mod postgres_server;`. Only the standard library
//! and `tempfile` are used.

// A program that includes this file uses a part of it.
#![allow(dead_code)]

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The one user with a password; everybody else on the loopback is trusted.
pub const GUARDED: &str = "guarded";

/// What is called here; clients of the same package may lie on the path without them.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_basebackup"];

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for the end of its input, which comes with the end of whoever holds the other side, then ends the server and
/// removes its folder. It outlives a test program that was killed, and no signal meant for the group reaches it.
const KEEPER: &str = r#"
trap '' INT HUP TERM
folder=$1; shift
"$@" >"$folder/log" 2>&1 </dev/null &
server=$!
read -r _
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

pub struct PostgresServer {
    port: u16,
    folder: PathBuf,
    settings: Vec<String>,
    keeper: Child,
    /// Closed by the end of this process at the latest.
    line: Option<ChildStdin>,
}

impl PostgresServer {
    /// The one server of this test program.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<PostgresServer> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(&[], false))
    }

    /// A server of one's own, with further settings (`name=value`); as a standby it follows nobody and takes no writes.
    pub fn start(settings: &[&str], standby: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("wsts-postgres-").tempdir().expect("a folder").keep();
        let account = Account::of_the_server();
        account.give(&folder);
        let (binaries, data) = (binaries(), folder.join("data"));
        let made = account
            .command(&binaries.join("initdb"))
            .args([
                "--no-sync",
                "--no-instructions",
                "-E",
                "UTF8",
                "--locale=C",
                "-U",
                "postgres",
                "-A",
                "trust",
            ])
            .args(["-D".as_ref(), data.as_os_str()])
            .current_dir(&folder)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let hba = format!(
            "host all {GUARDED} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n\
             host replication all 127.0.0.1/32 trust\n"
        );
        std::fs::write(data.join("pg_hba.conf"), hba).expect("a file of the server");
        if standby {
            std::fs::write(data.join("standby.signal"), "").expect("a file of the server");
        }
        // Another program may take the port between the look and the start.
        for _ in 0..3 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
            let port = free.expect("a free port").port();
            if let Some(server) = Self::try_start(&folder, settings, port) {
                return server;
            }
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }

    /// A standby that follows this server.
    pub fn standby(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("wsts-standby-").tempdir().expect("a folder").keep();
        let account = Account::of_the_server();
        account.give(&folder);
        let copied = account
            .command(&binaries().join("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync"])
            .args(["-p", &self.port.to_string(), "-D"])
            .arg(folder.join("data"))
            .current_dir(&folder)
            .output()
            .expect("pg_basebackup runs");
        assert!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        Self::try_start(&folder, &[], free.expect("a free port").port()).expect("the standby starts")
    }

    /// Ends the server at once, as a crash does; what it confirmed is in its log.
    pub fn crash(&self) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let pid = pid.lines().next().expect("a line").to_owned();
        let done = Command::new("kill").args(["-QUIT", &pid]).status().expect("kill runs");
        assert!(done.success(), "no server to end");
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again after a crash, on the same port.
    pub fn start_again(&mut self) {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let started = Self::try_start(&self.folder, &settings, self.port).expect("it starts again");
        // The keeper before it has nothing left to end, and must not remove the folder.
        let mut before = std::mem::replace(self, started);
        let _ = before.keeper.kill();
        let _ = before.keeper.wait();
        before.line = None;
        std::mem::forget(before);
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    fn try_start(folder: &Path, settings: &[&str], port: u16) -> Option<Self> {
        let (account, binaries) = (Account::of_the_server(), binaries());
        let mut server = account.command(&binaries.join("postgres"));
        server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-p", &port.to_string()]);
        // A test database need not outlive its machine, and a few hundred tests have pools of their own.
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=400"].iter().chain(settings)
        {
            server.args(["-c", setting]);
        }
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(folder).arg(server.get_program()).args(server.get_args());
        let mut keeper = keeper.stdin(Stdio::piped()).current_dir("/").spawn().expect("a shell");
        let line = keeper.stdin.take();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server = Self { port, folder: folder.to_owned(), settings, keeper, line };
        let ready = folder.join(format!(".s.PGSQL.{port}.lock"));
        let pid = folder.join("data/postmaster.pid");
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            // The eighth line says so (as pg_ctl reads it).
            let said = std::fs::read_to_string(&pid).unwrap_or_default();
            if ready.exists()
                && said.lines().nth(7).is_some_and(|state| ["ready", "standby"].contains(&state.trim()))
            {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Where a database of it is reached, as its administrator.
    pub fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// The same for `user` or `user:password`.
    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            let _ = line.write_all(b"\n");
        }
        let _ = self.keeper.wait();
    }
}

/// Whoever runs the server: PostgreSQL refuses to be root.
struct Account(Option<(u32, u32)>);

impl Account {
    fn of_the_server() -> Self {
        let root = std::fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0);
        let entry = |name: &str| {
            let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?.to_owned();
            let mut numbers = line.split(':').skip(2).map(str::parse::<u32>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        };
        match root {
            true => {
                Self(Some(entry("postgres").or_else(|| entry("nobody")).expect("a user that is not root")))
            }
            false => Self(None),
        }
    }

    fn command(&self, program: &Path) -> Command {
        let Some((user, group)) = self.0 else { return Command::new(program) };
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
        command.arg(program);
        command
    }

    fn give(&self, folder: &Path) {
        let Some((user, group)) = self.0 else { return };
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).expect("our own folder");
        chown(folder, Some(user), Some(group)).expect("root may");
    }
}

/// One of the client's programs, which come with the server's.
pub fn client(program: &str) -> Command {
    Command::new(binaries().join(program))
}

/// The folder with the server's programs: on the path, or the newest of those that Debian has.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut installed: Vec<_> = installed.map(|entry| entry.path()).collect();
    installed.sort_by_key(version);
    folders.extend(installed.into_iter().rev().map(|path| path.join("bin")));
    let found =
        folders.into_iter().find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()));
    found.expect("PostgreSQL 14 or newer: install the package `postgresql`, or put its initdb and postgres on the PATH")
}
