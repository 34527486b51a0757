//! Reading the registry: tenants, subscriptions, workspaces, webservices, principals, assignments.

use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::codec::{Columns as _, corrupt, unavailable};
use super::facts::{assignment_from, federated_credential_from, key_credential_from, role_from};
use crate::domain::ids::{ClientId, ObjectId, RoleAssignmentId, TenantId};
use crate::domain::lifetime::TokenLifetime;
use crate::domain::principal::ServicePrincipal;
use crate::domain::region::Region;
use crate::domain::resource::{Scope, WebserviceId, WorkspaceId};
use crate::domain::role::RoleAssignment;
use crate::domain::webservice::{AuthMode, ComputeType, Webservice};
use crate::domain::workspace::{Subscription, Tenant, Workspace};
use crate::storage::{Page, RegistrySnapshot, Result};

/// A workspace's tenant is its subscription's.
pub const WORKSPACE_BY_KEY: &str = "SELECT w.*, s.tenant_id FROM workspaces w JOIN subscriptions s USING (subscription_key) WHERE workspace_key = ?";

/// The greatest key that begins with a prefix: U+10FFFF sorts after every character of an ARM id.
const AFTER_ALL: char = char::MAX;

pub async fn tenants(pool: &SqlitePool) -> Result<Vec<Tenant>> {
    let rows = sqlx::query("SELECT * FROM tenants ORDER BY id").fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(tenant_from).collect()
}

pub async fn subscriptions(pool: &SqlitePool) -> Result<Vec<Subscription>> {
    let rows = sqlx::query("SELECT * FROM subscriptions ORDER BY subscription_key")
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(subscription_from).collect()
}

pub async fn workspace(pool: &SqlitePool, key: &str) -> Result<Option<Workspace>> {
    let row = sqlx::query(WORKSPACE_BY_KEY).bind(key).fetch_optional(pool).await.map_err(unavailable)?;
    row.as_ref().map(workspace_from).transpose()
}

pub async fn workspaces(pool: &SqlitePool, scope_key: &str, page: Page<'_>) -> Result<Vec<Workspace>> {
    let prefix = format!("{}/", scope_key.trim_end_matches('/'));
    let rows = sqlx::query(
        "SELECT w.*, s.tenant_id FROM workspaces w JOIN subscriptions s USING (subscription_key) \
         WHERE workspace_key > ? AND workspace_key < ? AND workspace_key > ? ORDER BY workspace_key LIMIT ?",
    )
    .bind(&prefix)
    .bind(format!("{prefix}{AFTER_ALL}"))
    .bind(page.after)
    .bind(page.limit)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(workspace_from).collect()
}

pub async fn webservices(pool: &SqlitePool, workspace_key: &str, page: Page<'_>) -> Result<Vec<Webservice>> {
    let rows = sqlx::query(
        "SELECT * FROM webservices WHERE workspace_key = ? AND webservice_key > ? ORDER BY webservice_key LIMIT ?",
    )
    .bind(workspace_key)
    .bind(page.after)
    .bind(page.limit)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(webservice_from).collect()
}

pub async fn principals(
    pool: &SqlitePool,
    tenant_id: TenantId,
    page: Page<'_>,
) -> Result<Vec<ServicePrincipal>> {
    // Pages go by object id; the cursor is its text, empty at the start.
    let after = ObjectId::parse(page.after).map(|id| id.uuid()).unwrap_or_default();
    let rows = sqlx::query(
        "SELECT * FROM principals WHERE tenant_id = ? AND object_id > ? ORDER BY object_id LIMIT ?",
    )
    .bind(tenant_id.uuid())
    .bind(after)
    .bind(page.limit)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(principal_from).collect()
}

pub async fn assignment(pool: &SqlitePool, id: RoleAssignmentId) -> Result<Option<RoleAssignment>> {
    let row = sqlx::query("SELECT * FROM role_assignments WHERE id = ?")
        .bind(id.uuid())
        .fetch_optional(pool)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(assignment_from).transpose()
}

pub async fn assignments(pool: &SqlitePool, scope: &Scope) -> Result<Vec<RoleAssignment>> {
    // Above and at: the few keys that are whole-segment prefixes. Below: one range of the index.
    let key = scope.key();
    let mut above = vec!["/".to_owned()];
    above.extend(
        key.char_indices()
            .skip(1)
            .filter(|(_, c)| *c == '/')
            .filter_map(|(at, _)| key.get(..at))
            .map(str::to_owned),
    );
    above.push(key.to_owned());
    let prefix = format!("{}/", key.trim_end_matches('/'));
    let rows = sqlx::query(
        "SELECT * FROM role_assignments WHERE scope_key IN (SELECT value FROM json_each(?)) \
         OR (scope_key > ? AND scope_key < ?) ORDER BY scope_key, id LIMIT 10000",
    )
    .bind(super::codec::to_json(&above)?)
    .bind(&prefix)
    .bind(format!("{prefix}{AFTER_ALL}"))
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(assignment_from).collect()
}

