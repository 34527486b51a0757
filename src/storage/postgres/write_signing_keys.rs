//! Writes of signing keys. A key is created once; afterwards only its private bytes are destroyed.

use sqlx::postgres::PgConnection;

use super::codec::instant;
use super::mutations::{changed, run};
use crate::storage::{Result, StoredSigningKey};

/// Refused when its region has a key of this generation: of two creators one wins.
pub async fn create(connection: &mut PgConnection, stored: &StoredSigningKey) -> Result<()> {
    let sql = "INSERT INTO signing_keys (kid, region, generation, algorithm, public_jwk, sealed_private, \
               sealed_data_key, kek_id, published_at, sign_from, sign_until, remove_at, revoked_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let (key, life) = (&stored.key, &stored.key.life);
    let query = sqlx::query(sql)
        .bind(&key.kid)
        .bind(key.region.as_str())
        .bind(key.generation)
        .bind(key.algorithm.as_str())
        .bind(&stored.public_jwk)
        .bind(stored.private.as_ref().map(|sealed| sealed.private.as_slice()))
        .bind(stored.private.as_ref().map(|sealed| sealed.data_key.as_slice()))
        .bind(stored.kek_id.as_slice())
        .bind(instant(life.published_at))
        .bind(instant(life.sign_from))
        .bind(instant(life.sign_until))
        .bind(instant(life.remove_at))
        .bind(life.revoked_at.map(instant));
    let subject = format!("signing key {} of region {}", key.generation, key.region);
    run(connection, query, subject).await?;
    changed(connection, "signing_keys", &key.kid).await
}

pub async fn destroy(connection: &mut PgConnection, kid: &str) -> Result<()> {
    let sql = "UPDATE signing_keys SET sealed_private = NULL, sealed_data_key = NULL WHERE kid = $1";
    run(connection, sqlx::query(sql).bind(kid), format!("signing key {kid}")).await?;
    changed(connection, "signing_keys", kid).await
}
