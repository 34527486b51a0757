//! Facts in memory: principals, webservices and roles, read through on demand and forgotten when they change.
//!
//! The hot path asks no database while its facts are here. Absence is kept too, so that a wrong id asked for again
//! and again costs no query. Memory is bounded by the number of entries; the least used give way.

pub mod revoked;
pub mod verified;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use tokio::sync::RwLock;

use self::revoked::RevokedTokens;
use crate::domain::ids::{ClientId, RoleDefinitionId, TenantId};
use crate::domain::role::RoleDefinition;
use crate::domain::workspace::Subscription;
use crate::storage::{Change, PrincipalFacts, Result, StorageError, Store, WebserviceFacts};

/// Role definitions by id.
pub type Roles = HashMap<RoleDefinitionId, RoleDefinition>;

/// What lies above the workspaces. Small, so it is kept whole.
#[derive(Debug, Default)]
pub struct Hierarchy {
    pub tenants: HashSet<TenantId>,
    /// By lower-case id.
    pub subscriptions: HashMap<String, Subscription>,
}

/// How much the directory may keep, and for how long it may be believed.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    pub principals: u64,
    pub webservices: u64,
    /// How long facts serve while the database can't be asked for changes.
    pub grace: Duration,
}

/// Facts are asked about each second, so this much may pass without a sign of trouble.
const SHORTEST_GRACE: Duration = Duration::from_secs(5);

/// The facts of one process.
pub struct Directory {
    store: Arc<dyn Store>,
    principals: Bounded<ClientId, Option<Arc<PrincipalFacts>>>,
    webservices: Bounded<Box<str>, Option<Arc<WebserviceFacts>>>,
    roles: ArcSwap<Roles>,
    hierarchy: ArcSwap<Hierarchy>,
    pub revoked: RevokedTokens,
    /// Counts forgettings. A fact that was read before one and arrives after it is not kept.
    epoch: AtomicU64,
    /// Held for reading while a fact is kept, for writing while facts are forgotten.
    fence: RwLock<()>,
    followed: AtomicI64,
    /// When the database was last seen to have no change that is not known here, in milliseconds after `opened`.
    confirmed: AtomicU64,
    /// Monotonic, so that a jump of the wall clock makes no fact older or younger.
    opened: Instant,
    grace: Duration,
}

/// SipHash costs as much as the rest of a look-up; the keys are ids that passed a parser and the map is bounded,
/// and this hasher is keyed at random for each process.
type Hasher = ahash::RandomState;

/// A map of so many entries at most; those that were asked for least give way.
pub type Bounded<K, V> = Cache<K, V, UnitWeighter, Hasher>;

pub fn bounded<K: Eq + std::hash::Hash, V: Clone>(entries: u64) -> Bounded<K, V> {
    let expected = usize::try_from(entries).unwrap_or(usize::MAX);
    Cache::with(expected, entries, UnitWeighter, Hasher::new(), DefaultLifecycle::default())
}

