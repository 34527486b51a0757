//! Record before release: the group commit.
//!
//! Every request hands its record over and waits. Whoever finds no commit running commits all that has arrived, again
//! and again until nothing waits: there is no waiting window, so a lone request pays one commit and a crowd shares one.
//! The commits run on the worker of the request that began them; a task of its own elsewhere would cost every commit
//! two switches of thread.

pub mod chain;
pub mod reading;
mod sink;
pub mod spool;
pub mod text;
pub mod verify;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::oneshot;

use self::chain::{Chain, ChainMaker};
use self::sink::Sink;
use self::spool::Spool;
use crate::domain::audit::{AuditRecord, Chained, Link, RecordText};
use crate::metrics::Metrics;
use crate::storage::{Change, Mutation, StorageError, Store};

/// Records that may wait for a commit, of whatever is recorded: what bounds the memory. Token requests are turned away
/// long before (`services::admit`).
pub const QUEUE: usize = 8192;
/// Records in one commit.
const LARGEST_BATCH: usize = 512;

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
    sink: Sink,
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
    /// Of what the group commit writes. Locked by the one committer only.
    chain: Mutex<Chain>,
    /// Of changes, which have transactions of their own: a long one must not hold up the tokens.
    changes: tokio::sync::Mutex<Chain>,
}

/// A record and, once a committer had it, its link. Handed over again it keeps the link, so that whichever commit
/// reached the database, the chain is the same.
struct Pending {
    record: RecordText,
    link: OnceLock<Link>,
}

impl Pending {
    fn new(record: RecordText) -> Arc<Self> {
        Arc::new(Self { record, link: OnceLock::new() })
    }
}

#[derive(Default)]
struct Queue {
    /// With whom to tell, unless that one handed its record over again.
    waiting: Vec<(Arc<Pending>, Option<oneshot::Sender<Outcome>>)>,
    /// Someone commits until nothing waits.
    committing: bool,
}

impl Recorder {
    /// `newest`: a link that is in the database, for new chains to refer to.
    pub fn new(
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        maker: ChainMaker,
        newest: Option<Link>,
        spool: Option<Spool>,
    ) -> Self {
        Self(Arc::new(Shared {
            sink: Sink::new(Arc::clone(&store), Arc::clone(&metrics), spool),
            store,
            metrics,
            queue: Mutex::default(),
            chain: Mutex::new(Chain::new(maker.clone(), newest)),
            changes: tokio::sync::Mutex::new(Chain::new(maker, newest)),
        }))
    }

    /// Returns when the record is durable. A caller that goes away meanwhile leaves its record behind, to be committed
    /// like the others.
    pub async fn record(&self, record: AuditRecord) -> Outcome {
        let pending = Pending::new(text::write(&record.storable()));
        loop {
            // Only a committer whose worker stopped leaves no outcome, so this goes round once for each worker that
            // stops. Whether its commit reached the database is unknown; committing a record twice leaves one row.
            if let Ok(outcome) = self.hand_over(Arc::clone(&pending))?.await {
                return outcome;
            }
        }
    }

    /// Commits changes with the records about them, in one transaction.
    pub async fn commit(
        &self,
        mutations: &[Mutation],
        records: Vec<AuditRecord>,
    ) -> Result<Vec<Change>, StorageError> {
        let mut chain = self.0.changes.lock().await;
        let before = chain.head();
        let texts = records.into_iter().map(|record| text::write(&record.storable()));
        let chained = chain.extend(texts.collect());
        let after = chain.head();
        // Until the outcome is known there is a doubt, which stays if this caller goes away.
        chain.end();
        let given: Vec<_> = chained.iter().map(Chained::as_ref).collect();
        let outcome = self.0.store.commit(mutations, &given).await;
        match &outcome {
            Ok(_) => {
                chain.go_back(after);
                chain.stored();
            }
            Err(StorageError::Conflict(_) | StorageError::Stale(_)) => chain.go_back(before),
            Err(_) => {}
        }
        outcome
    }

    /// Moves what the spool holds into the database, when it takes records again. To be called now and then.
    pub async fn ship(&self) {
        self.0.sink.ship().await;
    }

    /// Whether records go to the spool now.
    pub fn is_diverted(&self) -> bool {
        self.0.sink.is_diverted()
    }

    fn hand_over(&self, pending: Arc<Pending>) -> Result<oneshot::Receiver<Outcome>, NotRecorded> {
        let (sender, outcome) = oneshot::channel();
        let mut queue = self.0.queue();
        if queue.waiting.len() >= QUEUE {
            self.0.metrics.audit_records_dropped.inc();
            return Err(NotRecorded);
        }
        queue.waiting.push((pending, Some(sender)));
        if !std::mem::replace(&mut queue.committing, true) {
            drop(queue);
            // A task, not this future: a caller that goes away must not take the others' commit with it.
            tokio::spawn(Committer::new(Arc::clone(&self.0)).commit_all());
        }
        Ok(outcome)
    }
}

impl Shared {
    async fn commit(&self, batch: &[Arc<Pending>]) -> Outcome {
        let linked = batch
            .iter()
            .filter_map(|pending| Some(Chained { record: &pending.record, link: *pending.link.get()? }));
        let records: Vec<_> = linked.collect();
        let outcome = self.sink.store(&records).await;
        match outcome {
            Ok(()) => self.chain().stored(),
            Err(NotRecorded) => self.chain().end(),
        }
        outcome
    }

    /// Gives each record of the batch its link, with what comes before them when a chain begins here.
    fn link(&self, batch: &mut Vec<Arc<Pending>>) {
        let mut chain = self.chain();
        if let Some(begin) = chain.begin() {
            batch.insert(0, Pending::new(begin));
        }
        let now = chain.now();
        for pending in batch {
            pending.link.get_or_init(|| chain.link(now, &pending.record));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        // A panic ends the chain (`Committer::drop`), so what it left half-done goes no further.
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to commit, held by one task at a time.
struct Committer {
    shared: Arc<Shared>,
    /// The batch under way, and who waits for it.
    batch: Vec<Arc<Pending>>,
    waiters: Vec<oneshot::Sender<Outcome>>,
    /// Given up in order, with nothing waiting.
    done: bool,
}

impl Committer {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, batch: Vec::new(), waiters: Vec::new(), done: false }
    }

    async fn commit_all(mut self) {
        loop {
            // Once around: requests that are ready on this worker join the batch. With none ready this costs nothing.
            tokio::task::yield_now().await;
            if !self.take() {
                return;
            }
            self.shared.link(&mut self.batch);
            let outcome = self.shared.commit(&self.batch).await;
            self.batch.clear();
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
        for (pending, waiter) in queue.waiting.drain(..batch) {
            self.batch.push(pending);
            self.waiters.extend(waiter);
        }
        batch > 0
    }
}

impl Drop for Committer {
    /// Its worker stopped: lets go of whoever waits, so that each hands its record over anew and the first of them
    /// commits. The batch under way comes before all of them, for its links were given out. After a panic it is refused
    /// instead: what panicked once would panic for ever.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let panicked = std::thread::panicking();
        let under_way = if panicked { Vec::new() } else { std::mem::take(&mut self.batch) };
        let mut queue = self.shared.queue();
        queue.committing = false;
        queue.waiting.clear();
        queue.waiting.extend(under_way.into_iter().map(|pending| (pending, None)));
        drop(queue);
        if panicked {
            self.shared.chain().end();
            self.shared.metrics.audit_records_dropped.inc_by(self.waiters.len() as u64);
            for waiter in self.waiters.drain(..) {
                let _ = waiter.send(Err(NotRecorded));
            }
        }
    }
}
