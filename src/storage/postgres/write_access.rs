//! Writes of who may do what: principals, secrets, roles, assignments. Each logs what it makes stale.

use sqlx::QueryBuilder;
use sqlx::postgres::PgConnection;

use super::codec::{instant, to_json, unavailable};
use super::mutations::{all_of, changed, changed_principal, changed_principals, log, put, put_one, run};
use crate::domain::ids::{CredentialId, ObjectId, RoleAssignmentId, RoleDefinitionId};
use crate::domain::principal::{
    ClientSecret, FederatedCredential, KeyCredential, KeyNames, MAX_FEDERATED_CREDENTIALS,
    MAX_KEY_CREDENTIALS, ServicePrincipal,
};
use crate::domain::role::{RoleAssignment, RoleDefinition};
use crate::storage::{PrincipalUpdate, Result, StorageError};

pub async fn put_principals(connection: &mut PgConnection, principals: &[&ServicePrincipal]) -> Result<()> {
    let mut query = QueryBuilder::new(
        "INSERT INTO principals (object_id, client_id, tenant_id, display_name, enabled, allowed_methods, created_at) ",
    );
    query.push_values(principals, |mut row, principal| {
        row.push_bind(principal.object_id.uuid())
            .push_bind(principal.client_id.uuid())
            .push_bind(principal.tenant_id.uuid())
            .push_bind(principal.display_name.as_str())
            .push_bind(principal.enabled)
            .push_bind(principal.allowed_methods.to_string())
            .push_bind(instant(principal.created_at));
    });
    // Tokens name both ids and the tenant: under other ones it would be another principal.
    query.push(
        " ON CONFLICT (object_id) DO UPDATE SET display_name = excluded.display_name, enabled = excluded.enabled, \
         allowed_methods = excluded.allowed_methods \
         WHERE principals.client_id = excluded.client_id AND principals.tenant_id = excluded.tenant_id",
    );
    let subject = all_of("principal", principals.iter().map(|principal| principal.client_id));
    put(connection, query, principals.len(), subject, "object id, client id and tenant").await?;
    changed_principals(connection, principals.iter().map(|principal| principal.object_id)).await
}

pub async fn update_principal(
    connection: &mut PgConnection,
    object_id: ObjectId,
    update: &PrincipalUpdate,
) -> Result<()> {
    let sql = "UPDATE principals SET display_name = coalesce($1, display_name), enabled = coalesce($2, enabled), \
               allowed_methods = coalesce($3, allowed_methods) WHERE object_id = $4";
    let query = sqlx::query(sql)
        .bind(&update.display_name)
        .bind(update.enabled)
        .bind(update.allowed_methods.map(|methods| methods.to_string()))
        .bind(object_id.uuid());
    match run(connection, query, format!("principal {object_id}")).await? {
        0 => Err(StorageError::Stale(format!("principal {object_id} was deleted meanwhile"))),
        _ => changed_principal(connection, object_id).await,
    }
}

pub async fn delete_principal(connection: &mut PgConnection, object_id: ObjectId) -> Result<()> {
    // Logged first: afterwards nobody knows its client id.
    changed_principal(connection, object_id).await?;
    let query = sqlx::query("DELETE FROM principals WHERE object_id = $1").bind(object_id.uuid());
    run(connection, query, format!("principal {object_id}")).await?;
    Ok(())
}

pub async fn add_secrets(connection: &mut PgConnection, secrets: &[&ClientSecret]) -> Result<()> {
    let mut query = QueryBuilder::new(
        "INSERT INTO client_secrets (id, object_id, slot, display_name, digest, hint, created_at, expires_at) ",
    );
    query.push_values(secrets, |mut row, secret| {
        row.push_bind(secret.id.uuid())
            .push_bind(secret.object_id.uuid())
            .push_bind(secret.slot.number())
            .push_bind(secret.display_name.as_deref())
            .push_bind(secret.digest.0.as_slice())
            .push_bind(secret.hint.as_str())
            .push_bind(instant(secret.created_at))
            .push_bind(instant(secret.expires_at));
    });
    let subject = all_of("secret of principal", secrets.iter().map(|secret| secret.object_id));
    run(connection, query.build(), subject).await?;
    changed_principals(connection, secrets.iter().map(|secret| secret.object_id)).await
}

pub async fn add_key_credential(connection: &mut PgConnection, key: &KeyCredential) -> Result<()> {
    let (sha1, is_certificate) = match key.names {
        KeyNames::Certificate { sha1, .. } => (sha1, true),
        KeyNames::Bare { .. } => ([0; 20], false),
    };
    let sql = "INSERT INTO key_credentials (id, object_id, display_name, public_jwk, sha1_thumbprint, \
               sha256_thumbprint, is_certificate, starts_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let query = sqlx::query(sql)
        .bind(key.id.uuid())
        .bind(key.object_id.uuid())
        .bind(&key.display_name)
        .bind(&key.public_jwk)
        .bind(sha1.as_slice())
        .bind(key.names.sha256().as_slice())
        .bind(is_certificate)
        .bind(instant(key.starts_at))
        .bind(instant(key.expires_at));
    run(connection, query, format!("{} of principal {}", key.names.kind(), key.object_id)).await?;
    let count = "SELECT count(*) FROM key_credentials WHERE object_id = $1";
    at_most(connection, MAX_KEY_CREDENTIALS, count, key.object_id).await?;
    changed_principal(connection, key.object_id).await
}

