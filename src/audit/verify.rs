//! Checks chains: reads every record, oldest first, and names what was altered or is missing.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::chain::{ChainKey, named_end};
use crate::domain::audit::{AuditRecord, Chained, LinkCode};
use crate::domain::ids::{AuditRecordId, ChainId};

/// Records that may wait for one before them. Commits of concurrent requests put neighbours out of order by some
/// thousands at most; beyond this the missing one is missing.
const WAITING: usize = 100_000;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The code does not fit the record, its place and the record before.
    Altered { record: AuditRecordId, chain: ChainId, number: i64 },
    /// Records behind it are there.
    Missing { chain: ChainId, number: i64, next: AuditRecordId },
    /// A later chain names this end, and it is not there.
    CutOff { chain: ChainId, number: i64, named_by: AuditRecordId },
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { record, chain, number } => write!(
                f,
                "record {record} (link {number} of chain {chain}) was altered, or the record before it was, or its link is no one's"
            ),
            Self::Missing { chain, number, next } => {
                write!(f, "link {number} of chain {chain} is missing; record {next} comes behind it")
            }
            Self::CutOff { chain, number, named_by } => write!(
                f,
                "link {number} of chain {chain} is missing or was altered; record {named_by} says that it was there"
            ),
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    pub records: u64,
    pub chains: usize,
}

/// Takes records in about the order of their times and checks each against the one before it in its chain.
pub struct Verifier {
    key: ChainKey,
    chains: HashMap<ChainId, Progress>,
    /// Ends that beginnings of chains name, with who names them.
    named: Vec<(ChainId, i64, AuditRecordId)>,
    records: u64,
}

#[derive(Default)]
struct Progress {
    next: i64,
    code: LinkCode,
    waiting: BTreeMap<i64, Chained<AuditRecord>>,
}

impl Verifier {
    pub fn new(key: ChainKey) -> Self {
        Self { key, chains: HashMap::new(), named: Vec::new(), records: 0 }
    }

    /// # Errors
    /// The first fault that shows with this record. Nothing may be read after it.
    pub fn read(&mut self, found: Chained<AuditRecord>) -> Result<(), Fault> {
        self.records += 1;
        let progress = self.chains.entry(found.link.chain).or_default();
        if found.link.number < progress.next || progress.waiting.contains_key(&found.link.number) {
            // A second record at a place that is taken.
            return Err(altered(&found));
        }
        progress.waiting.insert(found.link.number, found);
        while let Some(next) = progress.waiting.remove(&progress.next) {
            let code = self.key.code(next.link.chain, next.link.number, progress.code, &next.record);
            if code != next.link.code {
                return Err(altered(&next));
            }
            if let Some((chain, number)) = named_end(&next.record) {
                self.named.push((chain, number, next.record.id));
            }
            progress.next += 1;
            progress.code = code;
        }
        if progress.waiting.len() > WAITING { missing(progress) } else { Ok(()) }
    }

    /// Call after the last record.
    ///
    /// # Errors
    /// What only shows now: a gap, or an end that was cut off.
    pub fn finish(self) -> Result<Read, Fault> {
        self.chains.values().try_for_each(missing)?;
        for (chain, number, named_by) in self.named {
            if self.chains.get(&chain).is_none_or(|progress| progress.next <= number) {
                return Err(Fault::CutOff { chain, number, named_by });
            }
        }
        Ok(Read { records: self.records, chains: self.chains.len() })
    }
}

const fn altered(found: &Chained<AuditRecord>) -> Fault {
    Fault::Altered { record: found.record.id, chain: found.link.chain, number: found.link.number }
}

/// A gap, when records wait behind it.
fn missing(progress: &Progress) -> Result<(), Fault> {
    match progress.waiting.first_key_value() {
        None => Ok(()),
        Some((_, next)) => {
            Err(Fault::Missing { chain: next.link.chain, number: progress.next, next: next.record.id })
        }
    }
}
