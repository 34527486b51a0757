//! Client assertions that were shown: taken once, forgotten when they have expired.

use std::sync::Arc;

use workspace_sts::storage::Store;

use crate::samples::*;

pub async fn an_assertion_is_taken_once_until_it_is_forgotten(store: Arc<dyn Store>) {
    let take = async |byte: u8, end: i64| store.use_assertion([byte; 32], at(end)).await.unwrap();
    assert!(take(1, 10).await);
    assert!(!take(1, 10).await);
    assert!(!take(1, 20).await, "whatever its end is said to be");
    assert!(take(2, 11).await);
    store.remove_assertions(at(9)).await.unwrap();
    assert!(!take(1, 10).await);
    store.remove_assertions(at(10)).await.unwrap();
    assert!(take(1, 10).await);
    assert!(!take(2, 11).await);
}

pub async fn of_many_at_once_one_is_first(store: Arc<dyn Store>) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.use_assertion([7; 32], at(10)).await.unwrap() });
    }
    let first = tasks.join_all().await.into_iter().filter(|first| *first).count();
    assert_eq!(first, 1);
}
