//! Writes of signing keys. A key is created once; afterwards its times are amended by an operator's intervention, and
//! its private bytes are destroyed.

use sqlx::sqlite::SqliteConnection;

use super::codec::{micros, unavailable};
use super::mutations::{changed, run};
use crate::domain::signing_key::KeyLife;
use crate::storage::{Result, StorageError, StoredSigningKey};

/// Refused when its region has a key of this generation: of two creators one wins.
pub async fn create(connection: &mut SqliteConnection, stored: &StoredSigningKey) -> Result<()> {
    let sql = "INSERT INTO signing_keys (kid, region, generation, algorithm, public_jwk, sealed_private, \
               sealed_data_key, kek_id, published_at, sign_from, sign_until, remove_at, revoked_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
        .bind(micros(life.published_at))
        .bind(micros(life.sign_from))
        .bind(micros(life.sign_until))
        .bind(micros(life.remove_at))
        .bind(life.revoked_at.map(micros));
    let subject = format!("signing key {} of region {}", key.generation, key.region);
    run(connection, query, subject).await?;
    changed(connection, "signing_keys", &key.kid).await
}

pub async fn expect_none(connection: &mut SqliteConnection) -> Result<()> {
    let some: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM signing_keys)")
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    if some {
        Err(StorageError::Stale("another region made its first signing key".to_owned()))
    } else {
        Ok(())
    }
}

/// Of two interventions at once the later one is refused: it was decided on what is no longer so.
pub async fn amend(connection: &mut SqliteConnection, kid: &str, from: &KeyLife, to: &KeyLife) -> Result<()> {
    let sql = "UPDATE signing_keys SET sign_from = ?, sign_until = ?, remove_at = ?, revoked_at = ? \
               WHERE kid = ? AND sign_from = ? AND sign_until = ? AND remove_at = ? \
               AND revoked_at IS ?";
    let query = sqlx::query(sql)
        .bind(micros(to.sign_from))
        .bind(micros(to.sign_until))
        .bind(micros(to.remove_at))
        .bind(to.revoked_at.map(micros))
        .bind(kid)
        .bind(micros(from.sign_from))
        .bind(micros(from.sign_until))
        .bind(micros(from.remove_at))
        .bind(from.revoked_at.map(micros));
    let subject = format!("signing key {kid}");
    match run(connection, query, &subject).await? {
        0 => Err(StorageError::Stale(format!("{subject} was changed meanwhile: look again"))),
        _ => changed(connection, "signing_keys", kid).await,
    }
}

pub async fn destroy(connection: &mut SqliteConnection, kid: &str) -> Result<()> {
    let sql = "UPDATE signing_keys SET sealed_private = NULL, sealed_data_key = NULL WHERE kid = ?";
    run(connection, sqlx::query(sql).bind(kid), format!("signing key {kid}")).await?;
    changed(connection, "signing_keys", kid).await
}
