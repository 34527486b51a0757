//! Takes old records out of the audit without breaking a chain: before they go, a record for each chain says up to which
//! link it goes, and with which code.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};

use super::Core;
use crate::audit::chain;
use crate::audit::reading::{self, Next};
use crate::domain::audit::{Actor, AuditFilter, AuditRecord, Event, Link, Order, Outcome};
use crate::domain::ids::AuditRecordId;
use crate::entropy;
use crate::storage::StorageError;

/// After that no record of an earlier link is on its way any more.
const SETTLED: Duration = Duration::minutes(1);

impl Core {
    /// Removes every record that was linked before a time; returns how many. `progress` hears how many so far.
    ///
    /// When it ends halfway, `wsts audit verify` says so until another call has ended it.
    ///
    /// # Errors
    /// The time is not at least [`SETTLED`] ago; the database can't be read or written, or its role may not delete from
    /// the audit.
    pub async fn remove_audit_before(
        &self,
        before: DateTime<Utc>,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, StorageError> {
        if before > self.clock.now() - SETTLED {
            return Err(StorageError::Conflict(format!(
                "only what was recorded at least {} seconds ago can be removed",
                SETTLED.num_seconds()
            )));
        }
        // Whoever may not delete must not leave a record of it.
        self.store.remove_audit(DateTime::UNIX_EPOCH).await?;
        let records = self.removal_records(before).await?;
        self.recorder.commit(&[], records).await?;
        let mut removed = 0;
        loop {
            match self.store.remove_audit(before).await? {
                0 => return Ok(removed),
                more => removed += more,
            }
            progress(removed);
        }
    }

    /// For each chain that loses records the last of them. And what earlier removals say, where their records are about
    /// to go: a chain that rested may go on, and a later one may name its end.
    async fn removal_records(&self, before: DateTime<Utc>) -> Result<Vec<AuditRecord>, StorageError> {
        let ends = self.store.audit_ends(before).await?;
        let mut names: HashMap<_, _> = ends.iter().map(|end| (end.chain, chain::name(end))).collect();
        let mut earlier = HashMap::new();
        let event = Some(Event::AuditRemoval);
        let going = AuditFilter { event, until: Some(before), ..AuditFilter::default() };
        reading::find(self.store.as_ref(), Order::OldestFirst, &going, |found| {
            if let Some((chain, number, code)) = found.record.detail.as_deref().and_then(chain::named) {
                // The later one reaches as far or farther.
                earlier.insert(chain, chain::name(&Link { chain, number, code, ..found.link }));
            }
            Ok::<_, StorageError>(Next::More)
        })
        .await?;
        for (chain, name) in earlier {
            names.entry(chain).or_insert(name);
        }
        Ok(names.values().map(|name| self.removal_record(name)).collect())
    }

    fn removal_record(&self, end: &str) -> AuditRecord {
        let (context, now) = (self.local_context(), self.clock.now());
        AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event: Event::AuditRemoval,
            outcome: Outcome::Done,
            reason: None,
            actor: Actor { method: Some(context.endpoint.as_str().into()), ..Actor::default() },
            resource: None,
            token: None,
            detail: Some(format!("removed up to {end}")),
            request: self.request_facts(&context),
            latency_micros: 0,
        }
    }
}
