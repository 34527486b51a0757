//! What the directory keeps in memory: one principal or one webservice with all that belongs to it.

use sqlx::sqlite::SqlitePool;

use super::codec::{Columns as _, unavailable};
use super::registry;
use crate::domain::ids::{ClientId, ObjectId};
use crate::domain::role::RoleDefinition;
use crate::storage::{PrincipalFacts, Result, StoredAccessKey, WebserviceFacts, read};

pub async fn principal(pool: &SqlitePool, client_id: ClientId) -> Result<Option<PrincipalFacts>> {
    // One snapshot for all reads: a revocation between them can't be half seen.
    let mut transaction = pool.begin().await.map_err(unavailable)?;
    let row = sqlx::query("SELECT * FROM principals WHERE client_id = ?")
        .bind(client_id.uuid())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let Some(row) = row else { return Ok(None) };
    let principal = read::principal(&row)?;
    let mut of_principal = async |sql: &'static str| {
        let query = sqlx::query(sql).bind(principal.object_id.uuid());
        query.fetch_all(&mut *transaction).await.map_err(unavailable)
    };
    let secrets = of_principal("SELECT * FROM client_secrets WHERE object_id = ? ORDER BY slot").await?;
    let keys = of_principal("SELECT * FROM key_credentials WHERE object_id = ? ORDER BY id").await?;
    let federated =
        of_principal("SELECT * FROM federated_credentials WHERE object_id = ? ORDER BY name").await?;
    let assignments = of_principal("SELECT * FROM role_assignments WHERE object_id = ? ORDER BY id").await?;
    transaction.rollback().await.map_err(unavailable)?;
    Ok(Some(PrincipalFacts {
        principal,
        secrets: secrets.iter().map(read::client_secret).collect::<Result<_>>()?,
        key_credentials: keys.iter().map(read::key_credential).collect::<Result<_>>()?,
        federated_credentials: federated.iter().map(read::federated_credential).collect::<Result<_>>()?,
        assignments: assignments.iter().map(read::assignment).collect::<Result<_>>()?,
    }))
}

pub async fn client_of(pool: &SqlitePool, object_id: ObjectId) -> Result<Option<ClientId>> {
    let row = sqlx::query("SELECT client_id FROM principals WHERE object_id = ?")
        .bind(object_id.uuid())
        .fetch_optional(pool)
        .await
        .map_err(unavailable)?;
    row.map(|row| Ok(ClientId::from_uuid(row.id("client_id")?))).transpose()
}

pub async fn webservice(pool: &SqlitePool, key: &str) -> Result<Option<WebserviceFacts>> {
    let mut transaction = pool.begin().await.map_err(unavailable)?;
    let row = sqlx::query("SELECT * FROM webservices WHERE webservice_key = ?")
        .bind(key)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let Some(row) = row else { return Ok(None) };
    let webservice = read::webservice(&row)?;
    let workspace = sqlx::query(registry::WORKSPACE_BY_KEY)
        .bind(row.text("workspace_key")?)
        .fetch_one(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let access_keys = sqlx::query(ACCESS_KEYS)
        .bind(key)
        .fetch_all(&mut *transaction)
        .await
        .map_err(unavailable)?
        .iter()
        .map(|row| Ok(read::access_key(row)?.key))
        .collect::<Result<_>>()?;
    transaction.rollback().await.map_err(unavailable)?;
    let workspace = read::workspace(&workspace)?;
    Ok(Some(WebserviceFacts { webservice, workspace, access_keys }))
}

/// `Primary` comes before `Secondary`.
const ACCESS_KEYS: &str = "SELECT * FROM access_keys WHERE webservice_key = ? ORDER BY name";

pub async fn access_keys(pool: &SqlitePool, webservice_key: &str) -> Result<Vec<StoredAccessKey>> {
    let rows = sqlx::query(ACCESS_KEYS).bind(webservice_key).fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::access_key).collect()
}

pub async fn roles(pool: &SqlitePool) -> Result<Vec<RoleDefinition>> {
    let rows = sqlx::query("SELECT * FROM role_definitions ORDER BY name")
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read::role).collect()
}
