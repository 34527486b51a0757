//! PostgreSQL for the suite: a database of its own on the one server of the test program; and what only it can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _};
use workspace_sts::clock::{Clock as _, SystemClock};
use workspace_sts::domain::audit::AuditRecord;
use workspace_sts::domain::ids::ReplicaId;
use workspace_sts::domain::latency::Span;
use workspace_sts::storage::postgres::{PostgresSettings, PostgresStore};
use workspace_sts::storage::{Mutation, Replica, Result, StorageError, Store};
use zeroize::Zeroizing;

use crate::database::Database;
use crate::postgres_server::{GUARDED, PostgresServer};
use crate::samples::*;

pub struct PostgresDatabase(String);

/// Ordered as a dictionary is, so that whatever forgets COLLATE "C" is seen.
pub async fn fresh() -> PostgresDatabase {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let database = PostgresDatabase(format!("wsts_{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let mut server = administrator("postgres").await;
    let version = server.server_version_num().unwrap_or_default();
    // Older ones have the locales of the operating system only, of which there may be none.
    let locale = if version >= 150_000 { "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" } else { "" };
    let sql = format!("CREATE DATABASE {} TEMPLATE template0 {locale}", database.0);
    execute(&mut server, &sql).await;
    database
}

async fn administrator(database: &str) -> PgConnection {
    let url = PostgresServer::shared().url(database);
    PgConnection::connect(&url).await.expect("the server of the tests answers")
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("lawful SQL");
}

fn settings(url: String) -> PostgresSettings {
    // Many tests share few cores.
    PostgresSettings {
        acquire_timeout_milliseconds: 10_000,
        statement_timeout_milliseconds: 10_000,
        ..PostgresSettings::new(Zeroizing::new(url))
    }
}

impl PostgresDatabase {
    fn settings(&self) -> PostgresSettings {
        settings(PostgresServer::shared().url(&self.0))
    }

    async fn execute(&self, sql: &str) {
        execute(&mut administrator(&self.0).await, sql).await;
    }

    async fn row(&self, sql: &str) -> PgRow {
        sqlx::query(AssertSqlSafe(sql))
            .fetch_one(&mut administrator(&self.0).await)
            .await
            .expect("lawful SQL")
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.0);
        // Within a runtime no other one may be waited for.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { execute(&mut administrator("postgres").await, &sql).await });
        });
        // A test that has failed already fails for its own reason.
        let _ = dropped.join();
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    async fn open(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(PostgresStore::open(&self.settings()).await?))
    }

    fn configured(&self) -> String {
        let url = PostgresServer::shared().url(&self.0);
        // Many tests share few cores.
        format!(
            "postgres_url = {url:?}\npostgres_acquire_timeout_milliseconds = 10000\n\
             postgres_statement_timeout_milliseconds = 10000"
        )
    }

    async fn run(&self, sql: &str) {
        self.execute(sql).await;
    }

    async fn pretend_newer_migration(&self) {
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                   VALUES (9999, 'from the future', true, '\\x00', 0)";
        self.execute(sql).await;
    }

    async fn pretend_altered_migration(&self) {
        self.execute("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1").await;
    }
}

async fn refusal(settings: &PostgresSettings) -> String {
    let error = PostgresStore::open(settings).await.err().expect("it is refused").to_string();
    assert!(!error.contains('\n'), "more than a line: {error}");
    error
}