pub async fn snapshot(pool: &SqlitePool) -> Result<RegistrySnapshot> {
    let mut transaction = pool.begin().await.map_err(unavailable)?;
    let mut rows =
        async |sql: &'static str| sqlx::query(sql).fetch_all(&mut *transaction).await.map_err(unavailable);
    let snapshot = RegistrySnapshot {
        tenants: each(rows("SELECT * FROM tenants").await?, tenant_from)?,
        subscriptions: each(rows("SELECT * FROM subscriptions").await?, subscription_from)?,
        workspaces: each(
            rows("SELECT w.*, s.tenant_id FROM workspaces w JOIN subscriptions s USING (subscription_key)")
                .await?,
            workspace_from,
        )?,
        webservices: each(rows("SELECT * FROM webservices").await?, webservice_from)?,
        principals: each(rows("SELECT * FROM principals").await?, principal_from)?,
        with_secret: each(rows("SELECT DISTINCT object_id FROM client_secrets").await?, |row| {
            Ok(ObjectId::from_uuid(row.id("object_id")?))
        })?,
        key_credentials: each(rows("SELECT * FROM key_credentials").await?, key_credential_from)?,
        federated_credentials: each(
            rows("SELECT * FROM federated_credentials").await?,
            federated_credential_from,
        )?,
        roles: each(rows("SELECT * FROM role_definitions").await?, role_from)?,
        assignments: each(rows("SELECT * FROM role_assignments").await?, assignment_from)?,
    };
    transaction.rollback().await.map_err(unavailable)?;
    Ok(snapshot)
}

pub async fn regions(pool: &SqlitePool) -> Result<Vec<(Region, Region)>> {
    let rows = sqlx::query(
        "SELECT DISTINCT w.home_region, s.compute_region FROM webservices s JOIN workspaces w USING (workspace_key)",
    )
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    each(rows, |row| {
        Ok((row.parsed("home_region", Region::parse)?, row.parsed("compute_region", Region::parse)?))
    })
}

fn each<T>(rows: Vec<SqliteRow>, read: impl Fn(&SqliteRow) -> Result<T>) -> Result<Vec<T>> {
    rows.iter().map(read).collect()
}

fn tenant_from(row: &SqliteRow) -> Result<Tenant> {
    Ok(Tenant { id: TenantId::from_uuid(row.id("id")?), display_name: row.text("display_name")? })
}

fn subscription_from(row: &SqliteRow) -> Result<Subscription> {
    Ok(Subscription {
        id: row.text("id")?,
        tenant_id: TenantId::from_uuid(row.id("tenant_id")?),
        display_name: row.text("display_name")?,
    })
}

pub fn workspace_from(row: &SqliteRow) -> Result<Workspace> {
    Ok(Workspace {
        id: row.parsed("id", WorkspaceId::parse)?,
        tenant_id: TenantId::from_uuid(row.id("tenant_id")?),
        home_region: row.parsed("home_region", Region::parse)?,
        failover_regions: row.json("failover_regions")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub fn webservice_from(row: &SqliteRow) -> Result<Webservice> {
    let lifetime = row.int_opt("token_lifetime_seconds")?;
    let lifetime = lifetime.map(|seconds| {
        u32::try_from(seconds)
            .ok()
            .and_then(|seconds| TokenLifetime::from_seconds(seconds).ok())
            .ok_or_else(|| corrupt("token_lifetime_seconds", seconds))
    });
    Ok(Webservice {
        id: row.parsed("id", WebserviceId::parse)?,
        compute_type: row
            .parsed("compute_type", |text| ComputeType::parse(text).ok_or(format!("`{text}`")))?,
        auth_mode: row.parsed("auth_mode", |text| AuthMode::parse(text).ok_or(format!("`{text}`")))?,
        compute_region: row.parsed("compute_region", Region::parse)?,
        scoring_uri: row.text_opt("scoring_uri")?,
        token_lifetime: lifetime.transpose()?,
        description: row.text_opt("description")?,
        tags: row.json("tags")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub fn principal_from(row: &SqliteRow) -> Result<ServicePrincipal> {
    Ok(ServicePrincipal {
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        client_id: ClientId::from_uuid(row.id("client_id")?),
        tenant_id: TenantId::from_uuid(row.id("tenant_id")?),
        display_name: row.text("display_name")?,
        enabled: row.int("enabled")? != 0,
        created_at: row.time("created_at")?,
    })
}
