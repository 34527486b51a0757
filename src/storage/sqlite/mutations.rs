//! All writes of the registry: a list of mutations, their changes and their audit records in one transaction.
//!
//! What one mutation writes stands in `write_*.rs`; what all of them share stands here.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool};
use sqlx::{Connection as _, QueryBuilder, Sqlite, query::Query};

use super::codec::{unavailable, write_error};
use super::{
    sealed, write_access as access, write_resources as resources, write_signing_keys as signing_keys,
};
use crate::domain::audit::{Chained, RecordText};
use crate::domain::ids::ObjectId;
use crate::storage::lists::{ROWS_PER_STATEMENT, Rows, statements};
use crate::storage::{Change, Mutation, Result, StorageError, read};

pub async fn commit(
    connection: &mut SqliteConnection,
    mutations: &[Mutation],
    records: &[Chained<&RecordText>],
) -> Result<Vec<Change>> {
    match commit_by(connection, ROWS_PER_STATEMENT, mutations, records).await {
        // Of many rows the database does not say which one it refuses. Nothing is written, so they go again one by one.
        Err(StorageError::Conflict(_)) if mutations.len() > 1 => {
            commit_by(connection, 1, mutations, records).await
        }
        outcome => outcome,
    }
}

async fn commit_by(
    connection: &mut SqliteConnection,
    rows: usize,
    mutations: &[Mutation],
    records: &[Chained<&RecordText>],
) -> Result<Vec<Change>> {
    // IMMEDIATE takes the write lock at once; a deferred one could fail in the middle.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
    let before = last_sequence(&mut transaction).await?;
    for written in statements(mutations, rows) {
        write(&mut transaction, written).await?;
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

async fn write(connection: &mut SqliteConnection, rows: Rows<'_>) -> Result<()> {
    match rows {
        Rows::One(mutation) => apply(connection, mutation).await,
        Rows::Webservices(puts) => resources::put_webservices(connection, &puts).await,
        Rows::AccessKeys(keys) => resources::put_access_keys(connection, &keys).await,
        Rows::Principals(puts) => access::put_principals(connection, &puts).await,
        Rows::Secrets(secrets) => access::add_secrets(connection, &secrets).await,
        Rows::Assignments(puts) => access::put_assignments(connection, &puts).await,
    }
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
        Mutation::ExpectNoSigningKeys => signing_keys::expect_none(connection).await,
        Mutation::PutTenant(tenant) => resources::put_tenant(connection, tenant).await,
        Mutation::DeleteTenant(id) => resources::delete_tenant(connection, *id).await,
        Mutation::PutSubscription(put) => resources::put_subscription(connection, put).await,
        Mutation::DeleteSubscription(id) => resources::delete_subscription(connection, id).await,
        Mutation::PutWorkspace(workspace) => resources::put_workspace(connection, workspace).await,
        Mutation::DeleteWorkspace(id) => resources::delete_workspace(connection, id).await,
        Mutation::PutWebservice(put) => resources::put_webservices(connection, &[put]).await,
        Mutation::DeleteWebservice(id) => resources::delete_webservice(connection, id).await,
        Mutation::PutAccessKey(id, key) => resources::put_access_keys(connection, &[(id, key)]).await,
        Mutation::PutPrincipal(put) => access::put_principals(connection, &[put]).await,
        Mutation::UpdatePrincipal(object_id, update) => {
            access::update_principal(connection, *object_id, update).await
        }
        Mutation::DeletePrincipal(object_id) => access::delete_principal(connection, *object_id).await,
        Mutation::AddSecret(secret) => access::add_secrets(connection, &[secret]).await,
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
        Mutation::PutAssignment(put) => access::put_assignments(connection, &[put]).await,
        Mutation::DeleteAssignment(id) => access::delete_assignment(connection, *id).await,
        Mutation::CreateSigningKey(key) => signing_keys::create(connection, key).await,
        Mutation::AmendSigningKey { kid, from, to } => signing_keys::amend(connection, kid, from, to).await,
        Mutation::DestroySigningKey(kid) => signing_keys::destroy(connection, kid).await,
        Mutation::RewrapSigningKey(kid, rewrap) => sealed::rewrap_signing_key(connection, kid, rewrap).await,
        Mutation::RewrapAccessKey(webservice_key, name, rewrap) => {
            sealed::rewrap_access_key(connection, webservice_key, *name, rewrap).await
        }
        Mutation::RevokeToken(revoked) => super::revoked_tokens::add(connection, revoked).await,
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

/// The same of webservices, by their keys.
pub async fn changed_webservices(
    connection: &mut SqliteConnection,
    keys: impl Iterator<Item = String>,
) -> Result<()> {
    let mut query = QueryBuilder::new("INSERT INTO changes (kind, subject) ");
    query.push_values(keys, |mut row, key| {
        row.push("'webservice'").push_bind(key);
    });
    run(connection, query.build(), "changes").await?;
    Ok(())
}

/// Logs principals by the client ids under which the directory holds them; one that is not there is not logged.
pub async fn changed_principals(
    connection: &mut SqliteConnection,
    object_ids: impl Iterator<Item = ObjectId>,
) -> Result<()> {
    let mut query = QueryBuilder::new(
        "INSERT INTO changes (kind, subject) SELECT 'principal', lower(hex(client_id)) FROM principals \
         WHERE object_id IN (",
    );
    let mut ids = query.separated(",");
    for object_id in object_ids {
        ids.push_bind(object_id.uuid());
    }
    query.push(")");
    run(connection, query.build(), "changes").await?;
    Ok(())
}

pub async fn changed_principal(connection: &mut SqliteConnection, object_id: ObjectId) -> Result<()> {
    changed_principals(connection, std::iter::once(object_id)).await
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

/// Runs a put of so many rows whose `ON CONFLICT … WHERE` passes over a row that differs in what can't be changed:
/// silence there would be a write that was confirmed and never made.
pub async fn put(
    connection: &mut SqliteConnection,
    mut query: QueryBuilder<Sqlite>,
    rows: usize,
    subject: impl std::fmt::Display,
    fixed: &'static str,
) -> Result<()> {
    let written = run(connection, query.build(), &subject).await?;
    all_written(written, rows, subject, fixed)
}

/// The same of a single row.
pub async fn put_one(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
    subject: impl std::fmt::Display,
    fixed: &'static str,
) -> Result<()> {
    let written = run(connection, query, &subject).await?;
    all_written(written, 1, subject, fixed)
}

fn all_written(
    written: u64,
    rows: usize,
    subject: impl std::fmt::Display,
    fixed: &'static str,
) -> Result<()> {
    if written >= rows as u64 {
        return Ok(());
    }
    Err(StorageError::Conflict(format!("{subject}: is registered already, and its {fixed} can't be changed")))
}

/// What a statement is about, for its error: the first of its things, which of a single row is all that there is.
pub fn all_of(kind: &str, mut names: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let name = names.next().map_or_else(String::new, |name| name.to_string());
    if kind.is_empty() { name } else { format!("{kind} {name}") }
}
