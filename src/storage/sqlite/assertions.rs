//! Client assertions that were shown, until they expire.

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteConnection;

use super::codec::{micros, unavailable};
use crate::storage::Result;

pub async fn add(
    connection: &mut SqliteConnection,
    digest: [u8; 32],
    expires_at: DateTime<Utc>,
) -> Result<bool> {
    let sql =
        "INSERT INTO used_assertions (digest, expires_at) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING";
    let query = sqlx::query(sql).bind(digest.to_vec()).bind(micros(expires_at));
    let written = query.execute(connection).await.map_err(unavailable)?;
    Ok(written.rows_affected() == 1)
}

pub async fn remove(connection: &mut SqliteConnection, until: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("DELETE FROM used_assertions WHERE expires_at <= ?").bind(micros(until));
    query.execute(connection).await.map_err(unavailable).map(drop)
}
