//! The recorder over a real database: everything that is confirmed is there, whoever ends in the middle.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use tokio::runtime::{Builder, Runtime};
use workspace_sts::audit::Recorder;
use workspace_sts::domain::audit::AuditFilter;
use workspace_sts::domain::region::Region;
use workspace_sts::metrics::Metrics;
use workspace_sts::storage::Store;

use crate::database::Database as _;
use crate::samples::record;
use crate::sqlite::{SqliteFile, fresh};

async fn recorder(database: &SqliteFile) -> (Recorder, Arc<dyn Store>) {
    let store = database.open().await.unwrap();
    let metrics = Arc::new(Metrics::new(&Region::parse("local").unwrap()).unwrap());
    (Recorder::new(Arc::clone(&store), metrics), store)
}

async fn count(store: &Arc<dyn Store>) -> usize {
    store.audit(&AuditFilter { limit: 10_000, ..AuditFilter::default() }).await.unwrap().len()
}

/// As an actix worker has it.
fn worker() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn records_of_several_workers_are_durable_when_confirmed() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    // Each worker ends as soon as its own records are confirmed, often in the middle of the others' commit.
    let threads: Vec<_> = (0..16_i64)
        .map(|thread| {
            let recorder = recorder.clone();
            std::thread::spawn(move || {
                worker().block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for n in 0..20 {
                        let recorder = recorder.clone();
                        tasks.spawn(async move { recorder.record(record(thread * 20 + n)).await });
                    }
                    tasks.join_all().await
                })
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().iter().all(Result::is_ok));
    }
    assert_eq!(count(&store).await, 320);
}

#[tokio::test]
async fn a_record_outlives_the_worker_that_was_to_commit_it() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    // Another process holds the write lock, so that the first commit hangs.
    let mut other = SqliteConnection::connect_with(&database.options()).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let first = recorder.clone();
    let dying = std::thread::spawn(move || {
        let worker = worker();
        let started = worker.block_on(async {
            tokio::time::timeout(Duration::from_millis(100), first.record(record(1))).await
        });
        assert!(started.is_err(), "the lock is held");
        worker
    });
    let worker = dying.join().unwrap();
    let second = tokio::spawn(async move { recorder.record(record(2)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished(), "it waits for the first worker's commit");
    tokio::task::spawn_blocking(move || drop(worker)).await.unwrap();
    lock.rollback().await.unwrap();
    let second =
        tokio::time::timeout(Duration::from_secs(20), second).await.expect("it does not wait for ever");
    assert_eq!(second.unwrap(), Ok(()));
    let found = store.audit(&AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
    assert!(found.iter().any(|entry| entry.id == record(2).id.to_string()));
}

#[tokio::test]
async fn what_a_caller_left_behind_is_committed() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    tokio::select! {
        biased;
        _ = recorder.record(record(1)) => panic!("a commit takes longer than one poll"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(recorder.record(record(2)).await, Ok(()));
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_record_that_the_database_refuses_is_not_confirmed() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    store.close().await;
    std::fs::remove_file(database.path()).unwrap();
    assert!(recorder.record(record(1)).await.is_err());
}
