//! What the core needs from a database, and nothing of how one does it.
//!
//! Reads give whole domain values. All writes go through [`Store::commit`]: a list of [`Mutation`]s and the audit
//! records about them in one transaction, so that nothing is ever half-written or unrecorded.
//!
//! To add a kind of row: a migration in `migrations/*/`, a [`Mutation`] (and a [`Change`] if the directory holds it),
//! a read method here, both implementations, and a case in `tests/storage/`.

pub mod error;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod lists;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod read;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::access_key::{AccessKey, KeyName};
use crate::domain::audit::{AuditCursor, Chained, Link, Order, RecordText};
use crate::domain::credential_method::AllowedMethods;
use crate::domain::ids::{
    AuditRecordId, ClientId, CredentialId, ObjectId, ReplicaId, RoleAssignmentId, RoleDefinitionId, TenantId,
};
use crate::domain::latency::{LatencyRow, Span};
use crate::domain::principal::{ClientSecret, FederatedCredential, KeyCredential, ServicePrincipal};
use crate::domain::region::Region;
use crate::domain::resource::{Scope, WebserviceId, WorkspaceId};
use crate::domain::revocation::RevokedToken;
use crate::domain::role::{RoleAssignment, RoleDefinition};
use crate::domain::signing_key::{KeyLife, SigningKey};
use crate::domain::webservice::Webservice;
use crate::domain::workspace::{Subscription, Tenant, Workspace};

pub use error::{Result, StorageError};

/// A principal with all that a request needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalFacts {
    pub principal: ServicePrincipal,
    pub secrets: Vec<ClientSecret>,
    pub key_credentials: Vec<KeyCredential>,
    pub federated_credentials: Vec<FederatedCredential>,
    pub assignments: Vec<RoleAssignment>,
}

/// A webservice with its workspace and what checks its access keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebserviceFacts {
    pub webservice: Webservice,
    pub workspace: Workspace,
    /// Primary, then secondary.
    pub access_keys: Vec<AccessKey>,
}

/// An access key as it lies in the database. Its value is of no use without the KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAccessKey {
    pub key: AccessKey,
    pub sealed: SealedPrivate,
    pub kek_id: [u8; 8],
}

/// A signing key as it lies in the database. Neither part is of use without the KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSigningKey {
    pub key: SigningKey,
    /// Public JWK (RFC 7517) as JSON text.
    pub public_jwk: String,
    /// `None` once the key is gone and its private bytes were destroyed.
    pub private: Option<SealedPrivate>,
    /// First 8 bytes of SHA-256("kek-id" || KEK).
    pub kek_id: [u8; 8],
}

/// Secret bytes sealed under a data key, and the data key sealed under the KEK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPrivate {
    pub private: Vec<u8>,
    pub data_key: Vec<u8>,
}

/// A data key that was put under another KEK. It takes the place of the one that it was made from, and of no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrap {
    pub old_kek_id: [u8; 8],
    pub old_data_key: Vec<u8>,
    pub kek_id: [u8; 8],
    pub data_key: Vec<u8>,
}

/// How much is sealed under one KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KekUse {
    pub kek_id: [u8; 8],
    /// Those whose private bytes are still kept.
    pub signing_keys: i64,
    pub access_keys: i64,
}

/// A process that serves, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub id: ReplicaId,
    pub region: Region,
    /// Of the program.
    pub version: String,
    /// The KEKs that it can open rows with; the first seals.
    pub kek_ids: Vec<[u8; 8]>,
    /// By the database's clock where it has one, and else by the process' own, as the next one.
    pub started_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
}

/// A replica that was seen within this lives; each says every ten seconds that it does.
pub const REPLICA_LIVES_FOR: TimeDelta = TimeDelta::seconds(60);
/// After that its row goes.
pub const REPLICA_KEPT_FOR: TimeDelta = TimeDelta::minutes(10);

/// Everything that a registry file can describe, for telling the difference.
#[derive(Debug, Clone, Default)]
pub struct RegistrySnapshot {
    pub tenants: Vec<Tenant>,
    pub subscriptions: Vec<Subscription>,
    pub workspaces: Vec<Workspace>,
    pub webservices: Vec<Webservice>,
    pub principals: Vec<ServicePrincipal>,
    /// Object ids of principals with at least one secret.
    pub with_secret: Vec<ObjectId>,
    pub key_credentials: Vec<KeyCredential>,
    pub federated_credentials: Vec<FederatedCredential>,
    pub roles: Vec<RoleDefinition>,
    pub assignments: Vec<RoleAssignment>,
}

