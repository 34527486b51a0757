//! Domain values to columns and back, and the server's errors in the words of the store.

use std::borrow::Cow;

use chrono::{DateTime, SubsecRound as _, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

pub use crate::storage::read::{Columns, corrupt, to_json};
use crate::storage::{Result, StorageError};

/// The instant as the database holds it: whole microseconds, rounded down.
pub fn instant(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant.trunc_subsecs(6)
}

/// A text that may hold anything, as the database can hold it: PostgreSQL has no U+0000 in texts. A link to
/// a page may hold one; it then goes on behind a name that nothing has, and fails nothing.
pub fn plain(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

impl Columns for PgRow {
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

    fn flag(&self, column: &str) -> Result<bool> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn id(&self, column: &str) -> Result<Uuid> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn bytes_opt(&self, column: &str) -> Result<Option<Vec<u8>>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn time(&self, column: &str) -> Result<DateTime<Utc>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }

    fn time_opt(&self, column: &str) -> Result<Option<DateTime<Utc>>> {
        self.try_get(column).map_err(|error| corrupt(column, error))
    }
}

/// What a transaction says that another one was in the way of; it may be tried again.
const CONTENDED: &str = "other writes were in the way each time";

/// Whether the server ended the transaction in favour of another one.
pub fn is_contended(error: &StorageError) -> bool {
    matches!(error, StorageError::Unavailable(text) if text == CONTENDED)
}

/// For reads, and for writes that no constraint can refuse. The words fit on one line and hold no part of the URL.
pub fn unavailable(error: sqlx::Error) -> StorageError {
    let code = sqlstate(&error);
    let text = match code.as_str() {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => CONTENDED.to_owned(),
        // invalid_authorization_specification, invalid_password
        "28000" | "28P01" => {
            "the server refuses this user or password: correct the database URL, or the server's pg_hba.conf"
                .to_owned()
        }
        // query_canceled: the statement timeout, or an administrator.
        "57014" => "the server ended a statement, which may have taken longer than it may".to_owned(),
        // lock_not_available
        "55P03" => "other writes took longer than this one may wait".to_owned(),
        // read_only_sql_transaction
        "25006" => "the server takes no writes, as a standby does".to_owned(),
        "" => error.to_string(),
        code => format!("{error} (SQLSTATE {code})"),
    };
    StorageError::Unavailable(text.replace('\n', " "))
}

/// For writes: a broken constraint is the caller's mistake, told in the registry's words. The database's own ones name
/// tables and columns, which are nobody's business outside.
pub fn write_error(error: sqlx::Error, subject: impl std::fmt::Display) -> StorageError {
    let code = sqlstate(&error);
    let why = match (code.as_str(), code.get(..2)) {
        // foreign_key_violation, restrict_violation
        ("23503" | "23001", _) => "refers to something that does not exist, or is still in use",
        // integrity_constraint_violation
        (_, Some("23")) => "contradicts what is registered, such as a name or an id in use",
        // cardinality_violation: a put of many rows that holds one thing twice
        ("21000", _) => "is there twice",
        // data_exception, such as U+0000 in a text; program_limit_exceeded, such as a text too long for an index.
        ("54000", _) | (_, Some("22")) => "holds a value that the database can't keep",
        _ => return unavailable(error),
    };
    StorageError::Conflict(format!("{subject}: {why}"))
}

/// The five characters by which a server names its error, or nothing.
fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code());
    code.map(Cow::into_owned).unwrap_or_default()
}
