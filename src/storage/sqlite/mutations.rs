//! All writes of the registry: a list of mutations, their changes and their audit records in one transaction.
//!
//! What one mutation writes stands in `write_*.rs`; what all of them share stands here.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool};
use sqlx::{Connection as _, Sqlite, query::Query};

use super::codec::{unavailable, write_error};
use super::{write_access as access, write_resources as resources, write_signing_keys as signing_keys};
use crate::domain::audit::{Chained, RecordText};
use crate::domain::ids::ObjectId;
use crate::storage::{Change, Mutation, Result, StorageError, read};

pub async fn commit(
    connection: &mut SqliteConnection,
    mutations: &[Mutation],
    records: &[Chained<&RecordText>],
) -> Result<Vec<Change>> {
    // IMMEDIATE takes the write lock at once; a deferred one could fail in the middle.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
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

/// One arm a kind and no catch-all, so that a new kind of mutation can't be forgotten here.
async fn apply(connection: &mut SqliteConnection, mutation: &Mutation) -> Result<()> {
    match mutation {
        Mutation::ExpectWebservice(id, changed) => {
            resources::expect(connection, resources::WEBSERVICE_CHANGED, &id.key(), *changed).await
        }
        Mutation::ExpectWorkspace(id, changed) => {
            resources::expect(connection, resources::WORKSPACE_CHANGED, &id.key(), *changed).await
        }
        Mutation::PutTenant(tenant) => resources::put_tenant(connection, tenant).await,
        Mutation::DeleteTenant(id) => resources::delete_tenant(connection, *id).await,
        Mutation::PutSubscription(put) => resources::put_subscription(connection, put).await,
        Mutation::DeleteSubscription(id) => resources::delete_subscription(connection, id).await,
        Mutation::PutWorkspace(workspace) => resources::put_workspace(connection, workspace).await,
        Mutation::DeleteWorkspace(id) => resources::delete_workspace(connection, id).await,
        Mutation::PutWebservice(webservice) => resources::put_webservice(connection, webservice).await,
        Mutation::DeleteWebservice(id) => resources::delete_webservice(connection, id).await,
        Mutation::PutAccessKey(id, key) => resources::put_access_key(connection, id, key).await,
        Mutation::PutPrincipal(principal) => access::put_principal(connection, principal).await,
        Mutation::UpdatePrincipal(object_id, update) => {
            access::update_principal(connection, *object_id, update).await
        }
        Mutation::DeletePrincipal(object_id) => access::delete_principal(connection, *object_id).await,
        Mutation::AddSecret(secret) => access::add_secret(connection, secret).await,
        Mutation::RemoveSecret(object_id, id) => {
            access::remove_credential(connection, access::SECRET, *object_id, *id).await
        }
        Mutation::AddKeyCredential(key) => access::add_key_credential(connection, key).await,
        Mutation::RemoveKeyCredential(object_id, id) => {
            access::remove_credential(connection, access::KEY_CREDENTIAL, *object_id, *id).await
        }
        Mutation::PutFederatedCredential(put) => access::put_federated_credential(connection, put).await,
        Mutation::RemoveFederatedCredential(object_id, id) => {
            access::remove_credential(connection, access::FEDERATED_CREDENTIAL, *object_id, *id).await
        }
        Mutation::PutRole(role) => access::put_role(connection, role).await,
        Mutation::DeleteRole(id) => access::delete_role(connection, *id).await,
        Mutation::PutAssignment(assignment) => access::put_assignment(connection, assignment).await,
        Mutation::DeleteAssignment(id) => access::delete_assignment(connection, *id).await,
        Mutation::CreateSigningKey(key) => signing_keys::create(connection, key).await,
        Mutation::AmendSigningKey { kid, from, to } => signing_keys::amend(connection, kid, from, to).await,
        Mutation::DestroySigningKey(kid) => signing_keys::destroy(connection, kid).await,
    }
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
    read::changes(&rows, after)
}

/// Writes a line of the change log.
pub async fn changed(connection: &mut SqliteConnection, kind: &'static str, subject: &str) -> Result<()> {
    let query = sqlx::query("INSERT INTO changes (kind, subject) VALUES (?, ?)").bind(kind).bind(subject);
    run(connection, query, subject).await?;
    Ok(())
}

/// Logs a principal by the client id under which the directory holds it; one that is not there is not logged.
pub async fn changed_principal(connection: &mut SqliteConnection, object_id: ObjectId) -> Result<()> {
    let sql = "INSERT INTO changes (kind, subject) SELECT 'principal', lower(hex(client_id)) FROM principals \
               WHERE object_id = ?";
    run(connection, sqlx::query(sql).bind(object_id.uuid()), object_id).await?;
    Ok(())
}

/// Runs a write and returns the number of rows it touched.
pub async fn run(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
    subject: impl std::fmt::Display,
) -> Result<u64> {
    let done = query.execute(connection).await.map_err(|error| write_error(error, subject))?;
    Ok(done.rows_affected())
}

/// Runs a put whose `ON CONFLICT … WHERE` passes over a row that differs in what can't be changed: silence there
/// would be a write that was confirmed and never made.
pub async fn put(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
    subject: impl std::fmt::Display,
    fixed: &'static str,
) -> Result<()> {
    match run(connection, query, &subject).await? {
        0 => Err(StorageError::Conflict(format!(
            "{subject}: is registered already, and its {fixed} can't be changed"
        ))),
        _ => Ok(()),
    }
}
