//! How long issuing took: rows of many processes, which are added up when they are read.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use tokio::task::JoinSet;
use uuid::Uuid;
use workspace_sts::domain::latency::{Latencies, LatencyRow, Span};
use workspace_sts::storage::Store;

use crate::samples::*;

const PROCESSES: u128 = 16;

fn row(span: Span, starts_at: DateTime<Utc>, process: u128, micros: &[u64]) -> LatencyRow {
    let mut latencies = Latencies::default();
    micros.iter().for_each(|micros| latencies.add(*micros));
    let (region, compute_region) = (region("westeurope"), region("eastus"));
    LatencyRow { span, starts_at, region, compute_region, process: Uuid::from_u128(process), latencies }
}

fn minute(number: i64) -> DateTime<Utc> {
    Span::Minute.start_of(at(0)) + Duration::minutes(number)
}

async fn all(store: &Arc<dyn Store>, span: Span) -> Vec<LatencyRow> {
    let mut rows = store.latencies(span, DateTime::UNIX_EPOCH).await.unwrap();
    rows.sort_by_key(|row| (row.starts_at, row.process));
    rows
}

pub async fn a_row_is_read_back_and_put_twice(store: Arc<dyn Store>) {
    store.put_latencies(&[]).await.unwrap();
    let first = row(Span::Minute, minute(0), 1, &[1, 300, 5_000_000]);
    let grown = row(Span::Minute, minute(0), 1, &[1, 300, 5_000_000, 17]);
    let quarter = row(Span::Quarter, Span::Quarter.start_of(minute(0)), 1, &[1]);
    store.put_latencies(&[first.clone(), quarter.clone()]).await.unwrap();
    assert_eq!(all(&store, Span::Minute).await, [first]);
    // Whole each time: put again, it stands in the place of what was there and counts nothing twice.
    for _ in 0..2 {
        store.put_latencies(std::slice::from_ref(&grown)).await.unwrap();
    }
    assert_eq!(all(&store, Span::Minute).await, [grown]);
    assert_eq!(all(&store, Span::Quarter).await, [quarter]);
}

pub async fn rows_of_processes_at_once_are_all_kept(store: Arc<dyn Store>) {
    let mut tasks = JoinSet::new();
    for process in 0..PROCESSES {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for count in 1..=3 {
                let micros = vec![100; count];
                let rows = [0, 1].map(|number| row(Span::Minute, minute(number), process, &micros));
                store.put_latencies(&rows).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    let mut sum = Latencies::default();
    let rows = all(&store, Span::Minute).await;
    assert_eq!(rows.len() as u128, 2 * PROCESSES);
    rows.iter().for_each(|row| sum.merge(&row.latencies));
    assert_eq!(u128::from(sum.count()), 2 * 3 * PROCESSES);
}

pub async fn old_rows_are_removed_and_no_others(store: Arc<dyn Store>) {
    let rows: Vec<_> = (0..4).map(|number| row(Span::Minute, minute(number), 1, &[9])).collect();
    let quarter = row(Span::Quarter, minute(0), 1, &[9]);
    store.put_latencies(&[rows.as_slice(), std::slice::from_ref(&quarter)].concat()).await.unwrap();
    assert_eq!(store.latencies(Span::Minute, minute(1)).await.unwrap().len(), 2, "what began after it");
    store.remove_latencies(Span::Minute, minute(1)).await.unwrap();
    assert_eq!(all(&store, Span::Minute).await, rows[2..]);
    assert_eq!(all(&store, Span::Quarter).await, [quarter]);
}
