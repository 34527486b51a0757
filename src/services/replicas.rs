//! The processes that serve, as each says of itself in the database: who must be able to open what is sealed next.

use super::Core;
use crate::storage::Replica;

impl Core {
    /// Says that this process serves, and which KEKs it has. Done at start, before keys are read, and by the worker.
    ///
    /// A database that takes no writes does not keep it from serving; what it then risks is to be overlooked when the KEK
    /// is changed, and so to be not ready until it has the new one.
    pub async fn announce(&self) {
        let now = self.clock.now();
        let replica = Replica {
            id: self.replica_id,
            region: self.settings.policy.region.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kek_ids: self.keks.ids(),
            started_at: now,
            seen_at: now,
        };
        if let Err(error) = self.store.announce_replica(&replica).await {
            tracing::warn!(%error, "this replica could not say that it lives; after a minute others take it for dead");
        }
    }

    /// Says that it serves no more, so that nobody waits until it is taken for dead.
    pub async fn take_leave(&self) {
        if let Err(error) = self.store.remove_replica(self.replica_id).await {
            tracing::debug!(%error, "the row of this replica stays for a minute");
        }
    }
}
