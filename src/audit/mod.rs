//! Record before release: the group commit.
//!
//! Every request hands its record over and waits. Whoever finds no commit running commits all that has arrived, again
//! and again until nothing waits: there is no waiting window, so a lone request pays one commit and a crowd shares one.
//! The commits run on the worker of the request that began them; a task of its own elsewhere would cost every commit
//! two switches of thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

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

type Outcome = Result<(), NotRecorded>;

/// Makes records durable. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(Arc<AuditRecord>, oneshot::Sender<Outcome>)>,
    /// Someone commits until nothing waits.
    committing: bool,
}

impl Recorder {
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { store, metrics, queue: Mutex::default() }))
    }

    /// Returns when the record is durable. A caller that goes away meanwhile leaves its record behind, to be committed
    /// like the others.
    pub async fn record(&self, record: AuditRecord) -> Outcome {
        let record = Arc::new(record);
        loop {
            // Only a committer whose worker stopped leaves no outcome, so this goes round once for each worker that
            // stops. Whether its commit reached the database is unknown; committing a record twice leaves one row.
            if let Ok(outcome) = self.hand_over(Arc::clone(&record))?.await {
                return outcome;
            }
        }
    }

    fn hand_over(&self, record: Arc<AuditRecord>) -> Result<oneshot::Receiver<Outcome>, NotRecorded> {
        let (sender, outcome) = oneshot::channel();
        let mut queue = self.0.queue();
        if queue.waiting.len() >= QUEUE {
            self.0.metrics.audit_records_dropped.inc();
            return Err(NotRecorded);
        }
        queue.waiting.push((record, sender));
        if !std::mem::replace(&mut queue.committing, true) {
            drop(queue);
            // A task, not this future: a caller that goes away must not take the others' commit with it.
            tokio::spawn(Committer::new(Arc::clone(&self.0)).commit_all());
        }
        Ok(outcome)
    }
}

impl Shared {
    async fn commit(&self, records: &[Arc<AuditRecord>]) -> Outcome {
        let started = Instant::now();
        let failed = match tokio::time::timeout(DEADLINE, self.store.append_audit(records)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer in {} seconds", DEADLINE.as_secs())),
        };
        let metrics = &self.metrics;
        metrics.audit_commit_duration.observe(started.elapsed().as_secs_f64());
        metrics.audit_batch_records.observe(records.len() as f64);
        match failed {
            None => {
                metrics.audit_records.with_label_values(&["database"]).inc_by(records.len() as u64);
                Ok(())
            }
            Some(error) => {
                metrics.audit_records_dropped.inc_by(records.len() as u64);
                tracing::error!(audit.records = records.len(), error, "audit records could not be committed");
                Err(NotRecorded)
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to commit, held by one task at a time.
struct Committer {
    shared: Arc<Shared>,
    /// The batch under way, and who waits for it.
    records: Vec<Arc<AuditRecord>>,
    waiters: Vec<oneshot::Sender<Outcome>>,
    /// Given up in order, with nothing waiting.
    done: bool,
}

impl Committer {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, records: Vec::new(), waiters: Vec::new(), done: false }
    }

    async fn commit_all(mut self) {
        loop {
            // Once around: requests that are ready on this worker join the batch. With none ready this costs nothing.
            tokio::task::yield_now().await;
            if !self.take() {
                return;
            }
            let outcome = self.shared.commit(&self.records).await;
            self.records.clear();
            for waiter in self.waiters.drain(..) {
                // A caller that went away is owed nothing.
                let _ = waiter.send(outcome);
            }
        }
    }

    /// Moves what waits into the batch. With nothing there the right to commit is given up.
    fn take(&mut self) -> bool {
        let mut queue = self.shared.queue();
        let batch = queue.waiting.len().min(LARGEST_BATCH);
        self.done = batch == 0;
        queue.committing = batch > 0;
        for (record, waiter) in queue.waiting.drain(..batch) {
            self.records.push(record);
            self.waiters.push(waiter);
        }
        batch > 0
    }
}

impl Drop for Committer {
    /// Its worker stopped: lets go of whoever waits, so that each hands its record over anew and the first of them
    /// commits. After a panic the batch is refused instead: what panicked once would panic for ever.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut queue = self.shared.queue();
        queue.committing = false;
        queue.waiting.clear();
        drop(queue);
        if std::thread::panicking() {
            self.shared.metrics.audit_records_dropped.inc_by(self.waiters.len() as u64);
            for waiter in self.waiters.drain(..) {
                let _ = waiter.send(Err(NotRecorded));
            }
        }
    }
}
