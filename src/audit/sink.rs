//! Where a batch becomes durable: the database, or the spool while the database can't.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::NotRecorded;
use super::spool::{Lines, Spool, Taken};
use crate::domain::audit::{Chained, RecordText};
use crate::metrics::Metrics;
use crate::storage::Store;

/// A batch that the database has not taken by then goes to the spool.
const DEADLINE: Duration = Duration::from_millis(750);
/// How long a batch from the spool may take. Nobody waits for it.
const SHIPPING_DEADLINE: Duration = Duration::from_secs(5);
/// Records in one batch from the spool.
const SHIPPED_AT_ONCE: usize = 512;

/// Both places.
pub struct Sink {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    spool: Option<Arc<Mutex<Spool>>>,
    /// The database failed: batches go to the spool at once, until it is shipped.
    diverted: AtomicBool,
    /// Up to where the spool's records are in the database.
    shipped: AtomicU64,
}

impl Sink {
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>, spool: Option<Spool>) -> Self {
        let spool = spool.map(|spool| Arc::new(Mutex::new(spool)));
        let sink =
            Self { store, metrics, spool, diverted: AtomicBool::new(false), shipped: AtomicU64::new(0) };
        if let Some(spool) = &sink.spool {
            sink.show(&lock(spool));
        }
        sink
    }

    /// Whether the database takes no records now.
    pub fn is_diverted(&self) -> bool {
        self.diverted.load(Ordering::SeqCst)
    }

    /// Durable when it returns.
    pub async fn store(&self, records: &[Chained<&RecordText>]) -> Result<(), NotRecorded> {
        let started = Instant::now();
        let stored = if self.is_diverted() {
            self.append_to_spool(records).await
        } else {
            match self.append_to_database(records, DEADLINE).await {
                Ok(()) => Ok("database"),
                Err(error) => {
                    tracing::error!(
                        audit.records = records.len(),
                        error,
                        "the database took no audit records"
                    );
                    self.append_to_spool(records).await
                }
            }
        };
        let metrics = &self.metrics;
        metrics.audit_commit_duration.observe(started.elapsed().as_secs_f64());
        metrics.audit_batch_records.observe(records.len() as f64);
        match stored {
            Ok(place) => {
                metrics.audit_records.with_label_values(&[place]).inc_by(records.len() as u64);
                Ok(())
            }
            Err(error) => {
                metrics.audit_records_dropped.inc_by(records.len() as u64);
                tracing::error!(
                    audit.records = records.len(),
                    error,
                    "audit records could not be made durable"
                );
                Err(NotRecorded)
            }
        }
    }

    async fn append_to_database(
        &self,
        records: &[Chained<&RecordText>],
        deadline: Duration,
    ) -> Result<(), String> {
        match tokio::time::timeout(deadline, self.store.append_audit(records)).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer in {} ms", deadline.as_millis())),
        }
    }

    async fn append_to_spool(&self, records: &[Chained<&RecordText>]) -> Result<&'static str, String> {
        let Some(spool) = self.spool.clone() else { return Err("there is no spool".to_owned()) };
        let lines = Lines::of(records);
        // Set before the write: whoever ships must find the record or leave the way to the spool open.
        if !self.diverted.swap(true, Ordering::SeqCst) {
            tracing::warn!("audit records go to the spool until the database takes them again");
        }
        // A worker thread must not wait for a disk.
        let appended = tokio::task::spawn_blocking(move || {
            let mut spool = lock(&spool);
            let before = spool.is_nearly_full();
            let appended = spool.append(&lines);
            if spool.is_nearly_full() && !before {
                tracing::warn!(
                    spool.bytes = spool.bytes(),
                    "the spool is nearly full; once it is, no token is issued"
                );
            }
            appended.map(|()| (spool.bytes(), spool.records()))
        });
        let (bytes, kept) = appended
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("the spool: {error}"))?;
        self.metrics.audit_spool_bytes.set(bytes.cast_signed());
        self.metrics.audit_spool_records.set(kept.cast_signed());
        Ok("spool")
    }

    /// Moves what the spool holds into the database, and lets records go there again. Does nothing when it is empty, or
    /// when the database still takes nothing; then it is to be called again.
    pub async fn ship(&self) {
        let Some(spool) = &self.spool else { return };
        if lock(spool).is_empty() {
            self.diverted.store(false, Ordering::SeqCst);
            return;
        }
        let mut shipped = 0;
        loop {
            let from = self.shipped.load(Ordering::SeqCst);
            let reading = Arc::clone(spool);
            let read = tokio::task::spawn_blocking(move || take(&reading, from)).await;
            let taken = match read {
                Ok(Ok(Some(taken))) => taken,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return tracing::error!(%error, "the spool can't be read"),
                Err(error) => return tracing::error!(%error, "the spool can't be read"),
            };
            let records: Vec<_> = taken.records.iter().map(Chained::as_ref).collect();
            if let Err(error) = self.append_to_database(&records, SHIPPING_DEADLINE).await {
                return tracing::warn!(error, "the database still takes no audit records");
            }
            // Only now, or each try would put them aside anew.
            if let Err(error) = put_aside(&lock(spool), &taken.spoiled) {
                return tracing::error!(%error, "lines of the spool can't be read, nor put aside");
            }
            shipped += records.len();
            self.shipped.store(taken.end, Ordering::SeqCst);
        }
        self.shipped.store(0, Ordering::SeqCst);
        self.diverted.store(false, Ordering::SeqCst);
        self.show(&lock(spool));
        tracing::info!(audit.records = shipped, "the spool is shipped");
    }

    fn show(&self, spool: &Spool) {
        let (bytes, records) = if spool.is_empty() { (0, 0) } else { (spool.bytes(), spool.records()) };
        self.metrics.audit_spool_bytes.set(bytes.cast_signed());
        self.metrics.audit_spool_records.set(records.cast_signed());
    }
}

/// The next records; `None` when there was none and the spool is empty now.
fn take(spool: &Mutex<Spool>, from: u64) -> std::io::Result<Option<Taken>> {
    let mut spool = lock(spool);
    let taken = spool.read(from, SHIPPED_AT_ONCE)?;
    let nothing = taken.records.is_empty() && taken.spoiled.is_empty();
    if nothing && spool.clear(taken.end)? {
        return Ok(None);
    }
    Ok(Some(taken))
}

fn put_aside(spool: &Spool, spoiled: &[String]) -> std::io::Result<()> {
    if !spoiled.is_empty() {
        let path = spool.put_aside(spoiled)?;
        tracing::error!(spool.lines = spoiled.len(), path = %path.display(), "lines of the spool can't be read; they are put aside for a person to look at");
    }
    Ok(())
}

fn lock(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    // Nothing that can panic runs between a write and the note of its length.
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}
