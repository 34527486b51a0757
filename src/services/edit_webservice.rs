//! Changing a webservice from what it is: read, edited, and written only if nobody else wrote meanwhile.

use chrono::Duration;

use super::authenticate::Authenticated;
use super::{Core, Refusal, RequestContext};
use crate::domain::ids::AuditRecordId;
use crate::domain::resource::WebserviceId;
use crate::domain::webservice::Webservice;
use crate::storage::Mutation;

/// How often an edit is made anew because somebody else's came first.
const ATTEMPTS: usize = 32;

/// A webservice before and after.
pub struct Edited {
    pub before: Option<Webservice>,
    pub after: Webservice,
    /// The change's record; `None` when there was nothing to change.
    pub operation: Option<AuditRecordId>,
}

impl Core {
    /// Writes what `edit` makes of the webservice as it stands in the database, whatever this process has in memory. The
    /// times are set here. `edit` is asked again when another change came between.
    pub async fn edit_webservice<E: From<Refusal>>(
        &self,
        caller: &Authenticated,
        id: &WebserviceId,
        edit: impl Fn(Option<&Webservice>) -> Result<Webservice, E>,
        context: &RequestContext,
    ) -> Result<Edited, E> {
        let key = id.key();
        let mut stale = Refusal::NotFound;
        for _ in 0..ATTEMPTS {
            let found = self.store.webservice_facts(&key).await.map_err(Refusal::from)?;
            let before = found.map(|facts| facts.webservice);
            let mut after = edit(before.as_ref())?;
            if let Some(before) = before.as_ref().filter(|before| after.same_settings(before)) {
                let after = before.clone();
                return Ok(Edited { before: Some(after.clone()), after, operation: None });
            }
            // One from before this rule may be changed in everything else.
            let same_texts =
                |old: &Webservice| old.description == after.description && old.tags == after.tags;
            if !before.as_ref().is_some_and(same_texts) {
                after.check_texts().map_err(Refusal::Invalid)?;
            }
            let changed_at = before.as_ref().map(|before| before.updated_at);
            let now = self.clock.now();
            // Two edits of one instant must not look like one.
            after.updated_at = changed_at.map_or(now, |last| now.max(last + Duration::microseconds(1)));
            after.created_at = before.as_ref().map_or(now, |before| before.created_at);
            let expected = Mutation::ExpectWebservice(id.clone(), changed_at);
            let put = Mutation::PutWebservice(after.clone());
            match self.change(caller, &[expected, put], context).await {
                Ok(operation) => return Ok(Edited { before, after, operation: Some(operation) }),
                Err(refusal @ Refusal::Stale(_)) => stale = refusal,
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(stale.into())
    }
}
