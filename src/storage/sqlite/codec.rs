//! Domain values to columns and back. Times are Unix microseconds: exact, ordered, and 8 bytes.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::storage::{Result, StorageError};

/// Microseconds since 1970.
pub fn micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

/// Typed access to a row; a column that is missing or of another type is [`StorageError::Corrupt`].
pub trait Columns {
    fn text(&self, column: &str) -> Result<String>;
    fn text_opt(&self, column: &str) -> Result<Option<String>>;
    fn int(&self, column: &str) -> Result<i64>;
    fn int_opt(&self, column: &str) -> Result<Option<i64>>;
    fn id(&self, column: &str) -> Result<Uuid>;
    fn id_opt(&self, column: &str) -> Result<Option<Uuid>>;
    fn bytes_opt(&self, column: &str) -> Result<Option<Vec<u8>>>;
    fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N]>;

    fn time(&self, column: &str) -> Result<DateTime<Utc>> {
        let value = self.int(column)?;
        DateTime::from_timestamp_micros(value).ok_or_else(|| corrupt(column, value))
    }

    fn time_opt(&self, column: &str) -> Result<Option<DateTime<Utc>>> {
        // An instant that can't be read is no absent one: a revocation must not be lost so.
        self.int_opt(column)?
            .map(|value| DateTime::from_timestamp_micros(value).ok_or_else(|| corrupt(column, value)))
            .transpose()
    }

    /// A column whose text has a rule of its own.
    fn parsed<T, E: std::fmt::Display>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T> {
        parse(&self.text(column)?).map_err(|error| corrupt(column, error))
    }

    /// A column that holds JSON.
    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T> {
        self.parsed(column, |text| serde_json::from_str(text))
    }
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

    fn id_opt(&self, column: &str) -> Result<Option<Uuid>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn bytes_opt(&self, column: &str) -> Result<Option<Vec<u8>>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N]> {
        let bytes: Vec<u8> = self.try_get(column).map_err(|error| corrupt(column, error))?;
        <[u8; N]>::try_from(bytes).map_err(|bytes| corrupt(column, format!("{} bytes", bytes.len())))
    }
}

pub fn corrupt(column: &str, what: impl std::fmt::Display) -> StorageError {
    StorageError::Corrupt(format!("column {column}: {what}"))
}

/// Serialises a value of our own making.
pub fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StorageError::Corrupt(error.to_string()))
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
