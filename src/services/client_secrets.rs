//! Making and removing client secrets. Two may be live, so that one can be replaced without an outage.

use chrono::{DateTime, Duration, Utc};

use super::authenticate::Authenticated;
use super::credentials::demand_allowed;
use super::{Core, Refusal, RequestContext};
use crate::domain::client_secret::PlainSecret;
use crate::domain::credential_method::CredentialMethod;
use crate::domain::ids::{CredentialId, ObjectId};
use crate::domain::principal::{ClientSecret, SecretSlot};
use crate::entropy;
use crate::storage::{Mutation, PrincipalFacts};

/// How long a secret lives when nobody says.
pub const DEFAULT_SECRET_DAYS: i64 = 180;
/// The longest life of a secret (Microsoft Graph's own limit).
pub const MAX_SECRET_DAYS: i64 = 730;

/// A new secret with the only copy of its text.
pub struct MadeSecret {
    pub secret: ClientSecret,
    pub plain: PlainSecret,
}

impl Core {
    /// Adds a secret; a place taken by an expired one is freed. The text is in the answer and nowhere else.
    pub async fn add_secret(
        &self,
        caller: &Authenticated,
        facts: &PrincipalFacts,
        display_name: Option<String>,
        expires_at: Option<DateTime<Utc>>,
        context: &RequestContext,
    ) -> Result<MadeSecret, Refusal> {
        demand_allowed(facts, CredentialMethod::ClientSecret)?;
        let now = self.clock.now();
        let expires_at = lawful_end(expires_at, now)?;
        let expired = facts.secrets.iter().find(|secret| !secret.is_live(now));
        let free =
            SecretSlot::ALL.into_iter().find(|slot| facts.secrets.iter().all(|secret| secret.slot != *slot));
        let mut mutations = Vec::new();
        let slot = match (free, expired) {
            (Some(slot), _) => slot,
            (None, Some(expired)) => {
                mutations.push(Mutation::RemoveSecret(expired.object_id, expired.id));
                expired.slot
            }
            (None, None) => {
                return Err(Refusal::Conflict(
                    "the principal has two live secrets: remove one with removePassword first".to_owned(),
                ));
            }
        };
        let made = self.make_secret(facts.principal.object_id, slot, display_name, Some(expires_at))?;
        mutations.push(Mutation::AddSecret(made.secret.clone()));
        self.change(caller, &mutations, context).await?;
        Ok(made)
    }

    /// Makes a secret without storing it.
    pub fn make_secret(
        &self,
        object_id: ObjectId,
        slot: SecretSlot,
        display_name: Option<String>,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<MadeSecret, Refusal> {
        let now = self.clock.now();
        let expires_at = lawful_end(expires_at, now)?;
        let plain = PlainSecret::from_random(&entropy::bytes(self.entropy.as_ref()));
        let secret = ClientSecret {
            id: CredentialId::from_uuid(entropy::random_uuid(self.entropy.as_ref())),
            object_id,
            slot,
            display_name,
            digest: self.pepper.digest(plain.expose()),
            hint: plain.hint(),
            created_at: now,
            expires_at,
        };
        Ok(MadeSecret { secret, plain })
    }
}

/// When a secret, or a key that says no end, ends: as asked, or after the default time.
pub(super) fn lawful_end(asked: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let end = asked.unwrap_or(now + Duration::days(DEFAULT_SECRET_DAYS));
    if end <= now || end > now + Duration::days(MAX_SECRET_DAYS) {
        return Err(Refusal::Invalid(format!(
            "endDateTime must lie in the future and at most {MAX_SECRET_DAYS} days ahead"
        )));
    }
    Ok(end)
}