impl Directory {
    /// Reads the roles; everything else is read when it is asked for.
    pub async fn open(store: Arc<dyn Store>, capacity: Capacity) -> Result<Self> {
        let directory = Self {
            principals: bounded(capacity.principals),
            webservices: bounded(capacity.webservices),
            roles: ArcSwap::default(),
            hierarchy: ArcSwap::default(),
            revoked: RevokedTokens::default(),
            epoch: AtomicU64::new(0),
            fence: RwLock::new(()),
            // Before the first read, so that no change falls between.
            followed: AtomicI64::new(store.last_change().await?),
            confirmed: AtomicU64::new(0),
            opened: Instant::now(),
            grace: capacity.grace.max(SHORTEST_GRACE),
            store,
        };
        directory.reload_roles().await?;
        directory.reload_hierarchy().await?;
        directory.revoked.add(directory.store.revoked_tokens().await?);
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
        // Of roles, the hierarchy and signing keys nothing is kept by entry, and whoever reads an entry meanwhile may keep it.
        let of_entries = |change: &Change| {
            matches!(change, Change::Principal(_) | Change::Webservice(_) | Change::Workspace(_))
        };
        if changes.iter().any(of_entries) {
            let _alone = self.fence.write().await;
            self.epoch.fetch_add(1, Ordering::SeqCst);
            for change in changes {
                match change {
                    Change::Principal(client_id) => {
                        self.principals.remove(client_id);
                    }
                    Change::Webservice(key) => {
                        self.webservices.remove(key.as_str());
                    }
                    // A workspace's settings stand in each of its webservices' facts; such changes are rare.
                    Change::Workspace(_) => self.webservices.clear(),
                    Change::Roles | Change::Hierarchy | Change::SigningKeys | Change::Token(_) => {}
                }
            }
        }
        let revoked = changes.iter().filter_map(|change| match change {
            Change::Token(revoked) => Some(revoked.clone()),
            _ => None,
        });
        let revoked: Vec<_> = revoked.collect();
        if !revoked.is_empty() {
            self.revoked.add(revoked);
        }
        if changes.contains(&Change::Roles) {
            self.reload_roles().await?;
        }
        if changes.contains(&Change::Hierarchy) {
            self.reload_hierarchy().await?;
        }
        Ok(())
    }

    /// Whether what is kept here may be believed: it was followed within the grace. A revocation that a partition hides
    /// can be overlooked no longer than that.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: too old. The worker goes on asking, so this ends by itself.
    pub fn confirm(&self) -> Result<()> {
        let age = self.age();
        if age <= self.grace {
            return Ok(());
        }
        Err(StorageError::Unavailable(format!(
            "facts in memory are {} s old and can't be confirmed; {} s are granted",
            age.as_secs(),
            self.grace.as_secs()
        )))
    }

    /// Whether the database could not be asked for a while.
    pub fn is_behind(&self) -> bool {
        self.age() > SHORTEST_GRACE
    }

    /// How long ago everything here was last known to hold.
    fn age(&self) -> Duration {
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::SeqCst));
        self.opened.elapsed().saturating_sub(confirmed)
    }

    /// Follows what other processes changed, and returns it.
    pub async fn follow(&self) -> Result<Vec<Change>> {
        let asked = self.opened.elapsed();
        let (newest, changes) = self.store.changes_after(self.followed.load(Ordering::SeqCst)).await?;
        self.forget(&changes).await?;
        // Only after they are forgotten, so that a failure is tried again.
        self.followed.fetch_max(newest, Ordering::SeqCst);
        self.confirmed.fetch_max(u64::try_from(asked.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
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

// A test has no caller to hand an error to.
#[allow(clippy::expect_used)]
#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::SqliteStore;

    async fn directory(grace: Duration) -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let store = SqliteStore::open(&folder.path().join("wsts.db")).await.expect("a new file");
        let capacity = Capacity { principals: 10, webservices: 10, grace };
        (folder, Directory::open(Arc::new(store), capacity).await.expect("an empty database"))
    }

    /// As time passes, without waiting for it.
    fn age(directory: &mut Directory, by: Duration) {
        directory.opened = directory.opened.checked_sub(by).expect("the machine runs for longer");
    }

    #[tokio::test]
    async fn facts_are_believed_for_the_grace_and_anew_once_followed() {
        let (_folder, mut directory) = directory(Duration::from_secs(60)).await;
        directory.confirm().expect("just read");
        age(&mut directory, Duration::from_secs(59));
        directory.confirm().expect("within the grace");
        age(&mut directory, Duration::from_secs(2));
        assert!(matches!(directory.confirm(), Err(StorageError::Unavailable(_))));
        directory.follow().await.expect("the database is there");
        directory.confirm().expect("just followed");
    }

    #[tokio::test]
    async fn a_database_that_is_away_confirms_nothing() {
        let (_folder, mut directory) = directory(Duration::ZERO).await;
        directory.store.close().await;
        age(&mut directory, Duration::from_secs(4));
        directory.confirm().expect("the shortest grace is five seconds");
        age(&mut directory, Duration::from_secs(2));
        directory.follow().await.expect_err("it is away");
        assert!(directory.confirm().is_err());
    }
}
