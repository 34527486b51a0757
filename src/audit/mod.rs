//! Record before release: the group commit.
//!
//! Every request hands its record over and waits. One task commits whatever has arrived while the last commit ran:
//! there is no waiting window, so a lone request pays one commit and a crowd shares one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::domain::audit::AuditRecord;
use crate::metrics::Metrics;
use crate::storage::Store;

/// Records that may wait for a commit; beyond them requests are turned away at once.
const QUEUE: usize = 8192;
/// Records in one commit.
const LARGEST_BATCH: usize = 512;
/// A record that is not durable by then is not waited for, and its token not released.
const DEADLINE: Duration = Duration::from_secs(5);

/// The record could not be made durable, so what it is about must not be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be made durable")]
pub struct NotRecorded;

struct Waiting {
    record: AuditRecord,
    done: oneshot::Sender<Result<(), NotRecorded>>,
}

/// Hands records to the committing task. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Waiting>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// Starts the committing task on the current runtime. It ends when the last recorder is dropped and all
    /// waiting records are committed.
    pub fn start(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let committing = tokio::spawn(commit_forever(store, Arc::clone(&metrics), waiting));
        (Self { queue, metrics }, committing)
    }

    /// Returns when the record is durable.
    pub async fn record(&self, record: AuditRecord) -> Result<(), NotRecorded> {
        let (done, outcome) = oneshot::channel();
        if self.queue.try_send(Waiting { record, done }).is_err() {
            self.metrics.audit_records_dropped.inc();
            return Err(NotRecorded);
        }
        outcome.await.unwrap_or(Err(NotRecorded))
    }
}

async fn commit_forever(store: Arc<dyn Store>, metrics: Arc<Metrics>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(LARGEST_BATCH);
    let mut records = Vec::with_capacity(LARGEST_BATCH);
    let mut waiters = Vec::with_capacity(LARGEST_BATCH);
    while waiting.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
        for Waiting { record, done } in batch.drain(..) {
            records.push(record);
            waiters.push(done);
        }
        let started = Instant::now();
        let outcome = match tokio::time::timeout(DEADLINE, store.append_audit(&records)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(audit.records = records.len(), error = %error, "audit records could not be committed");
                Err(NotRecorded)
            }
            Err(_) => {
                tracing::error!(
                    audit.records = records.len(),
                    "audit records were not committed within the deadline"
                );
                Err(NotRecorded)
            }
        };
        measure(&metrics, records.len(), started, outcome);
        records.clear();
        for waiter in waiters.drain(..) {
            // A caller that went away leaves its record behind, which is as it should be.
            let _ = waiter.send(outcome);
        }
    }
}

fn measure(metrics: &Metrics, records: usize, started: Instant, outcome: Result<(), NotRecorded>) {
    metrics.audit_commit_duration.observe(started.elapsed().as_secs_f64());
    metrics.audit_batch_records.observe(records as f64);
    match outcome {
        Ok(()) => metrics.audit_records.with_label_values(&["database"]).inc_by(records as u64),
        Err(NotRecorded) => metrics.audit_records_dropped.inc_by(records as u64),
    }
}
