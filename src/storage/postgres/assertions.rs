//! Client assertions that were shown, until they expire.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgPool;

use super::codec::{instant, unavailable};
use crate::storage::Result;

pub async fn add(pool: &PgPool, digest: [u8; 32], expires_at: DateTime<Utc>) -> Result<bool> {
    let sql =
        "INSERT INTO used_assertions (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
    let query = sqlx::query(sql).bind(digest.as_slice()).bind(instant(expires_at));
    let written = query.execute(pool).await.map_err(unavailable)?;
    Ok(written.rows_affected() == 1)
}

pub async fn remove(pool: &PgPool, until: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("DELETE FROM used_assertions WHERE expires_at <= $1").bind(instant(until));
    query.execute(pool).await.map_err(unavailable).map(drop)
}
