//! PostgreSQL, for replicas and regions: one bounded pool, every commit synced.
//!
//! Registry writes of all processes run one after the other under a lock of the database (`mutations.rs`); audit
//! appends and reads run beside them. The pool can't be one of statements or transactions (as PgBouncer has them):
//! settings and the listening of a connection are its own.

mod assertions;
mod audit;
mod codec;
mod connection;
mod facts;
mod latencies;
mod mutations;
mod registry;
mod replicas;
mod revoked_tokens;
mod sealed;
mod signal;
mod signing_keys;
mod write_access;
mod write_resources;
mod write_signing_keys;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgPool;
use tokio::sync::{Mutex, MutexGuard};

pub use self::connection::PostgresSettings;
use self::connection::within;
use self::signal::Signal;
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

/// How long a write waits for this process's other writes.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a commit that the server ended in favour of another one is tried again.
const RETRIES: u32 = 3;
/// How long a list of the whole registry or of the audit may take; the server ends it a good while before.
const LONG_READ_LIMIT: Duration = Duration::from_secs(40);
/// How long what people do to the whole audit may take; nobody's request waits for it.
const TENDING_LIMIT: Duration = Duration::from_secs(660);
/// How long the end of the process waits for connections to say farewell.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// A [`Store`] in a PostgreSQL database.
pub struct PostgresStore {
    pool: PgPool,
    signal: Signal,
    /// Held by the one commit of this process that may wait for the lock of all processes. Without it a burst of
    /// commits would hold every connection of the pool in that queue, and reads and audit appends would find none.
    turn: Mutex<()>,
    /// How long a read or an append may take, with the wait for a connection.
    limit: Duration,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// [`StorageError::Schema`] when the schema was written by a newer version, or the server is too old;
    /// [`StorageError::Unavailable`] when it can't be reached, refuses the password, or takes no writes.
    pub async fn open(settings: &PostgresSettings) -> Result<Self> {
        connection::prepare(settings).await?;
        let pool = connection::pool(settings)?;
        // The statements of the longest read are five, and seldom is more than one of them slow.
        let limit = settings.acquire_timeout() + settings.statement_timeout().saturating_mul(2);
        // Before the first record of a month goes to the default partition, which then keeps that month.
        if let Err(error) = within(limit, audit::prepare(&pool)).await {
            tracing::warn!(%error, "there is no partition for this month's audit records");
        }
        Ok(Self { pool, signal: Signal::default(), turn: Mutex::new(()), limit })
    }

