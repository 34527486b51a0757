//! Many at once: nothing is lost, nothing is done twice, and of two that want the same one has it.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;
use workspace_sts::storage::{Change, Mutation, Result, StorageError, Store};

use crate::samples::*;

pub const TASKS: u8 = 32;

/// Commits a principal and its audit record.
pub async fn commit_one(store: Arc<dyn Store>, n: u8) -> (u8, Result<Vec<Change>>) {
    let mutation = Mutation::PutPrincipal(principal(u128::from(n), 1));
    (n, commit(&store, &[mutation], &[record(i64::from(n))]).await)
}

/// Checks that principals 0..TASKS, their changes after `before` and their records are there, each once.
pub async fn all_are_there(store: &Arc<dyn Store>, before: i64) {
    let there: HashSet<_> = store
        .principals(tenant_id(1), WHOLE)
        .await
        .unwrap()
        .into_iter()
        .map(|found| found.client_id)
        .collect();
    assert_eq!(there, (0..TASKS).map(|n| client_id(u128::from(n))).collect());
    let (newest, changes) = store.changes_after(before).await.unwrap();
    assert_eq!(newest, before + i64::from(TASKS), "numbers have no holes");
    for n in 0..TASKS {
        let change = Change::Principal(client_id(u128::from(n)));
        assert_eq!(changes.iter().filter(|found| **found == change).count(), 1);
    }
    assert_eq!(newest_first(store).await.len(), usize::from(TASKS));
}

pub async fn commits_at_once_lose_nothing(store: Arc<dyn Store>) {
    put(&store, &[Mutation::PutTenant(tenant(1))]).await;
    let before = store.last_change().await.unwrap();
    let mut tasks: JoinSet<_> = (0..TASKS).map(|n| commit_one(Arc::clone(&store), n)).collect();
    while let Some(done) = tasks.join_next().await {
        let (n, changes) = done.expect("no panic");
        let own = Change::Principal(client_id(u128::from(n)));
        assert_eq!(changes.unwrap(), [own], "a commit returns its own changes");
    }
    all_are_there(&store, before).await;
}

pub async fn of_two_creators_of_a_generation_one_wins(store: Arc<dyn Store>) {
    let create = async |kid: &str| {
        let key = Box::new(signing_key(kid, 1));
        store.commit(&[Mutation::CreateSigningKey(key)], &[]).await
    };
    let outcomes = tokio::join!(create("kid-a"), create("kid-b"));
    let winner = match outcomes {
        (Ok(_), Err(StorageError::Conflict(_))) => "kid-a",
        (Err(StorageError::Conflict(_)), Ok(_)) => "kid-b",
        other => panic!("not one winner: {other:?}"),
    };
    let keys = store.signing_keys().await.unwrap();
    assert_eq!(keys, [signing_key(winner, 1)]);
}

pub async fn of_two_that_remember_one_is_remembered(store: Arc<dyn Store>) {
    let (one, other) = tokio::join!(store.remember("fact", &[1]), store.remember("fact", &[2]));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one, other, "both are told the same");
    assert_eq!(store.remember("fact", &[3]).await.unwrap(), one);
}

pub async fn appends_and_commits_share_the_database(store: Arc<dyn Store>) {
    put(&store, &[Mutation::PutTenant(tenant(1))]).await;
    let before = store.last_change().await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..TASKS {
        let shared = Arc::clone(&store);
        tasks.spawn(async move { commit_one(shared, n).await.1.map(|_| ()) });
        // The same record by the other way: still once.
        let shared = Arc::clone(&store);
        tasks.spawn(async move { shared.append_audit(&[chained(&record(i64::from(n))).as_ref()]).await });
        let shared = Arc::clone(&store);
        tasks.spawn(async move { shared.snapshot().await.map(|_| ()) });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").unwrap();
    }
    all_are_there(&store, before).await;
}
