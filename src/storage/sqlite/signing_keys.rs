//! Signing-key rows, and single facts about the database.

use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::codec::unavailable;
use crate::storage::{Result, StoredSigningKey, read};

pub async fn all(pool: &SqlitePool) -> Result<Vec<StoredSigningKey>> {
    let rows = sqlx::query("SELECT * FROM signing_keys ORDER BY region, generation")
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read::signing_key).collect()
}

pub async fn remember(connection: &mut SqliteConnection, name: &str, value: &[u8]) -> Result<Vec<u8>> {
    sqlx::query("INSERT INTO instance_facts (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(value)
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    sqlx::query_scalar("SELECT value FROM instance_facts WHERE name = ?")
        .bind(name)
        .fetch_one(&mut *connection)
        .await
        .map_err(unavailable)
}
