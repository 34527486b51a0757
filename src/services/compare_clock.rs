//! Whether this machine's clock is right, by the database server's where there is one. Done at start, by the worker, and before a key is
//! imported.

use super::Core;
use crate::storage::{Result, StorageError};

impl Core {
    /// Compares the clock anew. What was found is what [`crate::clock::WatchedClock::confirmed`] says from now on.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]: the server did not say, or too late to tell. The comparison before still holds.
    pub async fn compare_clock(&self) -> Result<()> {
        let asked = self.clock.steady();
        match self.store.server_time().await? {
            None => self.clock.compare_with_itself(),
            Some(told) if self.clock.compare(told, asked) => {}
            Some(_) => {
                let late = "it took longer than a second to say what time it is";
                return Err(StorageError::Unavailable(late.to_owned()));
            }
        }
        Ok(())
    }
}