    async fn turn(&self) -> Result<MutexGuard<'_, ()>> {
        tokio::time::timeout(TURN_TIMEOUT, self.turn.lock()).await.map_err(|_| {
            StorageError::Unavailable(format!(
                "other writes took longer than {} seconds",
                TURN_TIMEOUT.as_secs()
            ))
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn principal_facts(&self, client_id: ClientId) -> Result<Option<PrincipalFacts>> {
        within(self.limit, facts::principal(&self.pool, client_id)).await
    }

    async fn webservice_facts(&self, key: &str) -> Result<Option<WebserviceFacts>> {
        within(self.limit, facts::webservice(&self.pool, key)).await
    }

    async fn roles(&self) -> Result<Vec<RoleDefinition>> {
        within(self.limit, facts::roles(&self.pool)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>> {
        within(self.limit, registry::tenants(&self.pool)).await
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>> {
        within(self.limit, registry::subscriptions(&self.pool)).await
    }

    async fn workspace(&self, key: &str) -> Result<Option<Workspace>> {
        within(self.limit, registry::workspace(&self.pool, key)).await
    }

    async fn workspaces(&self, scope_key: &str, page: Page<'_>) -> Result<Vec<Workspace>> {
        within(self.limit, registry::workspaces(&self.pool, scope_key, page)).await
    }

    async fn webservices(&self, workspace_key: &str, page: Page<'_>) -> Result<Vec<Webservice>> {
        within(self.limit, registry::webservices(&self.pool, workspace_key, page)).await
    }

    async fn access_keys(&self, webservice_key: &str) -> Result<Vec<StoredAccessKey>> {
        within(self.limit, facts::access_keys(&self.pool, webservice_key)).await
    }

    async fn access_keys_under(
        &self,
        kek_id: [u8; 8],
        after: (&str, &str),
        limit: u32,
    ) -> Result<Vec<(String, StoredAccessKey)>> {
        within(LONG_READ_LIMIT, sealed::access_keys_under(&self.pool, kek_id, after, limit)).await
    }

    async fn kek_uses(&self) -> Result<Vec<KekUse>> {
        within(LONG_READ_LIMIT, sealed::kek_uses(&self.pool)).await
    }

    async fn client_of(&self, object_id: ObjectId) -> Result<Option<ClientId>> {
        within(self.limit, facts::client_of(&self.pool, object_id)).await
    }

    async fn principals(&self, tenant_id: TenantId, page: Page<'_>) -> Result<Vec<ServicePrincipal>> {
        within(self.limit, registry::principals(&self.pool, tenant_id, page)).await
    }

    async fn assignment(&self, id: RoleAssignmentId) -> Result<Option<RoleAssignment>> {
        within(self.limit, registry::assignment(&self.pool, id)).await
    }

    async fn assignments(&self, scope: &Scope) -> Result<Vec<RoleAssignment>> {
        within(self.limit, registry::assignments(&self.pool, scope)).await
    }

    async fn snapshot(&self) -> Result<RegistrySnapshot> {
        within(LONG_READ_LIMIT, registry::snapshot(&self.pool)).await
    }

    async fn commit(&self, mutations: &[Mutation], records: &[Chained<&RecordText>]) -> Result<Vec<Change>> {
        let _turn = self.turn().await?;
        let limit = mutations::time_limit(mutations.len());
        let mut tries = 0;
        loop {
            match within(limit, mutations::commit(&self.pool, mutations, records)).await {
                Err(error) if codec::is_contended(&error) && tries < RETRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn last_change(&self) -> Result<i64> {
        within(self.limit, mutations::last_change(&self.pool)).await
    }

    async fn changes_after(&self, sequence: i64) -> Result<(i64, Vec<Change>)> {
        within(self.limit, mutations::changes_after(&self.pool, sequence)).await
    }

    async fn server_time(&self) -> Result<Option<DateTime<Utc>>> {
        within(self.limit, signing_keys::server_time(&self.pool)).await.map(Some)
    }

    async fn signing_keys(&self) -> Result<Vec<StoredSigningKey>> {
        within(self.limit, signing_keys::all(&self.pool)).await
    }

    async fn change_signal(&self) -> Result<()> {
        self.signal.wait(&self.pool).await;
        Ok(())
    }

    async fn announce_replica(&self, replica: &Replica) -> Result<()> {
        within(self.limit, replicas::announce(&self.pool, replica)).await
    }

    async fn remove_replica(&self, id: ReplicaId) -> Result<()> {
        within(self.limit, replicas::remove(&self.pool, id)).await
    }

    async fn live_replicas(&self, _now: DateTime<Utc>) -> Result<Vec<Replica>> {
        within(self.limit, replicas::live(&self.pool)).await
    }

    async fn use_assertion(&self, digest: [u8; 32], expires_at: DateTime<Utc>) -> Result<bool> {
        within(self.limit, assertions::add(&self.pool, digest, expires_at)).await
    }

    async fn remove_assertions(&self, until: DateTime<Utc>) -> Result<()> {
        within(self.limit, assertions::remove(&self.pool, until)).await
    }

    async fn revoked_tokens(&self) -> Result<Vec<RevokedToken>> {
        within(self.limit, revoked_tokens::all(&self.pool)).await
    }

    async fn remove_revoked_tokens(&self, until: DateTime<Utc>) -> Result<()> {
        within(self.limit, revoked_tokens::remove(&self.pool, until)).await
    }

    async fn remember(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        within(self.limit, signing_keys::remember(&self.pool, name, value)).await
    }

    async fn close(&self) {
        // Closing ends the wait for a change, which then lets go of its connection, for which closing waits.
        let closed = async { tokio::join!(self.pool.close(), self.signal.close()) };
        // What is committed is on the disk; a connection that does not close loses nothing.
        let _ = tokio::time::timeout(CLOSE_LIMIT, closed).await;
    }

    async fn append_audit(&self, records: &[Chained<&RecordText>]) -> Result<()> {
        within(self.limit, audit::append(&self.pool, records)).await
    }

    async fn audit_record(&self, id: AuditRecordId) -> Result<Option<Chained<RecordText>>> {
        within(self.limit, audit::by_id(&self.pool, id)).await
    }

    async fn audit_page(
        &self,
        order: Order,
        cursor: AuditCursor,
        limit: u32,
    ) -> Result<Vec<(AuditCursor, Chained<RecordText>)>> {
        within(LONG_READ_LIMIT, audit::page(&self.pool, order, cursor, limit)).await
    }

    async fn audit_ends(&self, before: DateTime<Utc>) -> Result<Vec<Link>> {
        within(TENDING_LIMIT, audit::ends(&self.pool, before)).await
    }

    async fn remove_audit(&self, before: DateTime<Utc>) -> Result<u64> {
        within(TENDING_LIMIT, audit::remove(&self.pool, before)).await
    }

    async fn prepare_audit(&self) -> Result<()> {
        within(self.limit, audit::prepare(&self.pool)).await
    }

    async fn put_latencies(&self, rows: &[LatencyRow]) -> Result<()> {
        within(self.limit, latencies::put(&self.pool, rows)).await
    }

    async fn latencies(&self, span: Span, since: DateTime<Utc>) -> Result<Vec<LatencyRow>> {
        within(self.limit, latencies::since(&self.pool, span, since)).await
    }

    async fn remove_latencies(&self, span: Span, until: DateTime<Utc>) -> Result<()> {
        within(self.limit, latencies::remove(&self.pool, span, until)).await
    }

    async fn regions(&self) -> Result<Vec<(Region, Region)>> {
        within(LONG_READ_LIMIT, registry::regions(&self.pool)).await
    }
}
