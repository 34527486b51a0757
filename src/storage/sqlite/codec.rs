//! Domain values to columns and back. Times are Unix microseconds: exact, ordered, and 8 bytes.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

pub use crate::storage::read::{Columns, corrupt, to_json};
use crate::storage::{Result, StorageError};

/// Microseconds since 1970.
pub fn micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

impl Columns for SqliteRow {
    fn text(&self, column: &str) -> Result<String> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn text_opt(&self, column: &str) -> Result<Option<String>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn int(&self, column: &str) -> Result<i64> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn int_opt(&self, column: &str) -> Result<Option<i64>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn id(&self, column: &str) -> Result<Uuid> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn bytes_opt(&self, column: &str) -> Result<Option<Vec<u8>>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn flag(&self, column: &str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    fn time(&self, column: &str) -> Result<DateTime<Utc>> {
        instant(column, self.int(column)?)
    }

    fn time_opt(&self, column: &str) -> Result<Option<DateTime<Utc>>> {
        self.int_opt(column)?.map(|micros| instant(column, micros)).transpose()
    }
}

fn instant(column: &str, micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| corrupt(column, micros))
}

/// For reads, and for writes that no constraint can refuse.
pub fn unavailable(error: sqlx::Error) -> StorageError {
    StorageError::Unavailable(error.to_string())
}

/// Whether another connection's lock is in the way (SQLITE_BUSY, result code 5).
pub fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("5"))
}

/// For writes: a broken constraint is the caller's mistake, told in the registry's words.
pub fn write_error(error: sqlx::Error, subject: impl std::fmt::Display) -> StorageError {
    let Some(database) = error.as_database_error() else {
        return unavailable(error);
    };
    if database.is_foreign_key_violation() {
        return StorageError::Conflict(format!(
            "{subject}: refers to something that does not exist, or is still in use"
        ));
    }
    if database.is_unique_violation() || database.is_check_violation() {
        // The database's own words name tables and columns, which are nobody's business outside.
        return StorageError::Conflict(format!(
            "{subject}: contradicts what is registered, such as a name or an id in use"
        ));
    }
    unavailable(error)
}
