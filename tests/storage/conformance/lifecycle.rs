//! Opening a database, opening it again, and opening one of another version.

use std::sync::Arc;

use tokio::task::JoinSet;
use workspace_sts::domain::audit::AuditFilter;
use workspace_sts::domain::principal::SecretSlot;
use workspace_sts::storage::{Mutation, StorageError};

use super::concurrency::{TASKS, all_are_there, commit_one};
use crate::database::Database;
use crate::samples::*;

pub async fn everything_is_found_after_reopening(database: &dyn Database) {
    let store = database.open().await.unwrap();
    let mut mutations = world();
    mutations.extend([
        Mutation::AddSecret(secret(1, 1, SecretSlot::First)),
        Mutation::PutAssignment(assignment(1, 1, 1, &scope("/"))),
        Mutation::CreateSigningKey(Box::new(signing_key("kid-1", 1))),
    ]);
    store.commit(&mutations, &[chained(&record(1))]).await.unwrap();
    append(&store, &[record(2)]).await;
    store.remember("pepper", &[1, 2]).await.unwrap();
    let before = (
        format!("{:?}", store.snapshot().await.unwrap()),
        store.changes_after(0).await.unwrap(),
        store.signing_keys().await.unwrap(),
    );
    // Dropped and not closed, as a killed process leaves it.
    drop(store);
    let store = database.open().await.unwrap();
    let after = (
        format!("{:?}", store.snapshot().await.unwrap()),
        store.changes_after(0).await.unwrap(),
        store.signing_keys().await.unwrap(),
    );
    assert_eq!(after, before);
    let facts = store.principal_facts(client_id(1)).await.unwrap();
    let facts = facts.expect("it is there");
    assert_eq!(facts.secrets, [secret(1, 1, SecretSlot::First)]);
    let all = AuditFilter { limit: 10, ..AuditFilter::default() };
    assert_eq!(store.audit(&all).await.unwrap().len(), 2);
    assert_eq!(store.remember("pepper", &[9]).await.unwrap(), [1, 2]);
}

pub async fn opening_twice_migrates_once(database: &dyn Database) {
    let one = database.open().await.unwrap();
    let other = database.open().await.unwrap();
    put(&one, &[Mutation::PutTenant(tenant(1))]).await;
    put(&other, &[Mutation::PutTenant(tenant(2))]).await;
    for store in [one, other] {
        let (_, changes) = store.changes_after(0).await.unwrap();
        assert_eq!(changes.len(), 2, "each sees what the other wrote");
        assert_eq!(store.tenants().await.unwrap(), [tenant(1), tenant(2)]);
    }
}

pub async fn commits_of_two_processes_lose_nothing(database: &dyn Database) {
    let stores = [database.open().await.unwrap(), database.open().await.unwrap()];
    put(&stores[0], &[Mutation::PutTenant(tenant(1))]).await;
    let before = stores[0].last_change().await.unwrap();
    let mut tasks: JoinSet<_> =
        (0..TASKS).map(|n| commit_one(Arc::clone(&stores[usize::from(n % 2)]), n)).collect();
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").1.unwrap();
    }
    for store in &stores {
        all_are_there(store, before).await;
    }
}

pub async fn one_generation_has_one_winner_among_processes(database: &dyn Database) {
    let stores = [database.open().await.unwrap(), database.open().await.unwrap()];
    for generation in 1..=8 {
        let create = async |n: usize| {
            let key = signing_key(&format!("kid-{generation}-{n}"), generation);
            stores[n].commit(&[Mutation::CreateSigningKey(Box::new(key))], &[]).await
        };
        let outcomes = tokio::join!(create(0), create(1));
        match outcomes {
            (Ok(_), Err(StorageError::Conflict(_))) | (Err(StorageError::Conflict(_)), Ok(_)) => {}
            other => panic!("not one winner: {other:?}"),
        }
    }
    assert_eq!(stores[0].signing_keys().await.unwrap().len(), 8);
}

pub async fn processes_open_a_new_database_at_once(database: &dyn Database) {
    let (one, other, third) = tokio::join!(database.open(), database.open(), database.open());
    put(&one.unwrap(), &[Mutation::PutTenant(tenant(1))]).await;
    for store in [other, third] {
        assert_eq!(store.unwrap().tenants().await.unwrap(), [tenant(1)]);
    }
}

async fn refused_as_another_schema(database: &dyn Database) {
    match database.open().await.err() {
        Some(StorageError::Schema(text)) => assert!(text.contains("migration"), "{text}"),
        other => panic!("not refused for its schema: {other:?}"),
    }
}

pub async fn a_newer_database_is_refused(database: &dyn Database) {
    drop(database.open().await.unwrap());
    database.pretend_newer_migration().await;
    refused_as_another_schema(database).await;
}

pub async fn an_altered_migration_is_refused(database: &dyn Database) {
    drop(database.open().await.unwrap());
    database.pretend_altered_migration().await;
    refused_as_another_schema(database).await;
}
