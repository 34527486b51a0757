//! All writes of the registry: a list of mutations, their changes and their audit records in one transaction.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool};
use sqlx::{Sqlite, query::Query};

use super::codec::{Columns as _, corrupt, micros, to_json, unavailable, write_error};
use crate::domain::ids::ClientId;
use crate::domain::resource::Scope;
use crate::storage::{Change, Mutation, Result, StoredSigningKey};

pub async fn commit(
    pool: &SqlitePool,
    mutations: &[Mutation],
    records: &[crate::domain::audit::AuditRecord],
) -> Result<Vec<Change>> {
    // IMMEDIATE takes the write lock at once; a deferred one could fail in the middle.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
    let before = last_sequence(&mut transaction).await?;
    for mutation in mutations {
        apply(&mut transaction, mutation).await?;
    }
    super::audit::insert(&mut transaction, records).await?;
    let (_, changes) = read_changes(&mut transaction, before).await?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(changes)
}

pub async fn last_change(pool: &SqlitePool) -> Result<i64> {
    let mut connection = pool.acquire().await.map_err(unavailable)?;
    last_sequence(&mut connection).await
}

pub async fn changes_after(pool: &SqlitePool, sequence: i64) -> Result<(i64, Vec<Change>)> {
    let mut connection = pool.acquire().await.map_err(unavailable)?;
    read_changes(&mut connection, sequence).await
}

async fn last_sequence(connection: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar("SELECT coalesce(max(sequence), 0) FROM changes")
        .fetch_one(connection)
        .await
        .map_err(unavailable)
}

async fn read_changes(connection: &mut SqliteConnection, after: i64) -> Result<(i64, Vec<Change>)> {
    let rows = sqlx::query("SELECT * FROM changes WHERE sequence > ? ORDER BY sequence")
        .bind(after)
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
    let mut newest = after;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        newest = row.int("sequence")?;
        let subject = row.text("subject")?;
        changes.push(match row.text("kind")?.as_str() {
            "principal" => Change::Principal(client_id_from_hex(&subject)?),
            "webservice" => Change::Webservice(subject),
            "workspace" => Change::Workspace(subject),
            "roles" => Change::Roles,
            "hierarchy" => Change::Hierarchy,
            "signing_keys" => Change::SigningKeys,
            other => return Err(corrupt("kind", other)),
        });
    }
    Ok((newest, changes))
}

/// The log holds a client id as SQLite's `hex()` writes it, without hyphens.
fn client_id_from_hex(subject: &str) -> Result<ClientId> {
    uuid::Uuid::try_parse(subject)
        .map(ClientId::from_uuid)
        .map_err(|error| corrupt("subject", error))
}

async fn apply(connection: &mut SqliteConnection, mutation: &Mutation) -> Result<()> {
    match mutation {
        Mutation::PutTenant(_)
        | Mutation::DeleteTenant(_)
        | Mutation::PutSubscription(_)
        | Mutation::DeleteSubscription(_)
        | Mutation::PutWorkspace(_)
        | Mutation::DeleteWorkspace(_)
        | Mutation::PutWebservice(_)
        | Mutation::DeleteWebservice(_) => resources(connection, mutation).await,
        Mutation::CreateSigningKey(key) => create_signing_key(connection, key).await,
        Mutation::DestroySigningKey(kid) => {
            let sql = "UPDATE signing_keys SET sealed_private = NULL, sealed_data_key = NULL WHERE kid = ?";
            run(connection, sqlx::query(sql).bind(kid), kid).await?;
            changed(connection, "signing_keys", kid).await
        }
        _ => access(connection, mutation).await,
    }
}

