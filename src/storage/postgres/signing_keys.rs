//! Signing-key rows, and single facts about the database.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgPool;

use super::codec::unavailable;
use crate::storage::{Result, StoredSigningKey, read};

pub async fn all(pool: &PgPool) -> Result<Vec<StoredSigningKey>> {
    let rows = sqlx::query("SELECT * FROM signing_keys ORDER BY region, generation")
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read::signing_key).collect()
}

pub async fn server_time(pool: &PgPool) -> Result<DateTime<Utc>> {
    // Not `now()`, which is when the transaction began.
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool).await.map_err(unavailable)
}

pub async fn remember(pool: &PgPool, name: &str, value: &[u8]) -> Result<Vec<u8>> {
    // Waits for another one that remembers the same, whose value the second statement then sees.
    sqlx::query("INSERT INTO instance_facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(value)
        .execute(pool)
        .await
        .map_err(unavailable)?;
    sqlx::query_scalar("SELECT value FROM instance_facts WHERE name = $1")
        .bind(name)
        .fetch_one(pool)
        .await
        .map_err(unavailable)
}
