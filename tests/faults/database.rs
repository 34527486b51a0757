//! The database goes away, comes back, or answers late.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::alone;
use crate::deployment::{Caller, Deployment, Replica, figure, get, is_full};
use crate::load::{End, Load, Route, Seen, agent};
use crate::postgres_server::{PostgresServer, client};
use crate::proxy::Proxy;

/// Callers whose facts are in memory; those behind them are not asked for before the fault.
const WARM: usize = 8;

pub fn storage(port: u16) -> String {
    format!("postgres_url = \"postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable\"\n")
}

/// Asks for the JWKS all the time and counts what is not a 200.
struct JwksWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, u32)>,
}

impl JwksWatch {
    fn start(base: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url) = (Arc::clone(&stop), format!("{base}/.well-known/jwks.json"));
        let thread = std::thread::spawn(move || {
            let (mut asked, mut bad) = (0, 0);
            while !stopped.load(Ordering::SeqCst) {
                asked += 1;
                bad += u32::from(get(&url).is_none_or(|(status, _)| status != 200));
                std::thread::sleep(Duration::from_millis(20));
            }
            (asked, bad)
        });
        Self { stop, thread }
    }

    fn stop(self) -> (u32, u32) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

/// A caller that nobody knows in memory: 503, soon.
fn ask_cold(caller: &Caller, replica: &Replica) -> (End, Duration) {
    let started = Instant::now();
    (caller.ask(&agent(), &replica.base), started.elapsed())
}

/// What was seen before, during and after a fault.
struct Course {
    quiet: Seen,
    during: Seen,
    cold: (End, Duration),
    jwks: (u32, u32),
    readyz: String,
    /// From the end of the fault to a token that needed the database.
    first_good: Duration,
    received: HashSet<String>,
}

/// Load, a fault for some time, and its end.
fn endure(
    deployment: &Deployment,
    replica: &Replica,
    lasting: Duration,
    begin: impl FnOnce(),
    end: impl FnOnce(),
) -> Course {
    let route = Route::to(&[&replica.base]);
    let warm = &deployment.callers[..WARM];
    // Everybody's facts are read once; then the quiet figures.
    Load::run_for(&route, warm, Duration::from_millis(500));
    let quiet = Load::run_for(&route, warm, lasting.min(Duration::from_secs(10)));
    let jwks = JwksWatch::start(&replica.base);
    let load = Load::start(&route, warm);
    begin();
    std::thread::sleep(lasting / 2);
    let cold = ask_cold(&deployment.callers[WARM], replica);
    let readyz =
        replica.ready().map(|(status, text)| format!("{status} {}", text.trim())).unwrap_or_default();
    std::thread::sleep((lasting / 2).saturating_sub(cold.1));
    end();
    let ended = Instant::now();
    let first_good = loop {
        if matches!(ask_cold(&deployment.callers[WARM + 1], replica).0, End::Token(_)) {
            break ended.elapsed();
        }
        assert!(ended.elapsed() < Duration::from_secs(30), "it does not recover");
        std::thread::sleep(Duration::from_millis(20));
    };
    replica.wait_until_shipped();
    let during = load.stop();
    let mut received = quiet.tokens();
    received.extend(during.tokens());
    Course { quiet, during, cold, jwks: jwks.stop(), readyz, first_good, received }
}

fn judge(fault: &str, deployment: &Deployment, course: &Course) {
    let lost = deployment.lost(&course.received);
    let (quiet, during) = (course.quiet.percentile(0.99), course.during.percentile(0.99));
    figure(fault, "tokens received", course.received.len(), "many");
    figure(
        fault,
        "good answers to warm callers, %",
        format!("{:.3}", course.during.good_share()),
        "99.9 at least",
    );
    figure(
        fault,
        "p99 of warm callers, ms (quiet)",
        format!("{during:.1} ({quiet:.1})"),
        "2 x quiet, if it lasts",
    );
    figure(fault, "p99.9 of warm callers, ms", format!("{:.1}", course.during.percentile(0.999)), "");
    figure(
        fault,
        "a cold caller",
        format!("{:?} {} ms", course.cold.0, course.cold.1.as_millis()),
        "503 within 1000 ms",
    );
    figure(fault, "/readyz", &course.readyz, "200, degraded");
    figure(fault, "JWKS asked, not 200", format!("{} / {}", course.jwks.0, course.jwks.1), "0 of them");
    figure(fault, "end to first good write, ms", course.first_good.as_millis(), "5000");
    figure(fault, "tokens not in the audit", lost, "0");
    assert!(course.during.good_share() >= 99.9, "{:?}", course.during.bad());
    assert_eq!(course.jwks.1, 0);
    assert!(course.first_good < Duration::from_secs(5));
    assert_eq!(lost, 0);
}

