//! Signing-key rows, and single facts about the database.

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use super::codec::{Columns as _, unavailable};
use crate::domain::region::Region;
use crate::domain::signing_key::{KeyLife, SigningAlgorithm, SigningKey};
use crate::storage::{Result, SealedPrivate, StoredSigningKey};

pub async fn all(pool: &SqlitePool) -> Result<Vec<StoredSigningKey>> {
    let rows = sqlx::query("SELECT * FROM signing_keys ORDER BY region, generation")
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(key_from).collect()
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

fn key_from(row: &SqliteRow) -> Result<StoredSigningKey> {
    let private = match (row.bytes_opt("sealed_private")?, row.bytes_opt("sealed_data_key")?) {
        (Some(private), Some(data_key)) => Some(SealedPrivate { private, data_key }),
        _ => None,
    };
    Ok(StoredSigningKey {
        key: SigningKey {
            kid: row.text("kid")?,
            region: row.parsed("region", Region::parse)?,
            generation: row.int("generation")?,
            algorithm: row
                .parsed("algorithm", |text| SigningAlgorithm::parse(text).ok_or(format!("`{text}`")))?,
            life: KeyLife {
                published_at: row.time("published_at")?,
                sign_from: row.time("sign_from")?,
                sign_until: row.time("sign_until")?,
                remove_at: row.time("remove_at")?,
                revoked_at: row.time_opt("revoked_at")?,
            },
        },
        public_jwk: row.text("public_jwk")?,
        private,
        kek_id: row.bytes("kek_id")?,
    })
}
