//! Committing a difference: whole when it is of ordinary size, else in batches, each whole with its audit records.
//!
//! One transaction for everything would keep a running service from writing for as long as it takes, and all of it in
//! memory. What a batch left is a state that the same file goes on from.

use std::iter::Peekable;
use std::time::Instant;

use chrono::Duration;

use super::{Difference, NewSecret, ShownSecret};
use crate::domain::audit::Actor;
use crate::domain::ids::{CredentialId, ObjectId};
use crate::domain::principal::SecretSlot;
use crate::entropy;
use crate::services::{Core, Refusal, RequestContext};
use crate::storage::Mutation;

/// Changes in one transaction, about 20 µs each on SQLite: a service on the same database waits some 40 ms for it.
pub const CHANGES_AT_ONCE: usize = 2048;

/// An application that came to its end early. What is written is whole, and the same file goes on from there.
#[derive(Debug, thiserror::Error)]
#[error(
    "{written} of {all} changes are applied, and {}: {why}; put that right and apply the file again, which goes on \
     from there", none_of_the_others(.why)
)]
pub struct Unfinished {
    pub why: Refusal,
    /// Changes that are written, of how many.
    pub written: usize,
    pub all: usize,
}

/// A database that is lost while it commits does not say whether it did.
const fn none_of_the_others(why: &Refusal) -> &'static str {
    match why {
        Refusal::Unavailable(_) => "none of the others as far as is known",
        _ => "none of the others",
    }
}

/// What a batch leaves to the caller.
pub struct Written {
    /// Changes that are written up to here, of how many.
    pub written: usize,
    pub all: usize,
    /// Of this batch; kept nowhere.
    pub secrets: Vec<ShownSecret>,
}

impl Core {
    /// Commits a difference, and calls `written` after each batch with the secrets that were made for it. An error of
    /// its own is the end, too.
    pub async fn apply<E: From<Unfinished>>(
        &self,
        difference: Difference,
        context: &RequestContext,
        mut written: impl FnMut(Written) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = difference.changes();
        let mut done = 0;
        let ids = entropy::ascending_uuids(self.entropy.as_ref(), difference.secrets.len());
        let mut ids = ids.into_iter().map(CredentialId::from_uuid);
        for batch in Batches::of(difference) {
            let changes = batch.mutations.len() + batch.secrets.len();
            let unfinished = |why| Unfinished { why, written: done, all };
            let secrets = self.write_batch(batch, &mut ids, context).await.map_err(unfinished)?;
            done += changes;
            written(Written { written: done, all, secrets })?;
        }
        Ok(())
    }

    async fn write_batch(
        &self,
        Batch { mut mutations, secrets }: Batch,
        ids: &mut impl Iterator<Item = CredentialId>,
        context: &RequestContext,
    ) -> Result<Vec<ShownSecret>, Refusal> {
        let mut shown = Vec::with_capacity(secrets.len());
        for ((client_id, object_id, days), id) in secrets.into_iter().zip(ids) {
            let expires_at = self.clock.now() + Duration::days(i64::from(days));
            let name = Some("registry file".to_owned());
            let mut made = self.make_secret(object_id, SecretSlot::First, name, Some(expires_at))?;
            made.secret.id = id;
            mutations.push(Mutation::AddSecret(made.secret));
            shown.push(ShownSecret { client_id, plain: made.plain, expires_at });
        }
        let actor = Actor { method: Some("command_line".into()), ..Actor::default() };
        let context = RequestContext { started: Instant::now(), ..context.clone() };
        self.change_as(&actor, &mutations, &context).await?;
        Ok(shown)
    }
}

struct Batch {
    mutations: Vec<Mutation>,
    secrets: Vec<NewSecret>,
}

/// A difference in its order, secrets last.
struct Batches {
    mutations: Peekable<std::vec::IntoIter<Mutation>>,
    secrets: std::vec::IntoIter<NewSecret>,
}

