//! What the suite needs from a database besides being a store.

use std::sync::Arc;

use async_trait::async_trait;
use workspace_sts::storage::{Result, Store};

/// One empty database of its own for each case. Dropping it removes it.
#[async_trait]
pub trait Database: Send + Sync {
    /// Opens it as a process does: migrated and ready. Every call is another process's view of the same data.
    async fn open(&self) -> Result<Arc<dyn Store>>;

    /// As the section `[storage]` of a configuration names it.
    fn configured(&self) -> String;

    /// Runs SQL that both databases understand.
    async fn run(&self, sql: &str);

    /// Writes down a migration that only a later version can have made.
    async fn pretend_newer_migration(&self);

    /// Alters the checksum of a migration that was run.
    async fn pretend_altered_migration(&self);
}