#[tokio::test]
async fn a_standby_is_refused() {
    let standby = tokio::task::spawn_blocking(|| PostgresServer::start(&[], true)).await.unwrap();
    let error = refusal(&settings(standby.url("postgres"))).await;
    assert!(error.contains("standby") && error.contains("name the primary"), "{error}");
    tokio::task::spawn_blocking(move || drop(standby)).await.unwrap();
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_refused() {
    let database = fresh().await;
    database.execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.0)).await;
    let error = refusal(&database.settings()).await;
    assert!(error.contains("read only") && error.contains("name the primary"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let database = fresh().await;
    database.execute(&format!("CREATE ROLE {GUARDED} LOGIN PASSWORD 'the-right-one'")).await;
    let wrong = PostgresServer::shared().url_as(&format!("{GUARDED}:the-wrong-one"), &database.0);
    let wrong = settings(wrong);
    let error = refusal(&wrong).await;
    assert!(error.contains("password") && error.contains("correct the database URL"), "{error}");
    assert!(!error.contains("the-wrong-one"), "{error}");
    assert!(!format!("{wrong:?}").contains("the-wrong-one"));
}

#[tokio::test]
async fn a_url_that_can_not_be_read_is_refused_and_not_repeated() {
    for url in [
        "postgres://wsts:s3cret@h:port/db",
        "postgres://wsts:1?s3cret@h/db",
        "postgres://wsts:s3cret@h/db?sslmode=s3cret",
        "postgres://wsts:s3cret@h/db?options=-c%20synchronous_commit=off",
        "s3cret",
    ] {
        let error = refusal(&settings(url.to_owned())).await;
        assert!(error.contains("database URL can't be read"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = settings(format!("postgres://wsts:s3cret@{nobody}/wsts"));
    let error = PostgresStore::open(&settings).await.err().expect("nobody answers");
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn an_encoding_that_can_not_hold_every_text_is_refused() {
    let database = fresh().await;
    let mut server = administrator("postgres").await;
    execute(&mut server, &format!("DROP DATABASE {}", database.0)).await;
    let sql = format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", database.0);
    execute(&mut server, &sql).await;
    let error = refusal(&database.settings()).await;
    assert!(error.contains("LATIN1") && error.contains("UTF8"), "{error}");
}

#[tokio::test]
async fn a_connection_says_what_rests_on_it() {
    let database = fresh().await;
    // Against a server that would have it otherwise.
    let sql = format!(
        "ALTER DATABASE {0} SET synchronous_commit = off; ALTER DATABASE {0} SET statement_timeout = 0; \
         ALTER DATABASE {0} SET default_transaction_isolation = 'serializable'",
        database.0
    );
    database.execute(&sql).await;
    let store = database.open().await.unwrap();
    // A view that shows to a reader what his own connection says.
    let sql = "ALTER TABLE tenants RENAME TO hidden; CREATE VIEW tenants AS \
               SELECT '00000000-0000-0000-0000-000000000001'::uuid AS id, concat_ws(' ', \
               current_setting('application_name'), current_setting('synchronous_commit'), \
               current_setting('statement_timeout'), current_setting('transaction_isolation')) AS display_name";
    database.execute(sql).await;
    let said = &store.tenants().await.unwrap()[0].display_name;
    assert_eq!(said, "wsts on 10s read committed");
}

#[tokio::test]
async fn the_server_tells_its_time_whatever_the_time_zone() {
    let database = fresh().await;
    database.execute(&format!("ALTER DATABASE {} SET timezone = 'Asia/Kathmandu'", database.0)).await;
    let told = database.open().await.unwrap().server_time().await.unwrap().expect("it has a clock");
    assert!((SystemClock.now() - told).abs() < chrono::Duration::seconds(5), "{told}");
}

#[tokio::test]
async fn a_replica_lives_by_the_servers_clock() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    let replica = Replica {
        id: ReplicaId::from_uuid(uuid::Uuid::from_u128(1)),
        region: region("local"),
        version: "0.1.0".to_owned(),
        kek_ids: vec![[1; 8]],
        // A process whose clock is wrong by years.
        started_at: at(0),
        seen_at: at(0),
    };
    store.announce_replica(&replica).await.unwrap();
    let live = async || store.live_replicas(at(0)).await.unwrap().len();
    assert_eq!(live().await, 1);
    database.execute("UPDATE replicas SET seen_at = seen_at - interval '59 seconds'").await;
    assert_eq!(live().await, 1);
    database.execute("UPDATE replicas SET seen_at = seen_at - interval '2 seconds'").await;
    assert_eq!(live().await, 0);
    database.execute("UPDATE replicas SET seen_at = seen_at - interval '9 minutes'").await;
    let other = Replica { id: ReplicaId::from_uuid(uuid::Uuid::from_u128(2)), ..replica };
    store.announce_replica(&other).await.unwrap();
    let kept: i64 = sqlx::Row::get(&database.row("SELECT count(*) FROM replicas").await, 0);
    assert_eq!(kept, 1, "old rows go");
}

#[tokio::test]
async fn a_slow_statement_is_ended_and_the_next_one_is_well() {
    let database = fresh().await;
    let settings = PostgresSettings { statement_timeout_milliseconds: 200, ..database.settings() };
    let store = PostgresStore::open(&settings).await.unwrap();
    let sql = "ALTER TABLE tenants RENAME TO hidden; \
               CREATE VIEW tenants AS SELECT gen_random_uuid() AS id, pg_sleep(60)::text AS display_name";
    database.execute(sql).await;
    let started = Instant::now();
    let error = store.tenants().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(store.last_change().await.unwrap(), 0);
}

#[tokio::test]
async fn connections_that_the_server_ended_are_made_again() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    put(&store, &[Mutation::PutTenant(tenant(1))]).await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute(sql).await;
    // Longer than a connection is trusted without a sign of life.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(store.tenants().await.unwrap(), [tenant(1)]);
    put(&store, &[Mutation::PutTenant(tenant(2))]).await;
}

#[tokio::test]
async fn a_change_of_another_process_is_heard() {
    let database = fresh().await;
    let (follower, other) = (database.open().await.unwrap(), database.open().await.unwrap());
    // The first wait begins to listen, and returns at once.
    follower.change_signal().await.unwrap();
    let started = Instant::now();
    follower.change_signal().await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(900), "nothing to hear: {:?}", started.elapsed());
    for n in 1..=3 {
        let (heard, _) = tokio::join!(follower.change_signal(), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            put(&other, &[Mutation::PutTenant(tenant(n))]).await;
        });
        heard.unwrap();
        assert_eq!(follower.last_change().await.unwrap(), i64::try_from(n).unwrap());
    }
    // What was said between two waits is heard by the second.
    put(&other, &[Mutation::PutTenant(tenant(9))]).await;
    let started = Instant::now();
    follower.change_signal().await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(500), "heard after {:?}", started.elapsed());
}