/// One write. Puts insert or replace.
#[derive(Debug, Clone)]
pub enum Mutation {
    /// Writes nothing, and lets nothing of the list be written unless the webservice was last changed then; with `None`,
    /// unless there is no such webservice.
    ExpectWebservice(WebserviceId, Option<DateTime<Utc>>),
    /// The same of a workspace.
    ExpectWorkspace(WorkspaceId, Option<DateTime<Utc>>),
    /// The same unless there is no signing key at all: of two regions at once one founds the deployment.
    ExpectNoSigningKeys,
    PutTenant(Tenant),
    DeleteTenant(TenantId),
    PutSubscription(Subscription),
    DeleteSubscription(String),
    PutWorkspace(Workspace),
    /// Also deletes the role assignments at and below it; refused while it has webservices.
    DeleteWorkspace(WorkspaceId),
    PutWebservice(Webservice),
    /// Also deletes the role assignments at it.
    DeleteWebservice(WebserviceId),
    /// Of generation 1: the first one of its name, left alone when there is one. Of a later generation: takes the place
    /// of the generation before, and is refused when another one has.
    PutAccessKey(WebserviceId, Box<StoredAccessKey>),
    PutPrincipal(ServicePrincipal),
    UpdatePrincipal(ObjectId, PrincipalUpdate),
    DeletePrincipal(ObjectId),
    AddSecret(ClientSecret),
    RemoveSecret(ObjectId, CredentialId),
    AddKeyCredential(Box<KeyCredential>),
    RemoveKeyCredential(ObjectId, CredentialId),
    PutFederatedCredential(FederatedCredential),
    RemoveFederatedCredential(ObjectId, CredentialId),
    PutRole(RoleDefinition),
    DeleteRole(RoleDefinitionId),
    PutAssignment(RoleAssignment),
    DeleteAssignment(RoleAssignmentId),
    CreateSigningKey(Box<StoredSigningKey>),
    /// Changes a key's times and revocation, and is refused when they are not `from` any more.
    AmendSigningKey {
        kid: String,
        from: KeyLife,
        to: KeyLife,
    },
    /// Drops the private bytes of a key.
    DestroySigningKey(String),
    /// By kid. Refused as stale when the row has another data key, or none.
    RewrapSigningKey(String, Rewrap),
    /// By the lower-case key of the webservice. Refused as stale when the row has another data key, or is gone.
    RewrapAccessKey(String, KeyName, Rewrap),
    /// Left alone when it is listed already.
    RevokeToken(RevokedToken),
}

impl Mutation {
    /// Whether it only says what must be so.
    pub const fn is_expectation(&self) -> bool {
        matches!(self, Self::ExpectWebservice(..) | Self::ExpectWorkspace(..) | Self::ExpectNoSigningKeys)
    }
}

/// What is to change of a principal; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct PrincipalUpdate {
    pub display_name: Option<String>,
    pub enabled: Option<bool>,
    pub allowed_methods: Option<AllowedMethods>,
}

/// What a committed write made stale in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Principal(ClientId),
    /// Lower-case key of a webservice.
    Webservice(String),
    /// Lower-case key of a workspace: all its webservices.
    Workspace(String),
    Roles,
    /// Tenants or subscriptions.
    Hierarchy,
    SigningKeys,
    /// One more on the deny-list.
    Token(RevokedToken),
}

/// One page of a list: what follows `after` (a lower-case key), at most `limit` items.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub after: &'a str,
    pub limit: u32,
}

/// A database. Two implementations: SQLite here, PostgreSQL for replicas.
///
/// Absence is `Ok(None)`; what it means is the caller's to decide.
#[async_trait]
pub trait Store: Send + Sync {
    // Facts for the directory.
    async fn principal_facts(&self, client_id: ClientId) -> Result<Option<PrincipalFacts>>;
    async fn webservice_facts(&self, key: &str) -> Result<Option<WebserviceFacts>>;
    async fn roles(&self) -> Result<Vec<RoleDefinition>>;

