//! Which records of the audit are looked for, and in which order.

use chrono::{DateTime, Utc};

use super::{AuditRecord, Event, Outcome};
use crate::domain::ids::ChainId;
use crate::domain::resource::WebserviceId;

/// Which way the audit is read, by the time of the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// Where a reading of the audit begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditCursor {
    /// With the first record that was linked at this time or later; backwards, with the last one before it.
    At(DateTime<Utc>),
    /// Behind a record; the place is the database's own measure of time.
    Behind { place: i64, chain: ChainId },
}

impl AuditCursor {
    /// The beginning of the whole audit, or its end.
    pub const fn start(order: Order) -> Self {
        match order {
            Order::OldestFirst => Self::At(DateTime::UNIX_EPOCH),
            Order::NewestFirst => Self::At(DateTime::<Utc>::MAX_UTC),
        }
    }
}

/// Which records to find; every field narrows.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// From then on.
    pub since: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
    /// Object id or client id.
    pub principal: Option<uuid::Uuid>,
    /// ARM id of a webservice (either view) or a part of one.
    pub webservice: Option<String>,
    pub outcome: Option<Outcome>,
    pub event: Option<Event>,
}

impl AuditFilter {
    pub fn matches(&self, record: &AuditRecord) -> bool {
        self.since.is_none_or(|since| record.occurred_at >= since)
            && self.until.is_none_or(|until| record.occurred_at < until)
            && self.principal.is_none_or(|id| record.actor.is(id))
            && self.outcome.is_none_or(|outcome| record.outcome == outcome)
            && self.event.is_none_or(|event| record.event == event)
            && self.webservice.as_deref().is_none_or(|wanted| is_about(record, wanted))
    }
}

/// A whole id is compared in its canonical view, so `…/churn` is not `…/churn-2`; anything else is looked for as a part.
fn is_about(record: &AuditRecord, webservice: &str) -> bool {
    let resource = record.resource.as_deref().unwrap_or_default().to_ascii_lowercase();
    match WebserviceId::parse(webservice) {
        Ok(id) => resource == id.key(),
        Err(_) => resource.contains(&webservice.to_ascii_lowercase()),
    }
}
