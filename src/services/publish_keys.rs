//! The JWKS documents: serialised once for each state of the keys, served from memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::Guard;
use chrono::{DateTime, Duration, Utc};

use super::rotate_signing_keys::RotationError;
use super::{Core, Refusal};
use crate::domain::region::Region;
use crate::entropy;
use crate::signing::jwks::{JwkSet, PublicJwk};
use crate::signing::signer::{KeyRing, LoadedKey};
use crate::signing::verifier::{JwksError, KeySet};

/// Share of `max-age` by which answers differ.
const LARGEST_SPREAD: f64 = 0.2;

/// The documents of one state of the keys.
#[derive(Default)]
pub struct Published {
    /// Every region's live keys.
    pub union: Document,
    /// Each region's own.
    pub regions: BTreeMap<Region, Document>,
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
    /// Takes these keys for those that sign, and serialises the documents again if the set or order of published keys is
    /// another one than before. What can't be published does not sign.
    pub(super) fn publish_keys(&self, ring: KeyRing, now: DateTime<Utc>) -> Result<(), JwksError> {
        let keys = ring.published(now);
        let kids: Vec<String> = keys.iter().map(|loaded| loaded.key.kid.clone()).collect();
        let before = self.published.load();
        if before.kids == kids {
            self.key_ring.store(Arc::new(ring));
            return Ok(());
        }
        let withdraws = before.kids.iter().any(|kid| !kids.contains(kid));
        let union: Vec<PublicJwk> = keys.iter().map(|loaded| self.marked(loaded)).collect();
        let mut of_region = BTreeMap::<Region, Vec<PublicJwk>>::new();
        for loaded in &keys {
            of_region.entry(loaded.key.region.clone()).or_default().push(self.marked(loaded));
        }
        let document = |(region, keys)| (region, Document::of(&JwkSet { keys }));
        let verifier = KeySet::from_jwks(&union)?;
        let published = Published {
            union: Document::of(&JwkSet { keys: union }),
            regions: of_region.into_iter().map(document).collect(),
            verifier,
            kids,
        };
        // In this order nobody meets a token of a key that is not published.
        self.published.store(Arc::new(published));
        if withdraws {
            // After the swap: who verified by the old set looks for the swap after it has remembered.
            self.verified.clear();
        }
        self.key_ring.store(Arc::new(ring));
        Ok(())
    }

    /// The keys as the database has them now, of one region or of all.
    pub async fn exported_keys(&self, region: Option<&Region>) -> Result<JwkSet, RotationError> {
        let (_, ring) = self.read_signing_keys().await?;
        let keys = ring.published(self.clock.now());
        let wanted = keys.iter().filter(|loaded| region.is_none_or(|region| loaded.key.region == *region));
        Ok(JwkSet { keys: wanted.map(|loaded| self.marked(loaded)).collect() })
    }

    fn marked(&self, loaded: &LoadedKey) -> PublicJwk {
        PublicJwk {
            region: Some(loaded.key.region.to_string()),
            iss: Some(self.settings.policy.issuer.clone()),
            ..loaded.jwk.clone()
        }
    }

    /// The keys, unless they were read so long ago that a revocation may have been overlooked (invariant I5).
    pub fn confirmed_keys(&self) -> Result<Guard<Arc<KeyRing>>, Refusal> {
        let ring = self.key_ring.load();
        let age = self.clock.steady().saturating_sub(ring.obeyed_at);
        if age <= self.settings.keys_grace {
            return Ok(ring);
        }
        Err(Refusal::Unavailable(format!("the signing keys were not read for {} s", age.as_secs())))
    }

    /// Seconds for which a copy of the JWKS is safe to keep: `min(M, what the keys are complete for − their age)`, 0 when
    /// none is.
    pub fn jwks_max_age(&self) -> i64 {
        let ring = self.key_ring.load();
        let policy = &self.settings.keys;
        let age = self.clock.steady().saturating_sub(ring.read_at);
        let age = Duration::from_std(age).unwrap_or(Duration::MAX);
        let keys = ring.keys().iter().map(|loaded| &loaded.key);
        let safe_for = policy.complete_for(keys, age, self.clock.now()) - age;
        safe_for.min(policy.jwks_max_age).num_seconds().max(0)
    }

    /// The same for one answer, by up to a fifth shorter: gateways that were started together do not come back together.
    pub fn spread_jwks_max_age(&self) -> i64 {
        let max_age = self.jwks_max_age();
        if max_age == 0 {
            self.metrics.jwks_stale.inc();
        }
        let spread = entropy::unit_interval(entropy::bytes(self.entropy.as_ref()));
        // Below a fifth of an hour, exact in a float.
        max_age - (max_age as f64 * LARGEST_SPREAD * spread) as i64
    }

    pub(super) fn show_keys(&self, now: DateTime<Utc>) {
        let ring = self.key_ring.load();
        self.metrics.signing_key_info.reset();
        let region = &self.settings.policy.region;
        for loaded in ring.published(now).iter().filter(|loaded| loaded.key.region == *region) {
            let labels =
                [loaded.key.algorithm.as_str(), &loaded.key.kid, loaded.key.life.state(now).as_str()];
            self.metrics.signing_key_info.with_label_values(&labels).set(1);
        }
        if let Some(active) = ring.active(now) {
            let labels = [active.key.algorithm.as_str()];
            let (from, until) = (active.key.life.sign_from, active.key.life.sign_until);
            self.metrics.signing_key_activation.with_label_values(&labels).set(from.timestamp() as f64);
            self.metrics.signing_key_not_after.with_label_values(&labels).set(until.timestamp() as f64);
        }
    }
}
