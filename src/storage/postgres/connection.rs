//! How the server is reached: settings, what every connection says of itself, and what is asked of a server before it
//! is used.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use zeroize::Zeroizing;

use super::codec::{Columns as _, unavailable};
use crate::storage::{Result, StorageError};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// The oldest server whose behaviour is known to be what is written here.
const OLDEST: i64 = 14;
/// How long a start waits for the server to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a start waits for another process's migrations. Those themselves take what they take.
const MIGRATION_LOCK_TIMEOUT: &str = "60s";
/// An idle connection of this age is asked for a sign of life before it is used.
const IDLE_UNPROVED: Duration = Duration::from_secs(1);
/// How long a sign of life may take.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
/// What a URL may set. An unknown word there would be logged by the driver, value and all.
const URL_PARAMETERS: [&str; 5] = ["host", "sslmode", "sslrootcert", "sslcert", "sslkey"];

/// Where the database is, and how patient one is with it.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database?sslmode=verify-full`. Secret. What it leaves out is taken from
    /// `PGHOST`, `PGUSER`, `PGPASSWORD` and the like, and from a password file.
    pub url: Zeroizing<String>,
    /// At least 2: one of them listens for changes.
    pub max_connections: u32,
    /// How long a request waits for a connection, and for a new one to be made. The latter is several round trips, and
    /// one that is given up is begun anew by the next request: too low a value never succeeds over a long way.
    pub acquire_timeout_milliseconds: u64,
    /// How long a read or an audit batch may take in the server. Commits and long lists have limits of their own.
    pub statement_timeout_milliseconds: u64,
}

impl PostgresSettings {
    /// Ten connections, a second to get one, half a second for a statement.
    pub fn new(url: Zeroizing<String>) -> Self {
        Self {
            url,
            max_connections: 10,
            acquire_timeout_milliseconds: 1000,
            statement_timeout_milliseconds: 500,
        }
    }

    pub(super) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_milliseconds)
    }

    pub(super) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(self.statement_timeout_milliseconds)
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("url", &"redacted")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout_milliseconds", &self.acquire_timeout_milliseconds)
            .field("statement_timeout_milliseconds", &self.statement_timeout_milliseconds)
            .finish()
    }
}

/// Looks whether the server is one to work with, and brings the schema up to date.
pub async fn prepare(settings: &PostgresSettings) -> Result<()> {
    // A migration takes the time it takes.
    let options = options(settings, Duration::ZERO)?.options([("lock_timeout", MIGRATION_LOCK_TIMEOUT)]);
    let checked = async {
        let mut connection = options.connect().await.map_err(unavailable)?;
        check(&mut connection).await?;
        Ok(connection)
    };
    let mut connection = within(CONNECT_TIMEOUT, checked).await?;
    if within(CONNECT_TIMEOUT, is_up_to_date(&mut connection)).await? {
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, connection.close()).await;
        return Ok(());
    }
    // Under the driver's own advisory lock: of several processes that open a new database one makes its tables.
    // Not `run`: its bound is not met within an async function that must be `Send`; this is what it calls.
    let migrated = MIGRATOR.run_direct(None, &mut connection, false).await.map_err(schema_error);
    // After a failure the lock is still held, and goes with the connection.
    let _ = tokio::time::timeout(CONNECT_TIMEOUT, connection.close()).await;
    migrated
}

/// Whether every migration was run and no other one. The driver would ask for the right to make tables even then, which
/// a role that only serves need not have.
async fn is_up_to_date(connection: &mut PgConnection) -> Result<bool> {
    let is_there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(is_there).fetch_one(&mut *connection).await.map_err(unavailable)? {
        return Ok(false);
    }
    let sql = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";
    let run: Vec<(i64, Vec<u8>)> = sqlx::query_as(sql).fetch_all(connection).await.map_err(unavailable)?;
    // Told here, too: a role that only serves may not even ask the driver.
    if let Some((newer, _)) = run.iter().find(|(version, _)| !MIGRATOR.version_exists(*version)) {
        return Err(schema_error(MigrateError::VersionMissing(*newer)));
    }
    let ours = MIGRATOR.iter().map(|migration| (migration.version, migration.checksum.as_ref()));
    Ok(ours.eq(run.iter().map(|(version, checksum)| (*version, checksum.as_slice()))))
}

