//! Links records to one another, so that a row that was altered or taken away is found.
//!
//! A code is HMAC-SHA-256 under a key derived from the pepper: whoever can write to the database alone can't make one.
//! A chain lasts as long as its writer goes on without a doubt about what is stored; a new one begins with a record
//! that names the end of the one before, so that the end of a chain can't be cut off unseen either.

use std::sync::Arc;

use chrono::DurationRound as _;
use ring::hmac;

use crate::clock::Clock;
use crate::domain::audit::{Actor, AuditRecord, Chained, Event, Link, LinkCode, Outcome, RequestFacts};
use crate::domain::ids::{AuditRecordId, ChainId};
use crate::domain::region::Region;
use crate::entropy::{self, Entropy};

/// Makes and checks the codes of links.
#[derive(Clone)]
pub struct ChainKey(hmac::Key);

impl ChainKey {
    /// From the pepper's bytes; the name keeps it apart from what else is derived from them.
    pub fn derive(pepper: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pepper), b"wsts audit chain 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The code of a record at its place behind `previous`, which of the first one is all zeros.
    pub fn code(&self, chain: ChainId, number: i64, previous: LinkCode, record: &AuditRecord) -> LinkCode {
        let mut code = hmac::Context::with_key(&self.0);
        code.update(chain.uuid().as_bytes());
        code.update(&number.to_be_bytes());
        code.update(&previous.0);
        // Longer than most records, so that it need not grow. Serialising our own plain fields can't fail; were it to, the
        // code would match nothing.
        let mut text = Vec::with_capacity(1024);
        let _ = serde_json::to_writer(&mut text, record);
        code.update(&text);
        // SHA-256 has 32 bytes.
        LinkCode(<[u8; 32]>::try_from(code.sign().as_ref()).unwrap_or_default())
    }
}

/// What a chain needs from outside to begin.
#[derive(Clone)]
pub struct ChainMaker {
    pub key: ChainKey,
    pub region: Region,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

/// Detail of the first record of a database's first chain.
const FIRST: &str = "the first chain of this database";

/// Detail of a beginning: the end of the chain before it.
fn after(link: Link) -> String {
    format!("after link {} of chain {}", link.number, link.chain)
}

/// The end that a beginning names.
pub fn named_end(record: &AuditRecord) -> Option<(ChainId, i64)> {
    let detail = record.detail.as_deref().filter(|_| record.event == Event::ChainStart)?;
    let (number, chain) = detail.strip_prefix("after link ")?.split_once(" of chain ")?;
    Some((ChainId::parse(chain).ok()?, number.parse().ok()?))
}

/// One writer's chain.
pub struct Chain {
    maker: ChainMaker,
    /// The newest link given out; `None` before the first and after a doubt.
    head: Option<Link>,
    /// The newest link that is known to be stored, of this chain or of one before.
    stored: Option<Link>,
}

impl Chain {
    /// `stored`: the newest link in the database, to which the first record refers.
    pub const fn new(maker: ChainMaker, stored: Option<Link>) -> Self {
        Self { maker, head: None, stored }
    }

    /// The record that must come first, when a chain is to begin.
    pub fn begin(&self) -> Option<AuditRecord> {
        if self.head.is_some() {
            return None;
        }
        let now = self.maker.clock.now();
        Some(AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(
                now,
                &entropy::bytes(self.maker.entropy.as_ref()),
            )),
            occurred_at: now.duration_trunc(chrono::Duration::microseconds(1)).unwrap_or(now),
            event: Event::ChainStart,
            outcome: Outcome::Done,
            reason: None,
            actor: Actor::default(),
            resource: None,
            token: None,
            detail: Some(self.stored.map_or_else(|| FIRST.to_owned(), after)),
            request: RequestFacts { region: self.maker.region.shared(), ..RequestFacts::default() },
            latency_micros: 0,
        })
    }

    /// The record's link, next in the chain.
    pub fn link(&mut self, record: &AuditRecord) -> Link {
        let (chain, number, previous) = match self.head {
            Some(head) => (head.chain, head.number + 1, head.code),
            None => {
                let id = entropy::random_uuid(self.maker.entropy.as_ref());
                (ChainId::from_uuid(id), 0, LinkCode::default())
            }
        };
        let link = Link { chain, number, code: self.maker.key.code(chain, number, previous, record) };
        self.head = Some(link);
        link
    }

    /// Links a list of records, a beginning before them when one is due.
    pub fn extend(&mut self, records: Vec<AuditRecord>) -> Vec<Chained<AuditRecord>> {
        if records.is_empty() {
            return Vec::new();
        }
        let first = self.begin();
        let all = first.into_iter().chain(records);
        all.map(|record| Chained { link: self.link(&record), record }).collect()
    }

    pub const fn head(&self) -> Option<Link> {
        self.head
    }

    /// Everything given out is stored.
    pub const fn stored(&mut self) {
        self.stored = self.head;
    }

    /// Goes on from here: what was given out since is certainly not stored.
    pub const fn go_back(&mut self, head: Option<Link>) {
        self.head = head;
    }

    /// Nobody knows whether what was given out is stored: what follows is another chain.
    pub const fn end(&mut self) {
        self.head = None;
    }
}