#[tokio::test]
async fn a_follower_listens_again_after_its_connection_was_ended() {
    let database = fresh().await;
    let (follower, other) = (database.open().await.unwrap(), database.open().await.unwrap());
    follower.change_signal().await.unwrap();
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute(sql).await;
    let started = Instant::now();
    // One wait finds the connection lost; it is made again at the latest by the next one.
    follower.change_signal().await.unwrap();
    follower.change_signal().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(4));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let change = [Mutation::PutTenant(tenant(1))];
    let (_, took) = tokio::join!(put(&other, &change), async {
        let started = Instant::now();
        follower.change_signal().await.unwrap();
        started.elapsed()
    });
    assert!(took < Duration::from_millis(900), "heard after {took:?}");
}

#[tokio::test]
async fn closing_ends_a_wait_and_every_connection() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    store.change_signal().await.unwrap();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.change_signal().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    store.close().await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    waiting.await.unwrap().unwrap();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'wsts'";
    let left: i64 = sqlx::Row::get(&database.row(sql).await, 0);
    assert_eq!(left, 0);
    // Afterwards it waits like any other follower whose database says nothing.
    let started = Instant::now();
    store.change_signal().await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(900));
}

#[tokio::test]
async fn a_store_may_be_dropped_where_no_runtime_is() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    store.change_signal().await.unwrap();
    std::thread::spawn(move || drop(store)).join().expect("no panic");
}

#[tokio::test]
async fn appends_do_not_wait_for_the_commit_lock() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    let mut other = administrator(&database.0).await;
    execute(&mut other, "BEGIN; SELECT pg_advisory_xact_lock(x'7773747300000001'::bigint)").await;
    let blocked = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(&[Mutation::PutTenant(tenant(1))], &[]).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    append(&store, &[record(1)]).await;
    assert_eq!(store.tenants().await.unwrap(), []);
    assert!(!blocked.is_finished(), "a commit waits its turn");
    execute(&mut other, "COMMIT").await;
    blocked.await.unwrap().unwrap();
}

