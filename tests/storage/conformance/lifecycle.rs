//! Opening a database, opening it again, and opening one of another version.

use std::sync::Arc;

use chrono::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;
use workspace_sts::domain::credential_method::AllowedMethods;
use workspace_sts::domain::ids::CredentialId;
use workspace_sts::domain::principal::{KeyCredential, SecretSlot};
use workspace_sts::domain::webservice::Webservice;
use workspace_sts::storage::{Mutation, StorageError};

use super::concurrency::{TASKS, all_are_there, commit_one};
use crate::database::Database;
use crate::samples::*;

/// An older version beside this one writes rows without the columns that are new.
pub async fn rows_of_an_older_version_are_read_as_it_means_them(database: &dyn Database) {
    let store = database.open().await.unwrap();
    with_world(&store).await;
    let key = key_credential(1, 2);
    put(&store, &[Mutation::AddKeyCredential(Box::new(key.clone()))]).await;
    store.close().await;
    database.run("UPDATE principals SET allowed_methods = NULL").await;
    let columns =
        "object_id, display_name, public_jwk, sha1_thumbprint, sha256_thumbprint, starts_at, expires_at";
    database.run(&format!("CREATE TABLE kept AS SELECT id, {columns} FROM key_credentials")).await;
    database.run("DELETE FROM key_credentials").await;
    database
        .run(&format!("INSERT INTO key_credentials (id, {columns}) SELECT id, {columns} FROM kept"))
        .await;
    let store = database.open().await.unwrap();
    let facts = store.principal_facts(client_id(2)).await.unwrap().unwrap();
    assert_eq!(facts.principal.allowed_methods, AllowedMethods::ALL);
    assert_eq!(facts.key_credentials, [key], "a certificate");
}

pub async fn everything_is_found_after_reopening(database: &dyn Database) {
    let store = database.open().await.unwrap();
    let mut mutations = world();
    mutations.extend([
        Mutation::AddSecret(secret(1, 1, SecretSlot::First)),
        Mutation::PutAssignment(assignment(1, 1, 1, &scope("/"))),
        Mutation::CreateSigningKey(Box::new(signing_key("kid-1", 1))),
    ]);
    commit(&store, &mutations, &[record(1)]).await.unwrap();
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
    assert_eq!(newest_first(&store).await.len(), 2);
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

/// Long commits beside short ones, so that a number given early would be seen late.
pub async fn a_follower_misses_no_change_of_other_processes(database: &dyn Database) {
    let stores = [database.open().await.unwrap(), database.open().await.unwrap()];
    put(&stores[0], &[Mutation::PutTenant(tenant(1))]).await;
    let mut writers = JoinSet::new();
    for (n, store) in (0..2_u128).zip(&stores) {
        let store = Arc::clone(store);
        writers.spawn(async move {
            for commit in 0..20 {
                let size = if (commit + n) % 2 == 0 { 1 } else { 15 };
                let first = 1000 * (n + 1) + 20 * commit;
                let puts: Vec<_> =
                    (first..first + size).map(|n| Mutation::PutPrincipal(principal(n, 1))).collect();
                put(&store, &puts).await;
            }
        });
    }
    let follower = database.open().await.unwrap();
    let (mut last, mut seen) = (0, Vec::new());
    loop {
        let ended = writers.is_empty();
        let (newest, changes) = follower.changes_after(last).await.unwrap();
        last = newest;
        seen.extend(changes);
        if ended {
            break;
        }
        while let Some(done) = writers.try_join_next() {
            done.expect("no panic");
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(seen.len(), 1 + 2 * 10 * 16);
    assert_eq!(
        follower.changes_after(0).await.unwrap(),
        (last, seen),
        "in the order in which it is read later"
    );
}

pub async fn a_limit_holds_among_processes(database: &dyn Database) {
    let stores = [database.open().await.unwrap(), database.open().await.unwrap()];
    put(&stores[0], &[Mutation::PutTenant(tenant(1))]).await;
    // One place is left to each principal, and two want it.
    for caller in 1..=16 {
        let id = |n| CredentialId::from_uuid(Uuid::from_u128(100 * caller + n));
        let add = |n| {
            let key = KeyCredential { id: id(n), ..key_credential(n, caller) };
            Mutation::AddKeyCredential(Box::new(key))
        };
        let mut puts = vec![Mutation::PutPrincipal(principal(caller, 1))];
        puts.extend((1..=19).map(add));
        put(&stores[0], &puts).await;
        let (one, other) = ([add(20)], [add(21)]);
        match tokio::join!(stores[0].commit(&one, &[]), stores[1].commit(&other, &[])) {
            (Ok(_), Err(StorageError::Conflict(_))) | (Err(StorageError::Conflict(_)), Ok(_)) => {}
            outcomes => panic!("not one winner: {outcomes:?}"),
        }
        let facts = stores[0].principal_facts(client_id(caller)).await.unwrap().expect("it is there");
        assert_eq!(facts.key_credentials.len(), 20);
    }
}

pub async fn an_expectation_has_one_winner_among_processes(database: &dyn Database) {
    let stores = [database.open().await.unwrap(), database.open().await.unwrap()];
    with_world(&stores[0]).await;
    let before = webservice(&workspace_id("rg-a", "ws-1"), "churn");
    let mut editing: JoinSet<_> = (1..=8_i64)
        .map(|n| {
            let store = Arc::clone(&stores[usize::from(n % 2 == 0)]);
            let edited =
                Webservice { updated_at: before.updated_at + Duration::seconds(n), ..before.clone() };
            let expected = Mutation::ExpectWebservice(before.id.clone(), Some(before.updated_at));
            async move { store.commit(&[expected, Mutation::PutWebservice(edited)], &[]).await }
        })
        .collect();
    let mut winners = 0;
    while let Some(outcome) = editing.join_next().await {
        match outcome.expect("no panic") {
            Ok(_) => winners += 1,
            Err(StorageError::Stale(_)) => {}
            other => panic!("neither done nor stale: {other:?}"),
        }
    }
    assert_eq!(winners, 1);
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