impl Batches {
    fn of(difference: Difference) -> Self {
        Self {
            mutations: difference.mutations.into_iter().peekable(),
            secrets: difference.secrets.into_iter(),
        }
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut mutations: Vec<Mutation> = Vec::new();
        while let Some(next) = self.mutations.next_if(|next| {
            mutations.len() < CHANGES_AT_ONCE || mutations.last().is_some_and(|last| go_together(last, next))
        }) {
            mutations.push(next);
        }
        let room = CHANGES_AT_ONCE.saturating_sub(mutations.len());
        let secrets: Vec<_> = self.secrets.by_ref().take(room).collect();
        (!mutations.is_empty() || !secrets.is_empty()).then_some(Batch { mutations, secrets })
    }
}

/// Changes of one principal's credentials are not torn apart: one that is replaced is removed first. They are a few
/// dozen at most.
fn go_together(one: &Mutation, next: &Mutation) -> bool {
    credentials_of(one).is_some_and(|holder| credentials_of(next) == Some(holder))
}

fn credentials_of(mutation: &Mutation) -> Option<ObjectId> {
    match mutation {
        Mutation::AddKeyCredential(key) => Some(key.object_id),
        Mutation::PutFederatedCredential(put) => Some(put.object_id),
        Mutation::RemoveKeyCredential(object_id, _) | Mutation::RemoveFederatedCredential(object_id, _) => {
            Some(*object_id)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ClientId, RoleAssignmentId};
    use uuid::Uuid;

    fn secret(n: u128) -> NewSecret {
        (ClientId::from_uuid(Uuid::from_u128(n)), ObjectId::from_uuid(Uuid::from_u128(n)), 1)
    }

    fn removal(principal: u128, n: u128) -> Mutation {
        let holder = ObjectId::from_uuid(Uuid::from_u128(principal));
        Mutation::RemoveFederatedCredential(holder, CredentialId::from_uuid(Uuid::from_u128(n)))
    }

    fn sizes(mutations: Vec<Mutation>, secrets: usize) -> Vec<(usize, usize)> {
        let secrets = (0..secrets as u128).map(secret).collect();
        let difference = Difference { mutations, secrets, ..Difference::default() };
        Batches::of(difference).map(|batch| (batch.mutations.len(), batch.secrets.len())).collect()
    }

    #[test]
    fn batches_hold_everything_in_order_and_are_bounded() {
        let number = |n: u128| Mutation::DeleteAssignment(RoleAssignmentId::from_uuid(Uuid::from_u128(n)));
        let numbers = |count: usize| (0..count as u128).map(number).collect::<Vec<_>>();
        assert_eq!(sizes(Vec::new(), 0), []);
        assert_eq!(sizes(numbers(3), 2), [(3, 2)]);
        assert_eq!(sizes(numbers(CHANGES_AT_ONCE), 0), [(CHANGES_AT_ONCE, 0)]);
        let rest = CHANGES_AT_ONCE - 1;
        assert_eq!(
            sizes(numbers(CHANGES_AT_ONCE + 1), CHANGES_AT_ONCE),
            [(CHANGES_AT_ONCE, 0), (1, rest), (0, 1)]
        );
        let difference = Difference { mutations: numbers(5000), ..Difference::default() };
        let given: Vec<String> =
            Batches::of(difference).flat_map(|batch| batch.mutations).map(|one| format!("{one:?}")).collect();
        assert_eq!(given, numbers(5000).iter().map(|one| format!("{one:?}")).collect::<Vec<_>>());
    }

    #[test]
    fn the_credentials_of_a_principal_are_not_torn_apart() {
        let mut mutations: Vec<_> = (0..CHANGES_AT_ONCE as u128 - 1).map(|n| removal(n + 10, n)).collect();
        mutations.extend([removal(1, 1), removal(1, 2), removal(1, 3), removal(2, 4)]);
        assert_eq!(sizes(mutations, 0), [(CHANGES_AT_ONCE + 2, 0), (1, 0)]);
    }
}
