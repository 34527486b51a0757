//! Disks that are full: a small file system in memory, mounted for the test. Whoever may not mount skips these.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use crate::alone;
use crate::database::storage;
use crate::deployment::{Deployment, Replica, figure, get};
use crate::load::{End, agent};
use crate::postgres_server::PostgresServer;

struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` when mounting is not allowed here.
    fn mount(at: &Path, kibibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={kibibytes}k,mode=0700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().ok()?;
        done.status.success().then(|| Self(at.to_owned()))
    }

    fn grow(&self, kibibytes: u32) {
        let size = format!("remount,size={kibibytes}k");
        assert!(Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there is about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Issues until the disk is full, then gives it room again; `restore` brings the database back, if it was away.
fn fill_and_free(
    fault: &str,
    deployment: &Deployment,
    replica: &Replica,
    disk: &SmallDisk,
    restore: impl FnOnce(),
) {
    let (agent, caller) = (agent(), &deployment.callers[0]);
    let mut received = std::collections::HashSet::new();
    let refused = loop {
        let started = Instant::now();
        match caller.ask(&agent, &replica.base) {
            End::Token(id) => {
                received.insert(id);
                assert!(received.len() < 100_000, "the disk is never full");
            }
            End::Status(503) => break started.elapsed(),
            other => panic!("{other:?}"),
        }
    };
    let jwks = get(&format!("{}/.well-known/jwks.json", replica.base)).unwrap().0;
    let (ready, text) = replica.ready().unwrap();
    disk.grow(64 * 1024);
    let freed = Instant::now();
    loop {
        match caller.ask(&agent, &replica.base) {
            End::Token(id) => {
                received.insert(id);
                break;
            }
            End::Status(503) => std::thread::sleep(Duration::from_millis(20)),
            other => panic!("{other:?}"),
        }
        assert!(freed.elapsed() < Duration::from_secs(20), "it does not recover: {}", deployment.log_tail(0));
    }
    let recovered = freed.elapsed();
    figure(fault, "tokens until it was full", received.len() - 1, "many");
    figure(fault, "503 after, ms", refused.as_millis(), "1000");
    figure(fault, "JWKS, /readyz meanwhile", format!("{jwks}, {ready} {}", text.trim()), "200, 200");
    figure(fault, "room to first token, ms", recovered.as_millis(), "5000");
    assert!(refused <= Duration::from_secs(1) && recovered < Duration::from_secs(5));
    assert_eq!((jwks, ready), (200, 200));
    // What a caller received is there, once the database has it all.
    restore();
    replica.wait_until_shipped();
    let lost = deployment.lost(&received);
    figure(fault, "tokens not in the audit", lost, "0");
    assert_eq!(lost, 0);
}

#[test]
fn a_full_disk_under_sqlite_stops_tokens_and_nothing_else() {
    let _alone = alone();
    let mut disk = None;
    // The spool is on the same disk, as it is by default.
    let storage = "sqlite_file = \"{folder}/spool-0/wsts.db\"\n";
    let deployment = Deployment::prepared(storage, 1, |folder| {
        disk = SmallDisk::mount(&folder.join("spool-0"), 2 * 1024);
    });
    let Some(disk) = disk else { return eprintln!("skipped: no file system may be mounted here") };
    let replica = deployment.start(0);
    fill_and_free("disk full, SQLite", &deployment, &replica, &disk, || {});
    drop(replica);
    let checked = integrity(&deployment.path("spool-0/wsts.db"));
    figure("disk full, SQLite", "PRAGMA integrity_check", &checked, "ok");
    assert_eq!(checked, "ok");
}

fn integrity(file: &Path) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap()
    })
}

#[test]
fn a_full_disk_under_the_spool_stops_tokens_and_nothing_else() {
    let _alone = alone();
    let mut server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), 1);
    let Some(disk) = SmallDisk::mount(&deployment.path("spool-0"), 512) else {
        return eprintln!("skipped: no file system may be mounted here");
    };
    let replica = deployment.start(0);
    let warm = deployment.callers[0].ask(&agent(), &replica.base);
    assert!(matches!(warm, End::Token(_)), "{warm:?}");
    server.crash();
    fill_and_free("disk full, spool", &deployment, &replica, &disk, || server.start_again());
}
