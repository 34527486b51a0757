//! Checks chains: reads every record, oldest first, and names what was altered or is missing.

use std::collections::HashMap;
use std::fmt;

use super::chain::{self, ChainKey};
use super::text;
use crate::domain::audit::{Chained, Event, Link, LinkCode, RecordText};
use crate::domain::ids::{AuditRecordId, ChainId};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The code does not fit the record, its place and the record before.
    Altered { record: AuditRecordId, chain: ChainId, number: i64 },
    /// Records behind it are there, and no removal names it.
    Missing { chain: ChainId, number: i64, next: AuditRecordId },
    /// A removal names records that are still there, so what lies before them can't be checked.
    Unfinished { chain: ChainId, number: i64, removed: i64 },
    /// A later record names this link, and it is not there or another one.
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
            Self::Unfinished { chain, number, removed } => write!(
                f,
                "link {number} of chain {chain} is there, though a record says that all up to link {removed} were removed: a removal was interrupted (run `wsts audit remove` again), or the row was slipped in"
            ),
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
    /// Chains of which the beginning was removed, as a record says.
    pub shortened: usize,
}

/// Takes records in the order of their links and checks each against the one before it in its chain.
pub struct Verifier {
    key: ChainKey,
    chains: HashMap<ChainId, Progress>,
    /// Links that records name as the last ones of what came before them or was removed.
    named: Vec<Named>,
    records: u64,
}

struct Named {
    event: Event,
    chain: ChainId,
    number: i64,
    code: LinkCode,
    by: AuditRecordId,
}

/// What is known of a chain.
struct Progress {
    /// Where it begins; anywhere but at 0 a removal must say so.
    first: Chained<RecordText>,
    last: Link,
}

impl Verifier {
    pub fn new(key: ChainKey) -> Self {
        Self { key, chains: HashMap::new(), named: Vec::new(), records: 0 }
    }

    /// # Errors
    /// The first fault that shows with this record. Nothing may be read after it.
    pub fn read(&mut self, found: Chained<RecordText>) -> Result<(), Fault> {
        self.records += 1;
        let Chained { record, link } = &found;
        match self.chains.get_mut(&link.chain) {
            Some(progress) => {
                let last = progress.last;
                if link.number > last.number + 1 {
                    let (chain, number) = (link.chain, last.number + 1);
                    return Err(Fault::Missing { chain, number, next: record.id });
                }
                // A second record at a place that is taken, or out of order, fits no place.
                let fits = link.number == last.number + 1 && link.at > last.at;
                if !fits || self.key.code(link, last.code, &record.json) != link.code {
                    return Err(altered(&found));
                }
                progress.last = *link;
            }
            None => {
                if link.number == 0 && self.key.code(link, LinkCode::default(), &record.json) != link.code {
                    return Err(altered(&found));
                }
                let progress = Progress { first: found.clone(), last: *link };
                self.chains.insert(link.chain, progress);
            }
        }
        self.note_named(&found)
    }

    fn note_named(&mut self, found: &Chained<RecordText>) -> Result<(), Fault> {
        // The text is as it was written, unless its chain begins with it; then it may be anything.
        let record = text::read(&found.record).map_err(|_| altered(found))?;
        if record.id != found.record.id {
            return Err(altered(found));
        }
        let names = matches!(record.event, Event::ChainStart | Event::AuditRemoval);
        let named = record.detail.as_deref().filter(|_| names).and_then(chain::named);
        self.named.extend(named.map(|(chain, number, code)| Named {
            event: record.event,
            chain,
            number,
            code,
            by: record.id,
        }));
        Ok(())
    }

    /// Call after the last record.
    ///
    /// # Errors
    /// What only shows now: a beginning that nobody removed lawfully is missing, or an end was cut off.
    pub fn finish(self) -> Result<Read, Fault> {
        let removed = self.removed();
        let mut shortened = 0;
        for (id, progress) in &self.chains {
            let Chained { record, link } = &progress.first;
            if link.number == 0 {
                continue;
            }
            shortened += 1;
            match removed.get(id) {
                // The last one that was removed stands right before it.
                Some((number, code)) if *number == link.number - 1 => {
                    if self.key.code(link, *code, &record.json) != link.code {
                        return Err(altered(&progress.first));
                    }
                }
                // Its own code can't be checked any more, so it may say anything.
                Some((removed, _)) if *removed >= link.number => {
                    return Err(Fault::Unfinished { chain: *id, number: link.number, removed: *removed });
                }
                _ => {
                    let number = link.number - 1;
                    return Err(Fault::Missing { chain: *id, number, next: record.id });
                }
            }
        }
        for named in &self.named {
            let reached = self.chains.get(&named.chain).map_or(-1, |progress| progress.last.number);
            let gone = removed.get(&named.chain).is_some_and(|(number, _)| *number >= named.number);
            if reached < named.number && !gone {
                return Err(Fault::CutOff { chain: named.chain, number: named.number, named_by: named.by });
            }
        }
        Ok(Read { records: self.records, chains: self.chains.len(), shortened })
    }

    /// Up to where each chain was removed.
    fn removed(&self) -> HashMap<ChainId, (i64, LinkCode)> {
        let mut removed = HashMap::<_, (i64, LinkCode)>::new();
        for named in self.named.iter().filter(|named| named.event == Event::AuditRemoval) {
            let last = removed.entry(named.chain).or_insert((named.number, named.code));
            if named.number > last.0 {
                *last = (named.number, named.code);
            }
        }
        removed
    }
}

const fn altered(found: &Chained<RecordText>) -> Fault {
    Fault::Altered { record: found.record.id, chain: found.link.chain, number: found.link.number }
}
