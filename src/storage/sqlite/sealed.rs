//! What is sealed under which KEK, and the data keys that move to another one.

use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::codec::{Columns as _, unavailable};
use super::mutations::{changed, run};
use crate::domain::access_key::KeyName;
use crate::storage::{KekUse, Result, Rewrap, StorageError, StoredAccessKey, read};

pub async fn kek_uses(pool: &SqlitePool) -> Result<Vec<KekUse>> {
    let sql = "SELECT kek_id, sum(signing_key) AS signing_keys, sum(access_key) AS access_keys FROM \
               (SELECT kek_id, 1 AS signing_key, 0 AS access_key FROM signing_keys WHERE sealed_private IS NOT NULL \
               UNION ALL SELECT kek_id, 0, 1 FROM access_keys) AS sealed GROUP BY kek_id ORDER BY kek_id";
    let rows = sqlx::query(sql).fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::kek_use).collect()
}

pub async fn access_keys_under(
    pool: &SqlitePool,
    kek_id: [u8; 8],
    (webservice_key, name): (&str, &str),
    limit: u32,
) -> Result<Vec<(String, StoredAccessKey)>> {
    let sql = "SELECT * FROM access_keys WHERE kek_id = ? AND (webservice_key, name) > (?, ?) \
               ORDER BY webservice_key, name LIMIT ?";
    let query = sqlx::query(sql).bind(kek_id.to_vec()).bind(webservice_key).bind(name).bind(limit);
    let rows = query.fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(|row| Ok((row.text("webservice_key")?, read::access_key(row)?))).collect()
}

pub async fn rewrap_signing_key(connection: &mut SqliteConnection, kid: &str, rewrap: &Rewrap) -> Result<()> {
    let sql = "UPDATE signing_keys SET sealed_data_key = ?, kek_id = ? \
               WHERE kid = ? AND kek_id = ? AND sealed_data_key = ?";
    let query = sqlx::query(sql)
        .bind(rewrap.data_key.as_slice())
        .bind(rewrap.kek_id.as_slice())
        .bind(kid)
        .bind(rewrap.old_kek_id.as_slice())
        .bind(rewrap.old_data_key.as_slice());
    let subject = format!("signing key {kid}");
    match run(connection, query, &subject).await? {
        0 => Err(StorageError::Stale(format!("{subject} was written by somebody else meanwhile"))),
        // Replicas read the keys anew, and so notice at once whether they can open this one.
        _ => changed(connection, "signing_keys", kid).await,
    }
}

/// Logs no change: nobody keeps a sealed value in memory.
pub async fn rewrap_access_key(
    connection: &mut SqliteConnection,
    webservice_key: &str,
    name: KeyName,
    rewrap: &Rewrap,
) -> Result<()> {
    let sql = "UPDATE access_keys SET sealed_data_key = ?, kek_id = ? \
               WHERE webservice_key = ? AND name = ? AND kek_id = ? AND sealed_data_key = ?";
    let query = sqlx::query(sql)
        .bind(rewrap.data_key.as_slice())
        .bind(rewrap.kek_id.as_slice())
        .bind(webservice_key)
        .bind(name.as_str())
        .bind(rewrap.old_kek_id.as_slice())
        .bind(rewrap.old_data_key.as_slice());
    let subject = format!("{} key of {webservice_key}", name.as_str().to_lowercase());
    match run(connection, query, &subject).await? {
        0 => Err(StorageError::Stale(format!("the {subject} was written by somebody else meanwhile"))),
        _ => Ok(()),
    }
}