    // The registry.
    async fn tenants(&self) -> Result<Vec<Tenant>>;
    async fn subscriptions(&self) -> Result<Vec<Subscription>>;
    async fn workspace(&self, key: &str) -> Result<Option<Workspace>>;
    /// Workspaces whose key lies under this scope key.
    async fn workspaces(&self, scope_key: &str, page: Page<'_>) -> Result<Vec<Workspace>>;
    /// Primary, then secondary; empty when there is no such webservice.
    async fn access_keys(&self, webservice_key: &str) -> Result<Vec<StoredAccessKey>>;
    /// Access keys that are sealed under a KEK, with the lower-case key of their webservice, in that order: at most
    /// `limit` of those behind `after`.
    async fn access_keys_under(
        &self,
        kek_id: [u8; 8],
        after: (&str, &str),
        limit: u32,
    ) -> Result<Vec<(String, StoredAccessKey)>>;
    /// Every KEK under which something is sealed.
    async fn kek_uses(&self) -> Result<Vec<KekUse>>;
    async fn webservices(&self, workspace_key: &str, page: Page<'_>) -> Result<Vec<Webservice>>;
    async fn client_of(&self, object_id: ObjectId) -> Result<Option<ClientId>>;
    async fn principals(&self, tenant_id: TenantId, page: Page<'_>) -> Result<Vec<ServicePrincipal>>;
    async fn assignment(&self, id: RoleAssignmentId) -> Result<Option<RoleAssignment>>;
    /// Assignments at this scope, above it and below it.
    async fn assignments(&self, scope: &Scope) -> Result<Vec<RoleAssignment>>;
    async fn snapshot(&self) -> Result<RegistrySnapshot>;

    /// Writes all of it or nothing, logs the changes, and returns them.
    async fn commit(&self, mutations: &[Mutation], records: &[Chained<&RecordText>]) -> Result<Vec<Change>>;
    /// Sequence number of the newest change, 0 before the first.
    async fn last_change(&self) -> Result<i64>;
    /// Changes after a sequence number, with the newest number.
    async fn changes_after(&self, sequence: i64) -> Result<(i64, Vec<Change>)>;
    /// Returns when the database says that something changed, or after about a second at most; for databases that
    /// can't say, sleeps. It may return for nothing, as the first time it does where it must begin to listen.
    async fn change_signal(&self) -> Result<()>;

    /// The clock of the database's server; `None` for a database that has no machine of its own.
    async fn server_time(&self) -> Result<Option<DateTime<Utc>>>;

    // Signing keys.
    async fn signing_keys(&self) -> Result<Vec<StoredSigningKey>>;

    // Replicas.
    /// Writes down that a replica lives, and forgets those that have not been seen for long.
    async fn announce_replica(&self, replica: &Replica) -> Result<()>;
    async fn remove_replica(&self, id: ReplicaId) -> Result<()>;
    /// Those that were seen within [`REPLICA_LIVES_FOR`], by the database's clock, or before `now` where it has none.
    async fn live_replicas(&self, now: DateTime<Utc>) -> Result<Vec<Replica>>;

    // Client assertions that were shown.
    /// Whether it was not shown before.
    async fn use_assertion(&self, digest: [u8; 32], expires_at: DateTime<Utc>) -> Result<bool>;
    /// Forgets those that have expired then.
    async fn remove_assertions(&self, until: DateTime<Utc>) -> Result<()>;

    /// The deny-list.
    async fn revoked_tokens(&self) -> Result<Vec<RevokedToken>>;
    /// Forgets those that have expired then.
    async fn remove_revoked_tokens(&self, until: DateTime<Utc>) -> Result<()>;

    /// Remembers a fact about this database the first time, and returns what is remembered.
    async fn remember(&self, name: &str, value: &[u8]) -> Result<Vec<u8>>;

    /// Waits for running statements and leaves the database whole in its file. Nothing may be asked afterwards.
    async fn close(&self);

    // The audit.
    /// Durable when it returns. A record that is there already, at the same link, is left as it is.
    async fn append_audit(&self, records: &[Chained<&RecordText>]) -> Result<()>;
    async fn audit_record(&self, id: AuditRecordId) -> Result<Option<Chained<RecordText>>>;
    /// The audit in the order of the links' times, a page at a time: at most `limit` records, each with the cursor that
    /// stands behind it.
    async fn audit_page(
        &self,
        order: Order,
        cursor: AuditCursor,
        limit: u32,
    ) -> Result<Vec<(AuditCursor, Chained<RecordText>)>>;
    /// Of each chain the last link before a time, if there is one.
    async fn audit_ends(&self, before: DateTime<Utc>) -> Result<Vec<Link>>;
    /// Removes some of the records that were linked before a time; returns how many, 0 when none is left. The chains'
    /// ends must be on record first: see `audit::removal`.
    async fn remove_audit(&self, before: DateTime<Utc>) -> Result<u64>;
    /// Makes room for the records of the coming months, where a database keeps each month by itself. To be called at
    /// start and now and then.
    async fn prepare_audit(&self) -> Result<()>;
    // How long issuing took.
    /// Puts rows, each in the place of what its process wrote for the same span and regions before.
    async fn put_latencies(&self, rows: &[LatencyRow]) -> Result<()>;
    /// The rows of all processes whose span began after a time.
    async fn latencies(&self, span: Span, since: DateTime<Utc>) -> Result<Vec<LatencyRow>>;
    /// Removes the rows whose span began at that time or before.
    async fn remove_latencies(&self, span: Span, until: DateTime<Utc>) -> Result<()>;

    /// Regions of registered workspaces and clusters, for metric labels.
    async fn regions(&self) -> Result<Vec<(Region, Region)>>;
}
