//! A process's wall clock is set wrong by an hour and right again. libfaketime shows it another time than the machine
//! has; what passes is measured rightly, as by the steady clock of a real machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use workspace_sts::clock::{Clock as _, SystemClock};

use crate::alone;
use crate::database::storage;
use crate::deployment::{Deployment, Replica, figure, get, is_full};
use crate::load::{End, Load, Route, Seen};
use crate::postgres_server::PostgresServer;

const CALLERS: usize = 4;
const TOKEN_LIFE: i64 = 3600;
const TOLERATED: i64 = 5;

/// What one process takes for the time.
struct FalseClock {
    library: PathBuf,
    file: PathBuf,
}

impl FalseClock {
    fn of(deployment: &Deployment) -> Self {
        let library = std::fs::read_dir("/usr/lib")
            .unwrap()
            .map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.is_file());
        let library = library.expect("libfaketime: install the package `faketime`");
        let clock = Self { library, file: deployment.path("faketime") };
        clock.set(0);
        clock
    }

    /// So many seconds ahead of the machine's.
    fn set(&self, ahead: i64) {
        // At once: a file that is half written would be no time at all.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{ahead:+}\n")).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    /// A replica that goes by it.
    fn start(&self, deployment: &Deployment) -> Replica {
        let replica = deployment.start_in(0, &self.environment());
        // What the library keeps for children, of which there are none; a process that is killed would leave it behind.
        for kept in ["faketime_shm_", "sem.faketime_sem_"] {
            let _ = std::fs::remove_file(format!("/dev/shm/{kept}{}", replica.process()));
        }
        replica
    }

    fn environment(&self) -> [(&'static str, &OsStr); 4] {
        let (library, file): (&Path, &Path) = (&self.library, &self.file);
        [
            ("LD_PRELOAD", library.as_os_str()),
            ("FAKETIME_TIMESTAMP_FILE", file.as_os_str()),
            ("FAKETIME_NO_CACHE", OsStr::new("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", OsStr::new("1")),
        ]
    }
}

/// Unix time by the machine's clock.
fn real_now() -> i64 {
    SystemClock.now().timestamp()
}

/// Everything that callers received, with the real time at which each began to ask.
#[derive(Default)]
struct Received(Vec<(String, i64)>);

impl Received {
    fn add(&mut self, seen: &Seen, began: i64) {
        for sample in &seen.0 {
            if let End::Token(id) = &sample.end {
                // Rounded down, so that no token seems to be from later than it may.
                self.0.push((id.clone(), began + sample.at.as_secs().cast_signed()));
            }
        }
    }

    /// How far `iat` of each was ahead of the real time, most and least.
    fn farthest(&self, deployment: &Deployment) -> (i64, i64) {
        let audited = deployment.audited_tokens();
        let ahead = |(id, asked): &(String, i64)| {
            let expires_at = audited.get(id).expect("every token is in the audit");
            chrono::DateTime::parse_from_rfc3339(expires_at).unwrap().timestamp() - TOKEN_LIFE - asked
        };
        let all: Vec<i64> = self.0.iter().map(ahead).collect();
        (all.iter().copied().max().unwrap(), all.iter().copied().min().unwrap())
    }
}

/// The clock jumps under load, stays so for a while, and is set right.
fn jump(
    fault: &str,
    deployment: &Deployment,
    replica: &Replica,
    (clock, ahead): (&FalseClock, i64),
    received: &mut Received,
) {
    let (began, since) = (real_now(), Instant::now());
    let load = Load::start(&Route::to(&[&replica.base]), &deployment.callers);
    std::thread::sleep(Duration::from_millis(500));
    clock.set(ahead);
    let jumped = since.elapsed();
    std::thread::sleep(Duration::from_secs(if is_full() { 30 } else { 7 }));
    let (ready, why) = replica.ready().unwrap();
    let jwks = get(&format!("{}/.well-known/jwks.json", replica.base)).unwrap().0;
    let offset = replica.metric("sts_clock_offset_seconds");
    let righted = since.elapsed();
    clock.set(0);
    std::thread::sleep(Duration::from_secs(2));
    let seen = load.stop();
    received.add(&seen, began);
    let tokens = |from: Duration, until: Duration| {
        let within = move |at: &Duration| (from..until).contains(at);
        let good = seen.0.iter().filter(|sample| matches!(sample.end, End::Token(_)));
        good.map(|sample| sample.at + sample.took).filter(within)
    };
    let stopped = tokens(jumped, righted).max().map_or(Duration::ZERO, |last| last - jumped);
    let recovered = tokens(righted, Duration::MAX).min().expect("it does not recover") - righted;
    let others = seen.0.iter().filter(|sample| !matches!(sample.end, End::Token(_) | End::Status(503)));
    figure(fault, "tokens before it", tokens(Duration::ZERO, jumped).count(), "many");
    figure(fault, "jump to last token, ms", stopped.as_millis(), "5000");
    figure(fault, "sts_clock_offset_seconds meanwhile", format!("{offset:.3}"), &format!("{ahead}"));
    figure(fault, "JWKS, /readyz meanwhile", format!("{jwks}, {ready}"), "200, 503");
    eprintln!("{fault:<28} {}", why.trim());
    figure(fault, "right again to first token, ms", recovered.as_millis(), "5000");
    figure(fault, "answers that are neither token nor 503", others.clone().count(), "0");
    assert!(tokens(Duration::ZERO, jumped).count() > 10, "the load was no load");
    assert!(stopped < Duration::from_secs(5) && recovered < Duration::from_secs(5));
    assert_eq!((jwks, ready), (200, 503));
    assert!(why.contains("this machine's clock") && why.contains("NTP"), "{why}");
    assert!((offset - ahead as f64).abs() < 1.0);
    assert_eq!(others.count(), 0);
    assert_eq!(replica.ready().unwrap(), (200, "ready\n".to_owned()));
}

fn judge(fault: &str, deployment: &Deployment, received: &Received) {
    let (most, least) = received.farthest(deployment);
    figure(fault, "tokens received", received.0.len(), "many, all in the audit");
    figure(fault, "farthest iat ahead of real time, s", most, "5");
    figure(fault, "farthest iat behind it, s", -least, "5");
    assert!(most <= TOLERATED && least >= -TOLERATED);
}

#[test]
fn a_clock_that_jumps_stops_tokens_on_sqlite() {
    let _alone = alone();
    let deployment = Deployment::on_sqlite(CALLERS);
    let clock = FalseClock::of(&deployment);
    let replica = clock.start(&deployment);
    let mut received = Received::default();
    for (fault, ahead) in [("clock +1 h, SQLite", 3600), ("clock -1 h, SQLite", -3600)] {
        jump(fault, &deployment, &replica, (&clock, ahead), &mut received);
    }
    judge("clock jumps, SQLite", &deployment, &received);
}

#[test]
fn a_clock_that_jumps_stops_tokens_on_postgres() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), CALLERS);
    let clock = FalseClock::of(&deployment);
    let replica = clock.start(&deployment);
    let mut received = Received::default();
    for (fault, ahead) in [("clock +1 h, PostgreSQL", 3600), ("clock -1 h, PostgreSQL", -3600)] {
        jump(fault, &deployment, &replica, (&clock, ahead), &mut received);
    }
    judge("clock jumps, PostgreSQL", &deployment, &received);
}

