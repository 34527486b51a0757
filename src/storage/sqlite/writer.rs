//! The one writing connection, and the queue before it.
//!
//! SQLite has one writer at a time; one connection makes the queue ours and fair, and not a lock's. It is no pool of
//! one: a pool asks its connection for a sign of life after each use, which is a round trip to the connection's thread
//! and as long as half a commit.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{Mutex, MutexGuard};

use super::codec::unavailable;
use crate::storage::{Result, StorageError};

/// How long a write waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Writer {
    options: SqliteConnectOptions,
    /// `None` until the next write, after a write that failed or was abandoned.
    connection: Mutex<Option<SqliteConnection>>,
}

impl Writer {
    pub fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        Self { options, connection: Mutex::new(Some(connection)) }
    }

    /// Waits for this write's turn.
    pub async fn turn(&self) -> Result<Turn<'_>> {
        let waited = tokio::time::timeout(TURN_TIMEOUT, self.connection.lock()).await;
        let mut place = waited.map_err(|_| {
            StorageError::Unavailable(format!(
                "other writes took longer than {} seconds",
                TURN_TIMEOUT.as_secs()
            ))
        })?;
        let connection = match place.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(unavailable)?,
        };
        Ok(Turn { place, connection })
    }

    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            // What is committed is on the disk; a connection that does not close loses nothing.
            let _ = connection.close().await;
        }
    }
}

/// The connection in the hands of one write. Dropped without [`Turn::end`], the connection is closed, and with it
/// whatever was begun.
pub struct Turn<'w> {
    place: MutexGuard<'w, Option<SqliteConnection>>,
    pub connection: SqliteConnection,
}

impl Turn<'_> {
    /// Gives the connection back, unless it is what failed.
    pub fn end<T>(mut self, outcome: Result<T>) -> Result<T> {
        if !matches!(outcome, Err(StorageError::Unavailable(_))) {
            *self.place = Some(self.connection);
        }
        outcome
    }
}
