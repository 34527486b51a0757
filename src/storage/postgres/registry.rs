//! Reading the registry: tenants, subscriptions, workspaces, webservices, principals, assignments.

use sqlx::postgres::PgPool;

use super::codec::{Columns as _, plain, unavailable};
use crate::domain::ids::{ObjectId, RoleAssignmentId, TenantId};
use crate::domain::principal::ServicePrincipal;
use crate::domain::region::Region;
use crate::domain::resource::Scope;
use crate::domain::role::RoleAssignment;
use crate::domain::webservice::Webservice;
use crate::domain::workspace::{Subscription, Tenant, Workspace};
use crate::storage::read::{self, each};
use crate::storage::{Page, RegistrySnapshot, Result};

/// A workspace's tenant is its subscription's.
pub const WORKSPACE_BY_KEY: &str = "SELECT w.*, s.tenant_id FROM workspaces w JOIN subscriptions s USING (subscription_key) WHERE workspace_key = $1";

/// One snapshot, and time to read all of it.
pub const WHOLE_REGISTRY: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '30s'";

pub async fn tenants(pool: &PgPool) -> Result<Vec<Tenant>> {
    let rows = sqlx::query("SELECT * FROM tenants ORDER BY id").fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::tenant).collect()
}

pub async fn subscriptions(pool: &PgPool) -> Result<Vec<Subscription>> {
    let rows = sqlx::query("SELECT * FROM subscriptions ORDER BY subscription_key")
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read::subscription).collect()
}

pub async fn workspace(pool: &PgPool, key: &str) -> Result<Option<Workspace>> {
    let row = sqlx::query(WORKSPACE_BY_KEY).bind(key).fetch_optional(pool).await.map_err(unavailable)?;
    row.as_ref().map(read::workspace).transpose()
}

pub async fn workspaces(pool: &PgPool, scope_key: &str, page: Page<'_>) -> Result<Vec<Workspace>> {
    let (low, high) = read::range_below(scope_key);
    let rows = sqlx::query(
        "SELECT w.*, s.tenant_id FROM workspaces w JOIN subscriptions s USING (subscription_key) \
         WHERE workspace_key > $1 AND workspace_key < $2 AND workspace_key > $3 ORDER BY workspace_key LIMIT $4",
    )
    .bind(low)
    .bind(high)
    .bind(plain(page.after))
    .bind(i64::from(page.limit))
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(read::workspace).collect()
}

pub async fn webservices(pool: &PgPool, workspace_key: &str, page: Page<'_>) -> Result<Vec<Webservice>> {
    let rows = sqlx::query(
        "SELECT * FROM webservices WHERE workspace_key = $1 AND webservice_key > $2 ORDER BY webservice_key LIMIT $3",
    )
    .bind(workspace_key)
    .bind(plain(page.after))
    .bind(i64::from(page.limit))
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(read::webservice).collect()
}

pub async fn principals(pool: &PgPool, tenant_id: TenantId, page: Page<'_>) -> Result<Vec<ServicePrincipal>> {
    // Pages go by object id; the cursor is its text, empty at the start.
    let after = ObjectId::parse(page.after).map(|id| id.uuid()).unwrap_or_default();
    let rows = sqlx::query(
        "SELECT * FROM principals WHERE tenant_id = $1 AND object_id > $2 ORDER BY object_id LIMIT $3",
    )
    .bind(tenant_id.uuid())
    .bind(after)
    .bind(i64::from(page.limit))
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(read::principal).collect()
}

pub async fn assignment(pool: &PgPool, id: RoleAssignmentId) -> Result<Option<RoleAssignment>> {
    let row = sqlx::query("SELECT * FROM role_assignments WHERE id = $1")
        .bind(id.uuid())
        .fetch_optional(pool)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(read::assignment).transpose()
}

pub async fn assignments(pool: &PgPool, scope: &Scope) -> Result<Vec<RoleAssignment>> {
    // Above and at: the few keys that are whole-segment prefixes. Below: one range of the index.
    let above = read::keys_above_and_at(scope.key());
    let (low, high) = read::range_below(scope.key());
    let rows = sqlx::query(
        "SELECT * FROM role_assignments WHERE scope_key = ANY ($1) \
         OR (scope_key > $2 AND scope_key < $3) ORDER BY scope_key, id LIMIT 10000",
    )
    .bind(above)
    .bind(low)
    .bind(high)
    .fetch_all(pool)
    .await
    .map_err(unavailable)?;
    rows.iter().map(read::assignment).collect()
}

pub async fn snapshot(pool: &PgPool) -> Result<RegistrySnapshot> {
    let mut transaction = pool.begin_with(WHOLE_REGISTRY).await.map_err(unavailable)?;
    let mut rows =
        async |sql: &'static str| sqlx::query(sql).fetch_all(&mut *transaction).await.map_err(unavailable);
    let snapshot = RegistrySnapshot {
        tenants: each(rows("SELECT * FROM tenants ORDER BY id").await?, read::tenant)?,
        subscriptions: each(
            rows("SELECT * FROM subscriptions ORDER BY subscription_key").await?,
            read::subscription,
        )?,
        workspaces: each(
            rows(
                "SELECT w.*, s.tenant_id FROM workspaces w JOIN subscriptions s USING (subscription_key) \
                 ORDER BY workspace_key",
            )
            .await?,
            read::workspace,
        )?,
        webservices: each(
            rows("SELECT * FROM webservices ORDER BY webservice_key").await?,
            read::webservice,
        )?,
        principals: each(rows("SELECT * FROM principals ORDER BY object_id").await?, read::principal)?,
        with_secret: each(
            rows("SELECT DISTINCT object_id FROM client_secrets ORDER BY object_id").await?,
            |row| Ok(ObjectId::from_uuid(row.id("object_id")?)),
        )?,
        key_credentials: each(
            rows("SELECT * FROM key_credentials ORDER BY id").await?,
            read::key_credential,
        )?,
        federated_credentials: each(
            rows("SELECT * FROM federated_credentials ORDER BY id").await?,
            read::federated_credential,
        )?,
        roles: each(rows("SELECT * FROM role_definitions ORDER BY id").await?, read::role)?,
        assignments: each(rows("SELECT * FROM role_assignments ORDER BY id").await?, read::assignment)?,
    };
    transaction.rollback().await.map_err(unavailable)?;
    Ok(snapshot)
}

pub async fn regions(pool: &PgPool) -> Result<Vec<(Region, Region)>> {
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