#[test]
fn a_clock_that_jumps_while_the_database_is_away_stops_tokens_too() {
    let _alone = alone();
    let mut server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), CALLERS);
    let clock = FalseClock::of(&deployment);
    let replica = clock.start(&deployment);
    let route = Route::to(&[&replica.base]);
    Load::run_for(&route, &deployment.callers, Duration::from_millis(500));
    server.crash();
    let quiet = Load::run_for(&route, &deployment.callers, Duration::from_secs(2));
    clock.set(3600);
    let during = Load::run_for(&route, &deployment.callers, Duration::from_secs(2));
    let (ready, why) = replica.ready().unwrap();
    clock.set(0);
    let after = Load::run_for(&route, &deployment.callers, Duration::from_secs(1));
    let fault = "clock +1 h, no database";
    figure(
        fault,
        "tokens before, after",
        format!("{}, {}", quiet.tokens().len(), after.tokens().len()),
        "many",
    );
    figure(fault, "tokens meanwhile", during.tokens().len(), "0");
    figure(fault, "/readyz meanwhile", ready, "503");
    server.start_again();
    replica.wait_until_shipped();
    assert!(during.tokens().is_empty() && !quiet.tokens().is_empty() && !after.tokens().is_empty());
    assert!(ready == 503 && why.contains("ahead of the database server's"), "{why}");
    let received = quiet.tokens().union(&after.tokens()).cloned().collect();
    assert_eq!(deployment.lost(&received), 0);
}

#[test]
fn a_start_with_a_wrong_clock_is_refused() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), 1);
    let clock = FalseClock::of(&deployment);
    for ahead in [3600, -3600] {
        clock.set(ahead);
        let (mut replica, started) = (deployment.spawn(0, &clock.environment()), Instant::now());
        let ended = loop {
            match replica.ended() {
                Some(status) => break status,
                None => assert!(started.elapsed() < Duration::from_secs(10), "it goes on"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let why = deployment.log_tail(0);
        figure("start, clock 1 h off", "exit", ended.code().unwrap_or_default(), "1");
        assert!(!ended.success() && why.contains("the database server's") && why.contains("NTP"), "{why}");
    }
    clock.set(0);
    drop(clock.start(&deployment));
}
