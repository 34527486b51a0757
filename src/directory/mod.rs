//! Facts in memory: principals, webservices and roles, read through on demand and forgotten when they change.
//!
//! The hot path asks no database while its facts are here. Absence is kept too, so that a wrong id asked for again
//! and again costs no query. Memory is bounded by the number of entries; the least used give way.

pub mod verified;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use moka::sync::Cache;
use tokio::sync::RwLock;

use crate::domain::ids::{ClientId, RoleDefinitionId, TenantId};
use crate::domain::role::RoleDefinition;
use crate::domain::workspace::Subscription;
use crate::storage::{Change, PrincipalFacts, Result, Store, WebserviceFacts};

/// Role definitions by id.
pub type Roles = HashMap<RoleDefinitionId, RoleDefinition>;

/// What lies above the workspaces. Small, so it is kept whole.
#[derive(Debug, Default)]
pub struct Hierarchy {
    pub tenants: HashSet<TenantId>,
    /// By lower-case id.
    pub subscriptions: HashMap<String, Subscription>,
}

/// How much the directory may keep.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    pub principals: u64,
    pub webservices: u64,
}

/// The facts of one process.
pub struct Directory {
    store: Arc<dyn Store>,
    principals: Cache<ClientId, Option<Arc<PrincipalFacts>>, Hasher>,
    webservices: Cache<Box<str>, Option<Arc<WebserviceFacts>>, Hasher>,
    roles: ArcSwap<Roles>,
    hierarchy: ArcSwap<Hierarchy>,
    /// Counts forgettings. A fact that was read before one and arrives after it is not kept.
    epoch: AtomicU64,
    /// Held for reading while a fact is kept, for writing while facts are forgotten.
    fence: RwLock<()>,
    followed: AtomicI64,
}

/// SipHash costs as much as the rest of a look-up; the keys are ids that passed a parser and the map is bounded,
/// and this hasher is keyed at random for each process.
type Hasher = ahash::RandomState;

impl Directory {
    /// Reads the roles; everything else is read when it is asked for.
    pub async fn open(store: Arc<dyn Store>, capacity: Capacity) -> Result<Self> {
        let directory = Self {
            principals: Cache::builder().max_capacity(capacity.principals).build_with_hasher(Hasher::new()),
            webservices: Cache::builder().max_capacity(capacity.webservices).build_with_hasher(Hasher::new()),
            roles: ArcSwap::default(),
            hierarchy: ArcSwap::default(),
            epoch: AtomicU64::new(0),
            fence: RwLock::new(()),
            // Before the first read, so that no change falls between.
            followed: AtomicI64::new(store.last_change().await?),
            store,
        };
        directory.reload_roles().await?;
        directory.reload_hierarchy().await?;
        Ok(directory)
    }

    pub async fn principal(&self, client_id: ClientId) -> Result<Option<Arc<PrincipalFacts>>> {
        if let Some(known) = self.principals.get(&client_id) {
            return Ok(known);
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let read = self.store.principal_facts(client_id).await?.map(Arc::new);
        let _kept = self.fence.read().await;
        if epoch == self.epoch.load(Ordering::SeqCst) {
            self.principals.insert(client_id, read.clone());
        }
        Ok(read)
    }

    /// `key` is the lower-case ARM id.
    pub async fn webservice(&self, key: &str) -> Result<Option<Arc<WebserviceFacts>>> {
        if let Some(known) = self.webservices.get(key) {
            return Ok(known);
        }
        let epoch = self.epoch.load(Ordering::SeqCst);
        let read = self.store.webservice_facts(key).await?.map(Arc::new);
        let _kept = self.fence.read().await;
        if epoch == self.epoch.load(Ordering::SeqCst) {
            self.webservices.insert(key.into(), read.clone());
        }
        Ok(read)
    }

    /// All role definitions, as one snapshot.
    pub fn roles(&self) -> arc_swap::Guard<Arc<Roles>> {
        self.roles.load()
    }

    /// Tenants and subscriptions, as one snapshot.
    pub fn hierarchy(&self) -> arc_swap::Guard<Arc<Hierarchy>> {
        self.hierarchy.load()
    }

    /// Forgets what these changes made stale. Returns when no later request can see it.
    pub async fn forget(&self, changes: &[Change]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        {
            let _alone = self.fence.write().await;
            self.epoch.fetch_add(1, Ordering::SeqCst);
            for change in changes {
                match change {
                    Change::Principal(client_id) => self.principals.invalidate(client_id),
                    Change::Webservice(key) => self.webservices.invalidate(key.as_str()),
                    // A workspace's settings stand in each of its webservices' facts; such changes are rare.
                    Change::Workspace(_) => self.webservices.invalidate_all(),
                    Change::Roles | Change::Hierarchy | Change::SigningKeys => {}
                }
            }
        }
        if changes.contains(&Change::Roles) {
            self.reload_roles().await?;
        }
        if changes.contains(&Change::Hierarchy) {
            self.reload_hierarchy().await?;
        }
        Ok(())
    }

    /// Follows what other processes changed, and returns it.
    pub async fn follow(&self) -> Result<Vec<Change>> {
        let (newest, changes) = self.store.changes_after(self.followed.load(Ordering::SeqCst)).await?;
        self.forget(&changes).await?;
        // Only after they are forgotten, so that a failure is tried again.
        self.followed.fetch_max(newest, Ordering::SeqCst);
        Ok(changes)
    }

    async fn reload_roles(&self) -> Result<()> {
        let roles = self.store.roles().await?.into_iter().map(|role| (role.id, role)).collect();
        self.roles.store(Arc::new(roles));
        Ok(())
    }

    async fn reload_hierarchy(&self) -> Result<()> {
        let tenants = self.store.tenants().await?.into_iter().map(|tenant| tenant.id).collect();
        let subscriptions = self.store.subscriptions().await?.into_iter();
        let subscriptions = subscriptions.map(|found| (found.id.to_ascii_lowercase(), found)).collect();
        self.hierarchy.store(Arc::new(Hierarchy { tenants, subscriptions }));
        Ok(())
    }
}
