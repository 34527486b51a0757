//! The embedded database: one file, WAL, every commit synced. One writing connection, several reading ones.

mod assertions;
mod audit;
mod codec;
mod facts;
mod latencies;
mod mutations;
mod registry;
mod replicas;
mod revoked_tokens;
mod sealed;
mod signing_keys;
mod write_access;
mod write_resources;
mod write_signing_keys;
mod writer;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use self::writer::Writer;
use super::{
    Change, KekUse, Mutation, Page, PrincipalFacts, RegistrySnapshot, Replica, Result, StorageError, Store,
    StoredAccessKey, StoredSigningKey, WebserviceFacts,
};
use crate::domain::audit::{AuditCursor, Chained, Link, Order, RecordText};
use crate::domain::ids::{AuditRecordId, ClientId, ObjectId, ReplicaId, RoleAssignmentId, TenantId};
use crate::domain::latency::{LatencyRow, Span};
use crate::domain::principal::ServicePrincipal;
use crate::domain::region::Region;
use crate::domain::resource::Scope;
use crate::domain::revocation::RevokedToken;
use crate::domain::role::{RoleAssignment, RoleDefinition};
use crate::domain::webservice::Webservice;
use crate::domain::workspace::{Subscription, Tenant, Workspace};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another process's write before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;
/// The switch of a new file to WAL takes milliseconds; a second is ample.
const CONNECT_ATTEMPTS: u32 = 50;
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// A file says nothing when another process has changed it: whoever follows looks each second.
const CHANGE_PAUSE: Duration = Duration::from_secs(1);

/// Four times SQLite's own default.
const PAGE_BYTES: u32 = 16_384;

/// A [`Store`] in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it when missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`StorageError::Schema`] when the file was written by a newer version.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit has reached the disk when it returns. Record before release rests on it.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Of a new file. A batch of audit records fills a few pages of this size, each of which is written by two
            // calls to the log and copied by two later on.
            .page_size(PAGE_BYTES)
            .busy_timeout(BUSY_TIMEOUT)
            // One statement for each size of an audit batch is kept prepared, besides the others.
            .statement_cache_capacity(audit::ROWS_PER_STATEMENT + 64);
        let mut connection = connect(&options).await?;
        migrate(&mut connection).await?;
        let writer = Writer::new(options.clone().create_if_missing(false), connection);
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A connection to a file does not go stale.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self { writer, readers })
    }
}

