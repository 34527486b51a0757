//! How storage fails, in words that say who can mend it.

/// Errors of a [`super::Store`].
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The change contradicts what is stored (a missing parent, a doubled name, something still in use).
    #[error("{0}")]
    Conflict(String),
    /// What the change was made from was changed by somebody else meanwhile: read it again.
    #[error("{0}")]
    Stale(String),
    /// The database can't be reached, is locked, read-only or full: the same call may succeed later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A stored value is not one that this version writes.
    #[error("the database holds a value this version can't read: {0}")]
    Corrupt(String),
    /// The schema is newer than this program, or was altered.
    #[error("{0}")]
    Schema(String),
}

pub type Result<T, E = StorageError> = std::result::Result<T, E>;
