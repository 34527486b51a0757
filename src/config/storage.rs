//! `[storage]`: one of the two databases.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::ConfigError;
use crate::storage::postgres::PostgresSettings;

/// Exactly one of the file and the URL is given.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    pub sqlite_file: Option<PathBuf>,
    /// Holds a password, so it comes from the environment.
    pub postgres_url: Option<String>,
    /// A file that holds the URL.
    pub postgres_url_file: Option<PathBuf>,
    #[serde(default = "default_connections")]
    pub postgres_max_connections: u32,
    #[serde(default = "default_acquire")]
    pub postgres_acquire_timeout_milliseconds: u64,
    #[serde(default = "default_statement")]
    pub postgres_statement_timeout_milliseconds: u64,
}

/// Where the data is.
pub enum Place<'a> {
    Sqlite(&'a Path),
    Postgres(PostgresSettings),
}

const fn default_connections() -> u32 {
    10
}

const fn default_acquire() -> u64 {
    500
}

const fn default_statement() -> u64 {
    500
}

/// Beyond this a statement is no deadline any more.
const MAX_TIMEOUT_MILLISECONDS: u64 = 60_000;

impl Storage {
    /// # Errors
    /// None or more than one is given, or the URL's file can't be read.
    pub fn place(&self) -> Result<Place<'_>, ConfigError> {
        let url = match (&self.sqlite_file, &self.postgres_url, &self.postgres_url_file) {
            (Some(file), None, None) => return Ok(Place::Sqlite(file)),
            (None, Some(url), None) => url.clone(),
            (None, None, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
                ConfigError(format!("storage.postgres_url_file: {}: {error}", file.display()))
            })?,
            (None, None, None) => {
                return Err(ConfigError(
                    "storage: name a database, by storage.sqlite_file or storage.postgres_url_file (or WSTS_STORAGE__POSTGRES_URL)"
                        .to_owned(),
                ));
            }
            _ => {
                return Err(ConfigError(
                    "storage: name one of sqlite_file, postgres_url and postgres_url_file".to_owned(),
                ));
            }
        };
        Ok(Place::Postgres(PostgresSettings {
            url: Zeroizing::new(url.trim().to_owned()),
            max_connections: self.postgres_max_connections,
            acquire_timeout_milliseconds: self.postgres_acquire_timeout_milliseconds,
            statement_timeout_milliseconds: self.postgres_statement_timeout_milliseconds,
        }))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.place()?;
        if self.postgres_max_connections < 2 {
            return Err(ConfigError("storage.postgres_max_connections must be at least 2".to_owned()));
        }
        for (name, value) in [
            ("acquire", self.postgres_acquire_timeout_milliseconds),
            ("statement", self.postgres_statement_timeout_milliseconds),
        ] {
            if !(1..=MAX_TIMEOUT_MILLISECONDS).contains(&value) {
                return Err(ConfigError(format!(
                    "storage.postgres_{name}_timeout_milliseconds must be 1 to {MAX_TIMEOUT_MILLISECONDS}"
                )));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("sqlite_file", &self.sqlite_file)
            .field("postgres_url", &self.postgres_url.as_ref().map(|_| "redacted"))
            .field("postgres_url_file", &self.postgres_url_file)
            .field("postgres_max_connections", &self.postgres_max_connections)
            .field("postgres_acquire_timeout_milliseconds", &self.postgres_acquire_timeout_milliseconds)
            .field("postgres_statement_timeout_milliseconds", &self.postgres_statement_timeout_milliseconds)
            .finish()
    }
}