async fn resources(connection: &mut SqliteConnection, mutation: &Mutation) -> Result<()> {
    match mutation {
        Mutation::PutTenant(tenant) => {
            let sql = "INSERT INTO tenants (id, display_name) VALUES (?, ?) \
                       ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name";
            run(
                connection,
                sqlx::query(sql).bind(tenant.id.uuid()).bind(&tenant.display_name),
                tenant.id,
            )
            .await?;
            changed(connection, "hierarchy", &tenant.display_name).await
        }
        Mutation::DeleteTenant(id) => {
            run(
                connection,
                sqlx::query("DELETE FROM tenants WHERE id = ?").bind(id.uuid()),
                id,
            )
            .await?;
            changed(connection, "hierarchy", "").await
        }
        Mutation::PutSubscription(subscription) => {
            let sql = "INSERT INTO subscriptions (subscription_key, id, tenant_id, display_name) VALUES (?, ?, ?, ?) \
                       ON CONFLICT (subscription_key) DO UPDATE SET display_name = excluded.display_name";
            let query = sqlx::query(sql)
                .bind(subscription.id.to_ascii_lowercase())
                .bind(&subscription.id)
                .bind(subscription.tenant_id.uuid())
                .bind(&subscription.display_name);
            run(connection, query, &subscription.id).await?;
            changed(connection, "hierarchy", &subscription.id).await
        }
        Mutation::DeleteSubscription(id) => {
            let sql = "DELETE FROM subscriptions WHERE subscription_key = ?";
            delete_assignments_under(connection, &format!("/subscriptions/{}", id.to_ascii_lowercase()))
                .await?;
            run(connection, sqlx::query(sql).bind(id.to_ascii_lowercase()), id).await?;
            changed(connection, "hierarchy", id).await
        }
        Mutation::PutWorkspace(workspace) => {
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
        Mutation::DeleteWorkspace(id) => {
            let key = id.key();
            delete_assignments_under(connection, &key).await?;
            run(
                connection,
                sqlx::query("DELETE FROM workspaces WHERE workspace_key = ?").bind(key.clone()),
                id,
            )
            .await?;
            changed(connection, "workspace", &key).await
        }
        Mutation::PutWebservice(webservice) => put_webservice(connection, webservice).await,
        Mutation::DeleteWebservice(id) => {
            let key = id.key();
            delete_assignments_under(connection, &key).await?;
            let query = sqlx::query("DELETE FROM webservices WHERE webservice_key = ?").bind(key.clone());
            run(connection, query, id).await?;
            changed(connection, "webservice", &key).await
        }
        _ => Ok(()),
    }
}

async fn put_webservice(
    connection: &mut SqliteConnection,
    webservice: &crate::domain::webservice::Webservice,
) -> Result<()> {
    let sql = "INSERT INTO webservices (webservice_key, id, workspace_key, compute_type, auth_mode, compute_region, \
               scoring_uri, token_lifetime_seconds, description, tags, created_at, updated_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (webservice_key) DO UPDATE SET \
               compute_type = excluded.compute_type, auth_mode = excluded.auth_mode, \
               compute_region = excluded.compute_region, scoring_uri = excluded.scoring_uri, \
               token_lifetime_seconds = excluded.token_lifetime_seconds, description = excluded.description, \
               tags = excluded.tags, updated_at = excluded.updated_at";
    let key = webservice.id.key();
    let query = sqlx::query(sql)
        .bind(key.clone())
        .bind(webservice.id.to_string())
        .bind(webservice.id.workspace().key())
        .bind(webservice.compute_type.as_str())
        .bind(webservice.auth_mode.as_str())
        .bind(webservice.compute_region.as_str())
        .bind(&webservice.scoring_uri)
        .bind(webservice.token_lifetime.map(|lifetime| lifetime.seconds()))
        .bind(&webservice.description)
        .bind(to_json(&webservice.tags)?)
        .bind(micros(webservice.created_at))
        .bind(micros(webservice.updated_at));
    run(connection, query, &webservice.id).await?;
    changed(connection, "webservice", &key).await
}

async fn access(connection: &mut SqliteConnection, mutation: &Mutation) -> Result<()> {
    match mutation {
        Mutation::PutPrincipal(principal) => {
            let sql = "INSERT INTO principals (object_id, client_id, tenant_id, display_name, enabled, created_at) \
                       VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (object_id) DO UPDATE SET \
                       display_name = excluded.display_name, enabled = excluded.enabled";
            let query = sqlx::query(sql)
                .bind(principal.object_id.uuid())
                .bind(principal.client_id.uuid())
                .bind(principal.tenant_id.uuid())
                .bind(&principal.display_name)
                .bind(principal.enabled)
                .bind(micros(principal.created_at));
            run(connection, query, format!("principal {}", principal.client_id)).await?;
            changed_principal(connection, principal.object_id).await
        }
        Mutation::DeletePrincipal(object_id) => {
            // Logged first: afterwards nobody knows its client id.
            changed_principal(connection, *object_id).await?;
            let query = sqlx::query("DELETE FROM principals WHERE object_id = ?").bind(object_id.uuid());
            run(connection, query, object_id).await
        }
        Mutation::AddSecret(secret) => {
            let sql = "INSERT INTO client_secrets (id, object_id, slot, display_name, digest, hint, created_at, \
                       expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
            let query = sqlx::query(sql)
                .bind(secret.id.uuid())
                .bind(secret.object_id.uuid())
                .bind(secret.slot.number())
                .bind(&secret.display_name)
                .bind(secret.digest.0.as_slice())
                .bind(&secret.hint)
                .bind(micros(secret.created_at))
                .bind(micros(secret.expires_at));
            run(
                connection,
                query,
                format!("secret of principal {}", secret.object_id),
            )
            .await?;
            changed_principal(connection, secret.object_id).await
        }
        Mutation::RemoveSecret(object_id, id) => {
            let sql = "DELETE FROM client_secrets WHERE id = ? AND object_id = ?";
            run(
                connection,
                sqlx::query(sql).bind(id.uuid()).bind(object_id.uuid()),
                id,
            )
            .await?;
            changed_principal(connection, *object_id).await
        }
        Mutation::PutRole(role) => {
            let sql = "INSERT INTO role_definitions (id, name, description, actions, not_actions, built_in) \
                       VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
                       description = excluded.description, actions = excluded.actions, \
                       not_actions = excluded.not_actions, built_in = excluded.built_in";
            let query = sqlx::query(sql)
                .bind(role.id.uuid())
                .bind(&role.name)
                .bind(&role.description)
                .bind(to_json(&role.actions)?)
                .bind(to_json(&role.not_actions)?)
                .bind(role.built_in);
            run(connection, query, format!("role `{}`", role.name)).await?;
            changed(connection, "roles", &role.name).await
        }
        Mutation::DeleteRole(id) => {
            run(
                connection,
                sqlx::query("DELETE FROM role_definitions WHERE id = ?").bind(id.uuid()),
                id,
            )
            .await?;
            changed(connection, "roles", &id.to_string()).await
        }
        Mutation::PutAssignment(assignment) => {
            let sql = "INSERT INTO role_assignments (id, object_id, role_id, scope, scope_key) VALUES (?, ?, ?, ?, ?)";
            let query = sqlx::query(sql)
                .bind(assignment.id.uuid())
                .bind(assignment.object_id.uuid())
                .bind(assignment.role_id.uuid())
                .bind(assignment.scope.to_string())
                .bind(assignment.scope.key().to_owned());
            run(connection, query, format!("role assignment {}", assignment.id)).await?;
            changed_principal(connection, assignment.object_id).await
        }
        Mutation::DeleteAssignment(id) => {
            let log = "INSERT INTO changes (kind, subject) SELECT 'principal', lower(hex(client_id)) FROM principals \
                       JOIN role_assignments USING (object_id) WHERE role_assignments.id = ?";
            run(connection, sqlx::query(log).bind(id.uuid()), id).await?;
            run(
                connection,
                sqlx::query("DELETE FROM role_assignments WHERE id = ?").bind(id.uuid()),
                id,
            )
            .await
        }
        _ => Ok(()),
    }
}

async fn create_signing_key(connection: &mut SqliteConnection, stored: &StoredSigningKey) -> Result<()> {
    let sql = "INSERT INTO signing_keys (kid, region, generation, algorithm, public_jwk, sealed_private, \
               sealed_data_key, kek_id, published_at, sign_from, sign_until, remove_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
        .bind(micros(life.remove_at));
    run(
        connection,
        query,
        format!("signing key {} of region {}", key.generation, key.region),
    )
    .await?;
    changed(connection, "signing_keys", &key.kid).await
}

/// Deletes the role assignments at a resource and below it, so that a later one of the same name inherits none.
async fn delete_assignments_under(connection: &mut SqliteConnection, key: &str) -> Result<()> {
    let scope = Scope::parse(key).map_err(|error| corrupt("scope", error))?;
    let (low, high) = (
        format!("{}/", scope.key()),
        format!("{}/{}", scope.key(), char::MAX),
    );
    let log = "INSERT INTO changes (kind, subject) SELECT DISTINCT 'principal', lower(hex(client_id)) FROM principals \
               JOIN role_assignments USING (object_id) WHERE scope_key = ? OR (scope_key > ? AND scope_key < ?)";
    let query = sqlx::query(log).bind(key).bind(low.clone()).bind(high.clone());
    run(connection, query, key).await?;
    let delete = "DELETE FROM role_assignments WHERE scope_key = ? OR (scope_key > ? AND scope_key < ?)";
    run(
        connection,
        sqlx::query(delete).bind(key).bind(low).bind(high),
        key,
    )
    .await
}

async fn changed(connection: &mut SqliteConnection, kind: &'static str, subject: &str) -> Result<()> {
    let query = sqlx::query("INSERT INTO changes (kind, subject) VALUES (?, ?)")
        .bind(kind)
        .bind(subject);
    run(connection, query, subject).await
}

async fn changed_principal(
    connection: &mut SqliteConnection,
    object_id: crate::domain::ids::ObjectId,
) -> Result<()> {
    let sql = "INSERT INTO changes (kind, subject) SELECT 'principal', lower(hex(client_id)) FROM principals \
               WHERE object_id = ?";
    run(connection, sqlx::query(sql).bind(object_id.uuid()), object_id).await
}

async fn run(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
    subject: impl std::fmt::Display,
) -> Result<()> {
    query
        .execute(connection)
        .await
        .map_err(|error| write_error(error, subject))?;
    Ok(())
}
