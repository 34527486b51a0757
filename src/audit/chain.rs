//! Links records to one another, so that a row that was altered or taken away is found.
//!
//! A code is HMAC-SHA-256 under a key derived from the pepper: whoever can write to the database alone can't make one.
//! A chain lasts as long as its writer goes on without a doubt about what is stored; a new one begins with a record
//! that names the newest link in the database, so that this end can't be cut off unseen either.

use std::sync::Arc;

use chrono::{DateTime, Duration, DurationRound as _, Utc};
use ring::hmac;

use super::text;
use crate::clock::Clock;
use crate::domain::audit::{
    Actor, AuditRecord, Chained, Event, Link, LinkCode, Outcome, RecordText, RequestFacts,
};
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

    /// The code of a text at this link behind `previous`, which of the first one is all zeros.
    pub fn code(&self, link: &Link, previous: LinkCode, json: &str) -> LinkCode {
        let mut code = hmac::Context::with_key(&self.0);
        code.update(link.chain.uuid().as_bytes());
        code.update(&link.number.to_be_bytes());
        code.update(&link.at.timestamp_micros().to_be_bytes());
        code.update(&previous.0);
        code.update(json.as_bytes());
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

/// Names a link in a detail.
pub fn name(link: &Link) -> String {
    format!("link {} of chain {} with code {}", link.number, link.chain, link.code)
}

/// The link that the detail of a beginning or of a removal names.
pub fn named(detail: &str) -> Option<(ChainId, i64, LinkCode)> {
    let (_, link) = detail.split_once("link ")?;
    let (number, link) = link.split_once(" of chain ")?;
    let (chain, code) = link.split_once(" with code ")?;
    Some((ChainId::parse(chain).ok()?, number.parse().ok()?, code.parse().ok()?))
}

/// As databases keep it.
fn to_micros(now: DateTime<Utc>) -> DateTime<Utc> {
    now.duration_trunc(MICROSECOND).unwrap_or(now)
}

const MICROSECOND: Duration = Duration::microseconds(1);

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
    pub fn begin(&self) -> Option<RecordText> {
        if self.head.is_some() {
            return None;
        }
        let detail = self.stored.map_or_else(|| FIRST.to_owned(), |link| format!("after {}", name(&link)));
        let now = self.now();
        let random = entropy::bytes(self.maker.entropy.as_ref());
        Some(text::write(&AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &random)),
            occurred_at: to_micros(now),
            event: Event::ChainStart,
            outcome: Outcome::Done,
            reason: None,
            actor: Actor::default(),
            resource: None,
            token: None,
            detail: Some(detail),
            request: RequestFacts { region: self.maker.region.shared(), ..RequestFacts::default() },
            latency_micros: 0,
        }))
    }

    /// The record's link, next in the chain. `now` is the time of the batch.
    pub fn link(&mut self, now: DateTime<Utc>, record: &RecordText) -> Link {
        let (next, previous) = match self.head {
            Some(head) => {
                // Later than the one before, also in a batch and when the clock was put back.
                let at = to_micros(now).max(head.at + MICROSECOND);
                (Link { number: head.number + 1, at, ..head }, head.code)
            }
            None => {
                let chain = ChainId::from_uuid(entropy::random_uuid(self.maker.entropy.as_ref()));
                (
                    Link { chain, number: 0, at: to_micros(now), code: LinkCode::default() },
                    LinkCode::default(),
                )
            }
        };
        let link = Link { code: self.maker.key.code(&next, previous, &record.json), ..next };
        self.head = Some(link);
        link
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.maker.clock.now()
    }

    /// Links a list of records, a beginning before them when one is due.
    pub fn extend(&mut self, records: Vec<RecordText>) -> Vec<Chained<RecordText>> {
        if records.is_empty() {
            return Vec::new();
        }
        let now = self.now();
        let all = self.begin().into_iter().chain(records);
        all.map(|record| Chained { link: self.link(now, &record), record }).collect()
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
