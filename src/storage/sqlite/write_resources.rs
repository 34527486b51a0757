//! Writes of what there is: tenants, subscriptions, workspaces, webservices. Each logs what it makes stale.

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;
use sqlx::sqlite::SqliteConnection;

use super::codec::{micros, to_json, unavailable};
use super::mutations::{all_of, changed, changed_webservices, put_one, run};
use crate::domain::ids::TenantId;
use crate::domain::resource::{WebserviceId, WorkspaceId};
use crate::domain::webservice::Webservice;
use crate::domain::workspace::{Subscription, Tenant, Workspace};
use crate::storage::{Result, StorageError, StoredAccessKey};

pub async fn put_tenant(connection: &mut SqliteConnection, tenant: &Tenant) -> Result<()> {
    let sql = "INSERT INTO tenants (id, display_name) VALUES (?, ?) \
               ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name";
    let query = sqlx::query(sql).bind(tenant.id.uuid()).bind(&tenant.display_name);
    run(connection, query, format!("tenant {}", tenant.id)).await?;
    changed(connection, "hierarchy", &tenant.id.to_string()).await
}

pub async fn delete_tenant(connection: &mut SqliteConnection, id: TenantId) -> Result<()> {
    let query = sqlx::query("DELETE FROM tenants WHERE id = ?").bind(id.uuid());
    run(connection, query, format!("tenant {id}")).await?;
    changed(connection, "hierarchy", &id.to_string()).await
}

pub async fn put_subscription(connection: &mut SqliteConnection, subscription: &Subscription) -> Result<()> {
    // To move it to another tenant would carry its workspaces over the boundary that no role crosses.
    let sql = "INSERT INTO subscriptions (subscription_key, id, tenant_id, display_name) VALUES (?, ?, ?, ?) \
               ON CONFLICT (subscription_key) DO UPDATE SET display_name = excluded.display_name \
               WHERE tenant_id = excluded.tenant_id";
    let query = sqlx::query(sql)
        .bind(subscription.id.to_ascii_lowercase())
        .bind(&subscription.id)
        .bind(subscription.tenant_id.uuid())
        .bind(&subscription.display_name);
    put_one(connection, query, format!("subscription {}", subscription.id), "tenant").await?;
    changed(connection, "hierarchy", &subscription.id).await
}

pub async fn delete_subscription(connection: &mut SqliteConnection, id: &str) -> Result<()> {
    let key = id.to_ascii_lowercase();
    delete_assignments_under(connection, &format!("/subscriptions/{key}")).await?;
    let query = sqlx::query("DELETE FROM subscriptions WHERE subscription_key = ?").bind(key);
    run(connection, query, format!("subscription {id}")).await?;
    changed(connection, "hierarchy", id).await
}

pub const WORKSPACE_CHANGED: &str = "SELECT updated_at FROM workspaces WHERE workspace_key = ?";
pub const WEBSERVICE_CHANGED: &str = "SELECT updated_at FROM webservices WHERE webservice_key = ?";

/// Ends the transaction unless the row was last changed at that time, or with `None` unless there is no row.
pub async fn expect(
    connection: &mut SqliteConnection,
    changed_at: &'static str,
    key: &str,
    expected: Option<DateTime<Utc>>,
) -> Result<()> {
    let found: Option<i64> =
        sqlx::query_scalar(changed_at).bind(key).fetch_optional(connection).await.map_err(unavailable)?;
    if found == expected.map(micros) {
        return Ok(());
    }
    Err(StorageError::Stale(format!("{key}: was changed by somebody else at the same time; read it again")))
}

pub async fn put_workspace(connection: &mut SqliteConnection, workspace: &Workspace) -> Result<()> {
    let sql = "INSERT INTO workspaces (workspace_key, id, subscription_key, home_region, failover_regions, \
               created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (workspace_key) DO UPDATE SET \
               home_region = excluded.home_region, failover_regions = excluded.failover_regions, \
               updated_at = excluded.updated_at";
    let key = workspace.id.key();
    let query = sqlx::query(sql)
        .bind(key.clone())
        .bind(workspace.id.to_string())
        .bind(workspace.id.subscription().to_ascii_lowercase())
        .bind(workspace.home_region.as_str())
        .bind(to_json(&workspace.failover_regions)?)
        .bind(micros(workspace.created_at))
        .bind(micros(workspace.updated_at));
    run(connection, query, &workspace.id).await?;
    changed(connection, "workspace", &key).await
}

pub async fn delete_workspace(connection: &mut SqliteConnection, id: &WorkspaceId) -> Result<()> {
    let key = id.key();
    delete_assignments_under(connection, &key).await?;
    let query = sqlx::query("DELETE FROM workspaces WHERE workspace_key = ?").bind(key.clone());
    run(connection, query, id).await?;
    changed(connection, "workspace", &key).await
}

