//! Takes old records out of the audit without breaking a chain: before they go, a record for each chain says up to which
//! link it goes, and with which code.

use chrono::{DateTime, Utc};

use super::Core;
use crate::audit::chain;
use crate::domain::audit::{Actor, AuditRecord, Event, Link, Outcome};
use crate::domain::ids::AuditRecordId;
use crate::entropy;
use crate::storage::StorageError;

impl Core {
    /// Removes every record that was linked before a time; returns how many. `progress` hears how many so far.
    ///
    /// When it ends halfway, the records that are left can be read and checked as before, and the next call goes on.
    ///
    /// # Errors
    /// The database can't be read or written; a role that may not delete from the audit is told so.
    pub async fn remove_audit_before(
        &self,
        before: DateTime<Utc>,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, StorageError> {
        let ends = self.store.audit_ends(before).await?;
        let records = ends.iter().map(|end| self.removal_record(end)).collect();
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

    fn removal_record(&self, end: &Link) -> AuditRecord {
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
            detail: Some(format!("removed up to {}", chain::name(end))),
            request: self.request_facts(&context),
            latency_micros: 0,
        }
    }
}