/// Connects. Of two processes that open a new file at once, the switch to WAL fails for one without waiting, since
/// each would wait for the other's read lock; that one tries again.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection> {
    let mut attempts = 0;
    loop {
        match options.connect().await {
            Err(error) if codec::is_busy(&error) && attempts < CONNECT_ATTEMPTS => attempts += 1,
            outcome => return outcome.map_err(codec::unavailable),
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

/// Brings the schema up to date under the write lock: sqlx takes no lock of its own for SQLite, so two processes that
/// open a new file at once would both make its tables. A migration can therefore not switch pragmas.
async fn migrate(writer: &mut SqliteConnection) -> Result<()> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(codec::unavailable)?;
    // Not `run`: its bound is not met within an async function that must be `Send`; this is what it calls.
    MIGRATOR.run_direct(None, &mut *transaction, false).await.map_err(schema_error)?;
    transaction.commit().await.map_err(codec::unavailable)
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
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => codec::unavailable(error),
        other => StorageError::Schema(other.to_string()),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn principal_facts(&self, client_id: ClientId) -> Result<Option<PrincipalFacts>> {
        facts::principal(&self.readers, client_id).await
    }

    async fn webservice_facts(&self, key: &str) -> Result<Option<WebserviceFacts>> {
        facts::webservice(&self.readers, key).await
    }

    async fn roles(&self) -> Result<Vec<RoleDefinition>> {
        facts::roles(&self.readers).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        registry::tenants(&self.readers).await
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        registry::subscriptions(&self.readers).await
    }

    async fn workspace(&self, key: &str) -> Result<Option<Workspace>> {
        registry::workspace(&self.readers, key).await
    }

    async fn workspaces(&self, scope_key: &str, page: Page<'_>) -> Result<Vec<Workspace>> {
        registry::workspaces(&self.readers, scope_key, page).await
    }

    async fn webservices(&self, workspace_key: &str, page: Page<'_>) -> Result<Vec<Webservice>> {
        registry::webservices(&self.readers, workspace_key, page).await
    }

    async fn access_keys(&self, webservice_key: &str) -> Result<Vec<StoredAccessKey>> {
        facts::access_keys(&self.readers, webservice_key).await
    }

    async fn access_keys_under(
        &self,
        kek_id: [u8; 8],
        after: (&str, &str),
        limit: u32,
    ) -> Result<Vec<(String, StoredAccessKey)>> {
        sealed::access_keys_under(&self.readers, kek_id, after, limit).await
    }

    async fn kek_uses(&self) -> Result<Vec<KekUse>> {
        sealed::kek_uses(&self.readers).await
    }

    async fn client_of(&self, object_id: ObjectId) -> Result<Option<ClientId>> {
        facts::client_of(&self.readers, object_id).await
    }

    async fn principals(&self, tenant_id: TenantId, page: Page<'_>) -> Result<Vec<ServicePrincipal>> {
        registry::principals(&self.readers, tenant_id, page).await
    }

    async fn assignment(&self, id: RoleAssignmentId) -> Result<Option<RoleAssignment>> {
        registry::assignment(&self.readers, id).await
    }

    async fn assignments(&self, scope: &Scope) -> Result<Vec<RoleAssignment>> {
        registry::assignments(&self.readers, scope).await
    }

    async fn snapshot(&self) -> Result<RegistrySnapshot> {
        registry::snapshot(&self.readers).await
    }

    async fn commit(&self, mutations: &[Mutation], records: &[Chained<&RecordText>]) -> Result<Vec<Change>> {
        let mut turn = self.writer.turn().await?;
        let outcome = mutations::commit(&mut turn.connection, mutations, records).await;
        turn.end(outcome)
    }

    async fn last_change(&self) -> Result<i64> {
        mutations::last_change(&self.readers).await
    }

    async fn changes_after(&self, sequence: i64) -> Result<(i64, Vec<Change>)> {
        mutations::changes_after(&self.readers, sequence).await
    }

    async fn change_signal(&self) -> Result<()> {
        tokio::time::sleep(CHANGE_PAUSE).await;
        Ok(())
    }

    async fn server_time(&self) -> Result<Option<DateTime<Utc>>> {
        Ok(None)
    }

    async fn signing_keys(&self) -> Result<Vec<StoredSigningKey>> {
        signing_keys::all(&self.readers).await
    }

    async fn announce_replica(&self, replica: &Replica) -> Result<()> {
        let mut turn = self.writer.turn().await?;
        let outcome = replicas::announce(&mut turn.connection, replica).await;
        turn.end(outcome)
    }

    async fn remove_replica(&self, id: ReplicaId) -> Result<()> {
        let mut turn = self.writer.turn().await?;
        let outcome = replicas::remove(&mut turn.connection, id).await;
        turn.end(outcome)
    }

    async fn live_replicas(&self, now: DateTime<Utc>) -> Result<Vec<Replica>> {
        replicas::live(&self.readers, now).await
    }

    async fn use_assertion(&self, digest: [u8; 32], expires_at: DateTime<Utc>) -> Result<bool> {
        let mut turn = self.writer.turn().await?;
        let outcome = assertions::add(&mut turn.connection, digest, expires_at).await;
        turn.end(outcome)
    }

    async fn remove_assertions(&self, until: DateTime<Utc>) -> Result<()> {
        let mut turn = self.writer.turn().await?;
        let outcome = assertions::remove(&mut turn.connection, until).await;
        turn.end(outcome)
    }

    async fn revoked_tokens(&self) -> Result<Vec<RevokedToken>> {
        revoked_tokens::all(&self.readers).await
    }

    async fn remove_revoked_tokens(&self, until: DateTime<Utc>) -> Result<()> {
        let mut turn = self.writer.turn().await?;
        let outcome = revoked_tokens::remove(&mut turn.connection, until).await;
        turn.end(outcome)
    }

    async fn remember(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        let mut turn = self.writer.turn().await?;
        let outcome = signing_keys::remember(&mut turn.connection, name, value).await;
        turn.end(outcome)
    }

    async fn close(&self) {
        // The last connection to go moves the log into the database file.
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn append_audit(&self, records: &[Chained<&RecordText>]) -> Result<()> {
        let mut turn = self.writer.turn().await?;
        let outcome = audit::append(&mut turn.connection, records).await;
        turn.end(outcome)
    }

    async fn audit_record(&self, id: AuditRecordId) -> Result<Option<Chained<RecordText>>> {
        audit::by_id(&self.readers, id).await
    }

    async fn audit_page(
        &self,
        order: Order,
        cursor: AuditCursor,
        limit: u32,
    ) -> Result<Vec<(AuditCursor, Chained<RecordText>)>> {
        audit::page(&self.readers, order, cursor, limit).await
    }

    async fn audit_ends(&self, before: DateTime<Utc>) -> Result<Vec<Link>> {
        audit::ends(&self.readers, before).await
    }

    async fn remove_audit(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut turn = self.writer.turn().await?;
        let outcome = audit::remove(&mut turn.connection, before).await;
        turn.end(outcome)
    }

    async fn prepare_audit(&self) -> Result<()> {
        // One table holds everything.
        Ok(())
    }

    async fn put_latencies(&self, rows: &[LatencyRow]) -> Result<()> {
        let mut turn = self.writer.turn().await?;
        let outcome = latencies::put(&mut turn.connection, rows).await;
        turn.end(outcome)
    }

    async fn latencies(&self, span: Span, since: DateTime<Utc>) -> Result<Vec<LatencyRow>> {
        latencies::since(&self.readers, span, since).await
    }

    async fn remove_latencies(&self, span: Span, until: DateTime<Utc>) -> Result<()> {
        let mut turn = self.writer.turn().await?;
        let outcome = latencies::remove(&mut turn.connection, span, until).await;
        turn.end(outcome)
    }

    async fn regions(&self) -> Result<Vec<(Region, Region)>> {
        registry::regions(&self.readers).await
    }
}
