//! What follows when the signing keys in the database can't be used: the replica says that it is not ready, and goes on
//! with those that it has. It never makes a new key for that.

use std::sync::Arc;

use super::Core;
use super::rotate_signing_keys::RotationError;
use crate::storage::StorageError;

impl Core {
    /// Tends the signing keys, and remembers whether they can be used.
    pub async fn watch_signing_keys(&self) -> Result<(), RotationError> {
        let tended = self.tend_signing_keys().await;
        let trouble = match &tended {
            Ok(()) => None,
            Err(error) if lies_in_the_rows(error) => Some(Arc::new(error.to_string())),
            // A database that is away and a wrong clock tell nothing of the keys.
            Err(_) => return tended,
        };
        self.metrics.signing_keys_unusable.set(i64::from(trouble.is_some()));
        self.key_trouble.store(trouble);
        tended
    }
}

/// Whether a row is sealed under an unknown KEK, was altered, moved or swapped, or holds what can't be read.
fn lies_in_the_rows(error: &RotationError) -> bool {
    matches!(
        error,
        RotationError::Load(_)
            | RotationError::Sealing(_)
            | RotationError::Jwks(_)
            | RotationError::Storage(StorageError::Corrupt(_))
    )
}
