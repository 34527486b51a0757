//! What the directory keeps in memory: one principal or one webservice with all that belongs to it.

use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::codec::{Columns as _, corrupt, unavailable};
use super::registry;
use crate::domain::access_key::{AccessKey, KeyName};
use crate::domain::client_secret::SecretDigest;
use crate::domain::ids::{ClientId, CredentialId, ObjectId, RoleAssignmentId, RoleDefinitionId};
use crate::domain::principal::{ClientSecret, FederatedCredential, KeyCredential, SecretSlot};
use crate::domain::resource::Scope;
use crate::domain::role::{RoleAssignment, RoleDefinition};
use crate::storage::{PrincipalFacts, Result, SealedPrivate, StoredAccessKey, WebserviceFacts};

pub async fn principal(pool: &SqlitePool, client_id: ClientId) -> Result<Option<PrincipalFacts>> {
    // One snapshot for all reads: a revocation between them can't be half seen.
    let mut transaction = pool.begin().await.map_err(unavailable)?;
    let row = sqlx::query("SELECT * FROM principals WHERE client_id = ?")
        .bind(client_id.uuid())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
    let Some(row) = row else { return Ok(None) };
    let principal = registry::principal_from(&row)?;
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
        secrets: secrets.iter().map(secret_from).collect::<Result<_>>()?,
        key_credentials: keys.iter().map(key_credential_from).collect::<Result<_>>()?,
        federated_credentials: federated.iter().map(federated_credential_from).collect::<Result<_>>()?,
        assignments: assignments.iter().map(assignment_from).collect::<Result<_>>()?,
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
    let webservice = registry::webservice_from(&row)?;
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
        .map(|row| Ok(access_key_from(row)?.key))
        .collect::<Result<_>>()?;
    transaction.rollback().await.map_err(unavailable)?;
    let workspace = registry::workspace_from(&workspace)?;
    Ok(Some(WebserviceFacts { webservice, workspace, access_keys }))
}

/// `Primary` comes before `Secondary`.
const ACCESS_KEYS: &str = "SELECT * FROM access_keys WHERE webservice_key = ? ORDER BY name";

pub async fn access_keys(pool: &SqlitePool, webservice_key: &str) -> Result<Vec<StoredAccessKey>> {
    let rows = sqlx::query(ACCESS_KEYS).bind(webservice_key).fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(access_key_from).collect()
}

pub async fn access_key_keks(pool: &SqlitePool) -> Result<Vec<[u8; 8]>> {
    let rows =
        sqlx::query("SELECT DISTINCT kek_id FROM access_keys").fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(|row| row.bytes("kek_id")).collect()
}

fn access_key_from(row: &SqliteRow) -> Result<StoredAccessKey> {
    let parse = |text: &str| KeyName::parse(text).ok_or(format!("`{text}`"));
    let sealed = |column| row.bytes_opt(column).map(Option::unwrap_or_default);
    Ok(StoredAccessKey {
        key: AccessKey {
            name: row.parsed("name", parse)?,
            generation: row.int("generation")?,
            digest: SecretDigest(row.bytes("digest")?),
            created_at: row.time("created_at")?,
        },
        sealed: SealedPrivate { private: sealed("sealed_value")?, data_key: sealed("sealed_data_key")? },
        kek_id: row.bytes("kek_id")?,
    })
}

pub async fn roles(pool: &SqlitePool) -> Result<Vec<RoleDefinition>> {
    let rows = sqlx::query("SELECT * FROM role_definitions ORDER BY name")
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(role_from).collect()
}

fn secret_from(row: &SqliteRow) -> Result<ClientSecret> {
    let slot = row.int("slot")?;
    Ok(ClientSecret {
        id: CredentialId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        slot: SecretSlot::from_number(slot).ok_or_else(|| corrupt("slot", slot))?,
        display_name: row.text_opt("display_name")?,
        digest: SecretDigest(row.bytes("digest")?),
        hint: row.text("hint")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub fn key_credential_from(row: &SqliteRow) -> Result<KeyCredential> {
    Ok(KeyCredential {
        id: CredentialId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        display_name: row.text_opt("display_name")?,
        public_jwk: row.text("public_jwk")?,
        sha1_thumbprint: row.bytes("sha1_thumbprint")?,
        sha256_thumbprint: row.bytes("sha256_thumbprint")?,
        starts_at: row.time("starts_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub fn federated_credential_from(row: &SqliteRow) -> Result<FederatedCredential> {
    Ok(FederatedCredential {
        id: CredentialId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        name: row.text("name")?,
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        audience: row.text("audience")?,
        claims: row.json("claims")?,
    })
}

pub fn role_from(row: &SqliteRow) -> Result<RoleDefinition> {
    Ok(RoleDefinition {
        id: RoleDefinitionId::from_uuid(row.id("id")?),
        name: row.text("name")?,
        description: row.text("description")?,
        actions: row.json("actions")?,
        not_actions: row.json("not_actions")?,
        built_in: row.int("built_in")? != 0,
    })
}

pub fn assignment_from(row: &SqliteRow) -> Result<RoleAssignment> {
    Ok(RoleAssignment {
        id: RoleAssignmentId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        role_id: RoleDefinitionId::from_uuid(row.id("role_id")?),
        scope: row.parsed("scope", Scope::parse)?,
    })
}