/// Of a fault that lasts. A few seconds, or an unoptimised build, say nothing about the slowest of a hundred.
fn judge_speed(course: &Course) {
    let (quiet, during) = (course.quiet.percentile(0.99), course.during.percentile(0.99));
    assert!(!is_full() || during <= 2.0 * quiet, "p99 {during:.1} ms, quiet {quiet:.1} ms");
}

fn judge_cold(course: &Course) {
    assert_eq!(course.cold.0, End::Status(503));
    assert!(course.cold.1 <= Duration::from_secs(1), "{:?}", course.cold.1);
    assert_eq!(course.readyz, "200 ready, degraded: the database is away");
}

#[test]
fn a_database_that_is_down_stops_no_warm_caller() {
    let _alone = alone();
    let server = std::cell::RefCell::new(PostgresServer::start(&[], false));
    let deployment = Deployment::new(&storage(server.borrow().port()), WARM + 2);
    let replica = deployment.start(0);
    let lasting = Duration::from_secs(if is_full() { 60 } else { 4 });
    let course = endure(
        &deployment,
        &replica,
        lasting,
        || server.borrow().crash(),
        || server.borrow_mut().start_again(),
    );
    judge("database down", &deployment, &course);
    judge_cold(&course);
    judge_speed(&course);
}

#[test]
fn a_database_that_answers_late_is_as_one_that_is_down() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    let proxy = Proxy::to(server.port());
    let deployment = Deployment::new(&storage(proxy.port()), WARM + 2);
    let replica = deployment.start(0);
    let lasting = Duration::from_secs(if is_full() { 60 } else { 6 });
    let before = replica.resident_mib();
    let course = endure(
        &deployment,
        &replica,
        lasting,
        || proxy.delay(Duration::from_secs(5)),
        || proxy.delay(Duration::ZERO),
    );
    judge("database slow (+5 s)", &deployment, &course);
    figure(
        "database slow (+5 s)",
        "resident before, after, MiB",
        format!("{before:.0}, {:.0}", replica.resident_mib()),
        "",
    );
    judge_cold(&course);
    judge_speed(&course);
}

fn execute(server: &PostgresServer, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    });
}

#[test]
fn a_standby_that_takes_over_has_every_record() {
    let _alone = alone();
    let primary = PostgresServer::start(&[], false);
    let proxy = Proxy::to(primary.port());
    let deployment = Deployment::new(&storage(proxy.port()), WARM + 2);
    let standby = primary.standby();
    // What is confirmed is on both: without it the last confirmed records of the primary would be lost with it.
    execute(&primary, "ALTER SYSTEM SET synchronous_standby_names = '*'");
    execute(&primary, "SELECT pg_reload_conf()");
    let replica = deployment.start(0);
    let course = endure(
        &deployment,
        &replica,
        Duration::from_secs(if is_full() { 20 } else { 2 }),
        || primary.crash(),
        || {
            execute(&standby, "SELECT pg_promote()");
            proxy.turn_to(standby.port());
        },
    );
    judge("database failed over", &deployment, &course);
}

#[test]
fn a_dump_that_is_restored_has_the_same_keys_and_the_same_audit() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), 2);
    let replica = deployment.start(0);
    let seen = Load::run_for(&Route::to(&[&replica.base]), &deployment.callers, Duration::from_millis(500));
    let keys = get(&format!("{}/.well-known/jwks.json", replica.base)).unwrap().1;
    let dump = deployment.path("dump");
    let run = |program: &str, args: &[&str]| {
        let ended = client(program).args(args).output().unwrap();
        assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
    };
    run("pg_dump", &["-Fc", "-f", dump.to_str().unwrap(), "-d", &server.url("postgres")]);
    drop((replica, server));
    let server = PostgresServer::start(&[], false);
    run("pg_restore", &["-d", &server.url("postgres"), dump.to_str().unwrap()]);
    let restored = deployment.moved_to(&storage(server.port()));
    let replica = restored.start(0);
    assert_eq!(get(&format!("{}/.well-known/jwks.json", replica.base)).unwrap().1, keys);
    let lost = restored.lost(&seen.tokens());
    figure(
        "dump and restore",
        "tokens before, not in the audit after",
        format!("{}, {lost}", seen.tokens().len()),
        "0",
    );
    assert!(lost == 0 && !seen.tokens().is_empty());
    assert!(matches!(restored.callers[0].ask(&agent(), &replica.base), End::Token(_)));
}

#[test]
fn a_restart_of_the_database_loses_nothing() {
    let _alone = alone();
    let server = std::cell::RefCell::new(PostgresServer::start(&[], false));
    let deployment = Deployment::new(&storage(server.borrow().port()), WARM + 2);
    let replica = deployment.start(0);
    let course = endure(
        &deployment,
        &replica,
        Duration::from_secs(1),
        || {
            server.borrow().crash();
            server.borrow_mut().start_again();
        },
        || {},
    );
    judge("database restarted", &deployment, &course);
}