/// The one pool. It connects when it is asked for a connection.
pub fn pool(settings: &PostgresSettings) -> Result<PgPool> {
    let options = options(settings, settings.statement_timeout())?;
    Ok(PgPoolOptions::new()
        .max_connections(settings.max_connections.max(2))
        .acquire_timeout(settings.acquire_timeout())
        // A round trip before each use would double the time of a commit.
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            Box::pin(async move {
                match known.idle_for < IDLE_UNPROVED {
                    true => Ok(true),
                    false => sign_of_life(connection).await,
                }
            })
        })
        // The driver asks here too, but without end: a link that was cut would keep its place in the pool for as long
        // as TCP hopes for it.
        .after_release(|connection, _| Box::pin(sign_of_life(connection)))
        .after_connect(|connection, _| {
            Box::pin(async move {
                // A name that leads to another server after a failover may lead to the old one for a while.
                let standby: bool =
                    sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await?;
                match standby {
                    true => Err(sqlx::Error::Configuration("the server is a standby".into())),
                    false => Ok(()),
                }
            })
        })
        .connect_lazy_with(options))
}

async fn sign_of_life(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(SIGN_OF_LIFE, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// Waits no longer than this for an answer: the server's own timeouts say nothing once the way to it is cut.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StorageError::Unavailable(format!("no answer within {} ms", limit.as_millis()))),
    }
}

fn options(settings: &PostgresSettings, statement_timeout: Duration) -> Result<PgConnectOptions> {
    let malformed = |why: &str| StorageError::Unavailable(format!("the database URL can't be read: {why}"));
    let parameters = settings.url.split_once('?').map_or("", |(_, parameters)| parameters);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let name = parameter.split('=').next().unwrap_or_default();
        if !URL_PARAMETERS.contains(&name) {
            let known = URL_PARAMETERS.join(", ");
            return Err(malformed(&format!(
                "of parameters it may have {known}; a `?` in a password is written %3F"
            )));
        }
    }
    let options = PgConnectOptions::from_str(&settings.url).map_err(|_| {
        malformed("its form is postgres://user:password@host:port/database, with %XX for what is not a letter or a digit")
    })?;
    Ok(options
        .application_name("wsts")
        // Said and not left to the server's defaults: on each of these something rests.
        .options([
            // A commit has reached the disk when it returns. Record before release rests on it.
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            // A process that is halted in the middle of a commit does not keep the others waiting.
            ("idle_in_transaction_session_timeout", "10s"),
        ])
        .options([("statement_timeout", format!("{}ms", statement_timeout.as_millis()))]))
}

async fn check(connection: &mut PgConnection) -> Result<()> {
    let sql = "SELECT current_setting('server_version_num')::bigint AS version, \
               pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only, \
               current_setting('server_encoding') AS encoding";
    let row = sqlx::query(sql).fetch_one(connection).await.map_err(unavailable)?;
    let (version, encoding) = (row.int("version")?, row.text("encoding")?);
    // 140005 is 14.5.
    let (major, minor) = (version / 10_000, version % 10_000);
    if major < OLDEST {
        return Err(StorageError::Schema(format!(
            "the database server is PostgreSQL {major}.{minor}, and wsts needs {OLDEST} or newer: upgrade the server"
        )));
    }
    if row.flag("read_only")? {
        return Err(StorageError::Unavailable(
            "the server is a read-only standby or is set to read only: name the primary in the database URL"
                .to_owned(),
        ));
    }
    if encoding != "UTF8" {
        return Err(StorageError::Schema(format!(
            "the encoding of the database is {encoding}, and wsts needs UTF8: make another one with ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    Ok(())
}

fn schema_error(error: MigrateError) -> StorageError {
    match error {
        MigrateError::VersionMissing(version) => StorageError::Schema(format!(
            "the database has migration {version}, which this version of wsts does not know: run the newer wsts that wrote it"
        )),
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            StorageError::Schema(format!(
                "migration {version} of the database is not the one this version of wsts carries: restore a backup or use the wsts that wrote it"
            ))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => unavailable(error),
        other => StorageError::Schema(other.to_string()),
    }
}