#[tokio::test]
async fn commits_that_wait_leave_connections_to_others() {
    let database = fresh().await;
    let settings = PostgresSettings { max_connections: 2, ..database.settings() };
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&settings).await.unwrap());
    let mut other = administrator(&database.0).await;
    execute(&mut other, "BEGIN; SELECT pg_advisory_xact_lock(x'7773747300000001'::bigint)").await;
    let mut blocked = tokio::task::JoinSet::new();
    for n in 1..=8 {
        let store = Arc::clone(&store);
        blocked.spawn(async move { store.commit(&[Mutation::PutTenant(tenant(n))], &[]).await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    append(&store, &[record(1)]).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    execute(&mut other, "COMMIT").await;
    while let Some(done) = blocked.join_next().await {
        done.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_month_has_a_partition_of_its_own_and_goes_with_it() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    let count = async |table: &str| -> i64 {
        sqlx::Row::get(&database.row(&format!("SELECT count(*) FROM {table}")).await, 0)
    };
    let months = "pg_inherits WHERE inhparent = 'audit_records'::regclass";
    assert_eq!(count(months).await, 4, "this month, the next two, and the default one");
    append(&store, &[AuditRecord { occurred_at: SystemClock.now(), ..record(1) }]).await;
    assert_eq!(count("audit_records_default").await, 0);
    // A past month with a partition, and one without.
    let sql = "CREATE TABLE audit_records_2001_01 PARTITION OF audit_records \
               FOR VALUES FROM ('2001-01-01 00:00:00+00') TO ('2001-02-01 00:00:00+00')";
    database.execute(sql).await;
    let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let old = |n, text| AuditRecord { occurred_at: time(text), ..record(n) };
    let old =
        [old(2, "2001-01-05T00:00:00Z"), old(3, "2001-01-31T23:59:59Z"), old(4, "2001-02-01T00:00:00Z")];
    append(&store, &old).await;
    assert_eq!(count("audit_records_default").await, 1);
    let removed = async |before| {
        let mut removed = Vec::new();
        while let some @ 1.. = store.remove_audit(time(before)).await.unwrap() {
            removed.push(some);
        }
        removed
    };
    assert_eq!(removed("2001-01-31T00:00:00Z").await, [1], "a part of a month");
    assert_eq!(count(months).await, 5);
    assert_eq!(removed("2001-02-01T00:00:00Z").await, [1], "a month");
    assert_eq!(count(months).await, 4);
    assert_eq!(removed("2001-02-02T00:00:00Z").await, [1], "what no month took");
    assert_eq!(newest_first(&store).await.len(), 1);
}

#[tokio::test]
async fn texts_that_the_database_can_not_hold_cost_no_record() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    let odd = AuditRecord { resource: Some("a\0b".into()), detail: Some("\0".to_owned()), ..record(1) };
    append(&store, &[odd.clone(), record(2)]).await;
    assert_eq!(newest_first(&store).await, [read_back(&record(2)), read_back(&odd)]);
    // In the registry it is the caller's mistake.
    let mut named = tenant(1);
    named.display_name = "a\0b".to_owned();
    let refused = store.commit(&[Mutation::PutTenant(named)], &[]).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "{refused:?}");
}

#[tokio::test]
async fn chains_hold_over_what_is_stored() {
    let database = fresh().await;
    let store = database.open().await.unwrap();
    let recorder = crate::recorder::recorder_with(&store, None).await;
    crate::recorder::fill(&recorder, 0, 100).await;
    let odd = AuditRecord { resource: Some("a\0b".into()), detail: Some("\0".to_owned()), ..record(1000) };
    recorder.record(odd.clone()).await.unwrap();
    recorder.commit(&[], vec![AuditRecord { id: record(1001).id, ..odd }]).await.unwrap();
    let read = crate::recorder::verify(crate::recorder::all(&store).await).unwrap();
    assert_eq!((read.records, read.chains), (204, 2));
}

#[tokio::test]
async fn a_role_that_may_not_change_the_audit_is_enough_to_serve() {
    let database = fresh().await;
    database.open().await.unwrap().close().await;
    // As docs/operations.md has it.
    let role = format!("serve_{}", database.0);
    let sql = format!(
        "CREATE ROLE {role} LOGIN; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, subscriptions, workspaces, webservices, access_keys, \
             principals, client_secrets, key_credentials, federated_credentials, role_definitions, \
             role_assignments, signing_keys, changes, instance_facts, replicas, token_latencies, used_assertions, revoked_tokens TO {role}; \
         GRANT SELECT, INSERT ON audit_records TO {role}; \
         GRANT SELECT ON _sqlx_migrations TO {role}"
    );
    database.execute(&sql).await;
    // It makes room for coming months, too.
    let month = "SELECT max(inhrelid::regclass::text) FROM pg_inherits \
                 WHERE inhparent = 'audit_records'::regclass AND inhrelid::regclass::text ~ '_[0-9]{2}$'";
    let last: String = sqlx::Row::get(&database.row(month).await, 0);
    database.execute(&format!("DROP TABLE {last}")).await;
    let url = PostgresServer::shared().url_as(&role, &database.0);
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&settings(url.clone())).await.unwrap());
    append(&store, &[record(1)]).await;
    append(&store, &[record(1), record(2)]).await;
    commit(&store, &[Mutation::PutTenant(tenant(1))], &[record(3)]).await.unwrap();
    store.remember("name", b"value").await.unwrap();
    store.put_latencies(&[]).await.unwrap();
    assert!(store.use_assertion([1; 32], at(9)).await.unwrap());
    store.remove_assertions(at(9)).await.unwrap();
    store.remove_latencies(Span::Minute, at(0)).await.unwrap();
    let replica = Replica {
        id: ReplicaId::from_uuid(uuid::Uuid::from_u128(1)),
        region: region("local"),
        version: "0.1.0".to_owned(),
        kek_ids: Vec::new(),
        started_at: at(0),
        seen_at: at(0),
    };
    store.announce_replica(&replica).await.unwrap();
    store.remove_replica(replica.id).await.unwrap();
    assert_eq!(newest_first(&store).await.len(), 3);
    assert_eq!(sqlx::Row::get::<String, _>(&database.row(month).await, 0), last);
    store.close().await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for sql in
        ["DELETE FROM audit_records", "UPDATE audit_records SET record = '{}'", "DROP TABLE audit_records"]
    {
        let refused = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
        assert!(
            refused.is_err_and(|error| error.to_string().contains("permission denied")
                || error.to_string().contains("must be owner")),
            "{sql}"
        );
    }
    connection.close().await.unwrap();
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