pub async fn put_federated_credential(
    connection: &mut PgConnection,
    credential: &FederatedCredential,
) -> Result<()> {
    let sql = "INSERT INTO federated_credentials (id, object_id, name, issuer, subject, audience, claims) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
               issuer = excluded.issuer, subject = excluded.subject, audience = excluded.audience, \
               claims = excluded.claims WHERE federated_credentials.object_id = excluded.object_id";
    let query = sqlx::query(sql)
        .bind(credential.id.uuid())
        .bind(credential.object_id.uuid())
        .bind(&credential.name)
        .bind(&credential.issuer)
        .bind(&credential.subject)
        .bind(&credential.audience)
        .bind(to_json(&credential.claims)?);
    let subject = format!("federated credential `{}` of principal {}", credential.name, credential.object_id);
    put_one(connection, query, subject, "principal").await?;
    let count = "SELECT count(*) FROM federated_credentials WHERE object_id = $1";
    at_most(connection, MAX_FEDERATED_CREDENTIALS, count, credential.object_id).await?;
    changed_principal(connection, credential.object_id).await
}

/// Two that add at once each see a place free; here one of them is too many.
async fn at_most(
    connection: &mut PgConnection,
    most: usize,
    count: &'static str,
    object_id: ObjectId,
) -> Result<()> {
    let held: i64 =
        sqlx::query_scalar(count).bind(object_id.uuid()).fetch_one(connection).await.map_err(unavailable)?;
    if usize::try_from(held).is_ok_and(|held| held <= most) {
        return Ok(());
    }
    Err(StorageError::Conflict(format!("principal {object_id} has {most} of them: remove one first")))
}

/// What a credential is called, and its removal.
pub type Removal = (&'static str, &'static str);
pub const SECRET: Removal = ("secret", "DELETE FROM client_secrets WHERE id = $1 AND object_id = $2");
pub const KEY_CREDENTIAL: Removal =
    ("certificate", "DELETE FROM key_credentials WHERE id = $1 AND object_id = $2");
pub const FEDERATED_CREDENTIAL: Removal =
    ("federated credential", "DELETE FROM federated_credentials WHERE id = $1 AND object_id = $2");

pub async fn remove_credential(
    connection: &mut PgConnection,
    (kind, sql): Removal,
    object_id: ObjectId,
    id: CredentialId,
) -> Result<()> {
    let query = sqlx::query(sql).bind(id.uuid()).bind(object_id.uuid());
    run(connection, query, format!("{kind} {id}")).await?;
    changed_principal(connection, object_id).await
}

pub async fn put_role(connection: &mut PgConnection, role: &RoleDefinition) -> Result<()> {
    let sql = "INSERT INTO role_definitions (id, name, description, actions, not_actions, built_in) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
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

pub async fn delete_role(connection: &mut PgConnection, id: RoleDefinitionId) -> Result<()> {
    let query = sqlx::query("DELETE FROM role_definitions WHERE id = $1").bind(id.uuid());
    run(connection, query, format!("role {id}")).await?;
    changed(connection, "roles", &id.to_string()).await
}

pub async fn put_assignments(connection: &mut PgConnection, assignments: &[&RoleAssignment]) -> Result<()> {
    let mut query =
        QueryBuilder::new("INSERT INTO role_assignments (id, object_id, role_id, scope, scope_key) ");
    query.push_values(assignments, |mut row, assignment| {
        row.push_bind(assignment.id.uuid())
            .push_bind(assignment.object_id.uuid())
            .push_bind(assignment.role_id.uuid())
            .push_bind(assignment.scope.to_string())
            .push_bind(assignment.scope.key());
    });
    // The same one again is well (clients retry); another one under its id is refused, as Azure does.
    query.push(
        " ON CONFLICT (id) DO UPDATE SET scope = excluded.scope WHERE role_assignments.object_id = excluded.object_id \
         AND role_assignments.role_id = excluded.role_id AND role_assignments.scope_key = excluded.scope_key",
    );
    let subject = all_of("role assignment", assignments.iter().map(|assignment| assignment.id));
    put(connection, query, assignments.len(), subject, "principal, role and scope").await?;
    changed_principals(connection, assignments.iter().map(|assignment| assignment.object_id)).await
}

pub async fn delete_assignment(connection: &mut PgConnection, id: RoleAssignmentId) -> Result<()> {
    // Logged first: afterwards nobody knows whose it was.
    let log = log!(
        "SELECT 'principal' AS kind, client_id::text AS subject FROM principals \
         JOIN role_assignments USING (object_id) WHERE role_assignments.id = $1"
    );
    run(connection, sqlx::query(log).bind(id.uuid()), id).await?;
    let query = sqlx::query("DELETE FROM role_assignments WHERE id = $1").bind(id.uuid());
    run(connection, query, format!("role assignment {id}")).await?;
    Ok(())
}
