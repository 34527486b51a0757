//! The JWKS documents: serialised once for each state of the keys, served from memory.

use chrono::{DateTime, Duration, Utc};

use super::Core;
use crate::domain::signing_key::CLOCK_TOLERANCE_SECONDS;
use crate::signing::jwks::{JwkSet, PublicJwk};
use crate::signing::verifier::{JwksError, KeySet};

/// The documents of one state of the keys.
#[derive(Default)]
pub struct Published {
    /// Every region's live keys.
    pub union: Document,
    /// This region's own.
    pub own: Document,
    /// Verifies tokens signed by any of them.
    pub verifier: KeySet,
    kids: Vec<String>,
}

/// A body with its strong validator (RFC 9110, section 8.8.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    pub body: Vec<u8>,
    pub etag: String,
}

impl Document {
    /// The JSON of a value, and its tag: equal tags, equal bytes.
    pub fn of(value: &impl serde::Serialize) -> Self {
        // Our own strings and numbers; serialising them into memory can't fail.
        let body = serde_json::to_vec(value).unwrap_or_default();
        let digest = ring::digest::digest(&ring::digest::SHA256, &body);
        let tag: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { body, etag: format!("\"{tag}\"") }
    }
}

impl Core {
    /// Serialises the documents again if the set or order of published keys is another one than before.
    pub fn publish_keys(&self, now: DateTime<Utc>) -> Result<(), JwksError> {
        let ring = self.key_ring.load();
        let region = &self.settings.policy.region;
        let keys = ring.published(now);
        let kids: Vec<String> = keys.iter().map(|loaded| loaded.key.kid.clone()).collect();
        if self.published.load().kids == kids {
            return Ok(());
        }
        let marked = |loaded: &&&crate::signing::signer::LoadedKey| PublicJwk {
            region: Some(loaded.key.region.to_string()),
            iss: Some(self.settings.policy.issuer.clone()),
            ..loaded.jwk.clone()
        };
        let union: Vec<PublicJwk> = keys.iter().map(|loaded| marked(&loaded)).collect();
        let own =
            keys.iter().filter(|loaded| loaded.key.region == *region).map(|loaded| marked(&loaded)).collect();
        let verifier = KeySet::from_jwks(&union)?;
        let published = Published {
            union: Document::of(&JwkSet { keys: union }),
            own: Document::of(&JwkSet { keys: own }),
            verifier,
            kids,
        };
        self.published.store(std::sync::Arc::new(published));
        Ok(())
    }

    /// Seconds for which a copy of the JWKS is safe to keep: `min(M, L − C − age)`, 0 when none is.
    ///
    /// Keys read `age` ago hold every key that can sign within `L − age`, the rest of the lead.
    pub fn jwks_max_age(&self) -> i64 {
        let ring = self.key_ring.load();
        let policy = &self.settings.keys;
        // While a key is active no one makes a next one with less than the whole lead; without one the plan takes the
        // shortest lawful lead, so only that much is promised.
        let lead = if ring.active(self.clock.now()).is_some() { policy.lead } else { policy.least_lead() };
        let age = self.clock.steady().saturating_sub(ring.read_at);
        let safe_for = lead
            - Duration::seconds(CLOCK_TOLERANCE_SECONDS)
            - Duration::from_std(age).unwrap_or(Duration::MAX);
        safe_for.min(policy.jwks_max_age).num_seconds().max(0)
    }
}