pub async fn put_webservices(connection: &mut SqliteConnection, webservices: &[&Webservice]) -> Result<()> {
    let tags = webservices.iter().map(|webservice| to_json(&webservice.tags)).collect::<Result<Vec<_>>>()?;
    let mut query = QueryBuilder::new(
        "INSERT INTO webservices (webservice_key, id, workspace_key, compute_type, auth_mode, compute_region, \
         scoring_uri, token_lifetime_seconds, description, tags, created_at, updated_at) ",
    );
    query.push_values(webservices.iter().zip(tags), |mut row, (webservice, tags)| {
        row.push_bind(webservice.id.key())
            .push_bind(webservice.id.to_string())
            .push_bind(webservice.id.workspace().key())
            .push_bind(webservice.compute_type.as_str())
            .push_bind(webservice.auth_mode.as_str())
            .push_bind(webservice.compute_region.as_str())
            .push_bind(webservice.scoring_uri.as_deref())
            .push_bind(webservice.token_lifetime.map(|lifetime| lifetime.seconds()))
            .push_bind(webservice.description.as_deref())
            .push_bind(tags)
            .push_bind(micros(webservice.created_at))
            .push_bind(micros(webservice.updated_at));
    });
    query.push(
        " ON CONFLICT (webservice_key) DO UPDATE SET compute_type = excluded.compute_type, \
         auth_mode = excluded.auth_mode, compute_region = excluded.compute_region, \
         scoring_uri = excluded.scoring_uri, token_lifetime_seconds = excluded.token_lifetime_seconds, \
         description = excluded.description, tags = excluded.tags, updated_at = excluded.updated_at",
    );
    let subject = all_of("", webservices.iter().map(|webservice| &webservice.id));
    run(connection, query.build(), subject).await?;
    changed_webservices(connection, webservices.iter().map(|webservice| webservice.id.key())).await
}

pub async fn delete_webservice(connection: &mut SqliteConnection, id: &WebserviceId) -> Result<()> {
    let key = id.key();
    delete_assignments_under(connection, &key).await?;
    let query = sqlx::query("DELETE FROM webservices WHERE webservice_key = ?").bind(key.clone());
    run(connection, query, id).await?;
    changed(connection, "webservice", &key).await
}

/// Of many keys each is the first one of its name: `Rows`.
pub async fn put_access_keys(
    connection: &mut SqliteConnection,
    keys: &[(&WebserviceId, &StoredAccessKey)],
) -> Result<()> {
    let mut query = QueryBuilder::new(
        "INSERT INTO access_keys (webservice_key, name, generation, digest, sealed_value, sealed_data_key, kek_id, \
         created_at) ",
    );
    query.push_values(keys, |mut row, (id, stored)| {
        row.push_bind(id.key())
            .push_bind(stored.key.name.as_str())
            .push_bind(stored.key.generation)
            .push_bind(stored.key.digest.0.as_slice())
            .push_bind(stored.sealed.private.as_slice())
            .push_bind(stored.sealed.data_key.as_slice())
            .push_bind(stored.kek_id.as_slice())
            .push_bind(micros(stored.key.created_at));
    });
    query.push(
        " ON CONFLICT (webservice_key, name) DO UPDATE SET generation = excluded.generation, \
         digest = excluded.digest, sealed_value = excluded.sealed_value, sealed_data_key = excluded.sealed_data_key, \
         kek_id = excluded.kek_id, created_at = excluded.created_at \
         WHERE access_keys.generation = excluded.generation - 1",
    );
    let written = run(connection, query.build(), all_of("", keys.iter().map(|(id, _)| id))).await?;
    if let (0, [(_, stored)]) = (written, keys)
        && stored.key.generation > 1
    {
        let name = stored.key.name.as_str().to_lowercase();
        return Err(StorageError::Stale(format!(
            "the {name} key was regenerated by somebody else at the same time: read it again"
        )));
    }
    changed_webservices(connection, keys.iter().map(|(id, _)| id.key())).await
}

/// Deletes the role assignments at a resource and below it, so that a later one of the same name inherits none.
async fn delete_assignments_under(connection: &mut SqliteConnection, key: &str) -> Result<()> {
    // From the first key of a deeper segment to the last: `rg-a2` does not begin with `rg-a/`.
    let (low, high) = (format!("{key}/"), format!("{key}/{}", char::MAX));
    let log = "INSERT INTO changes (kind, subject) SELECT DISTINCT 'principal', lower(hex(client_id)) FROM principals \
               JOIN role_assignments USING (object_id) WHERE scope_key = ? OR (scope_key > ? AND scope_key < ?)";
    let query = sqlx::query(log).bind(key).bind(low.clone()).bind(high.clone());
    run(connection, query, key).await?;
    let delete = "DELETE FROM role_assignments WHERE scope_key = ? OR (scope_key > ? AND scope_key < ?)";
    run(connection, sqlx::query(delete).bind(key).bind(low).bind(high), key).await?;
    Ok(())
}
