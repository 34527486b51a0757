//! Signing keys over time: reads the rows, applies the plan, loads the ring. Run at start and by the worker.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Core;
use crate::clock::WrongClock;
use crate::domain::audit::{Actor, AuditRecord, Event, Outcome};
use crate::domain::ids::AuditRecordId;
use crate::domain::signing_key::{self, KeyLife, SigningAlgorithm, SigningKey, Step, next_life};
use crate::entropy;
use crate::signing::key_pair::{KeyError, KeyPair};
use crate::signing::sealing::{Place, SealingError};
use crate::signing::signer::{KeyRing, LoadError};
use crate::signing::verifier::JwksError;
use crate::storage::{Mutation, StorageError, StoredSigningKey};

/// Why the keys are not in order. At start each of these refuses the start; later the old ring goes on.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// Keys are neither made nor switched by a wrong clock.
    #[error(transparent)]
    Clock(#[from] WrongClock),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Sealing(#[from] SealingError),
    #[error(transparent)]
    Jwks(#[from] JwksError),
}

impl Core {
    /// Brings the region's keys in order: creates what is due, destroys what is gone, loads and publishes the rest.
    pub async fn tend_signing_keys(&self) -> Result<(), RotationError> {
        let (now, read_at) = (self.clock.confirmed()?, self.clock.steady());
        let mut stored = self.store.signing_keys().await?;
        // Loaded before anything is made: a wrong KEK must never lead to new keys.
        let mut ring = KeyRing::load(&stored, &self.settings.policy.region, &self.keks, read_at)?;
        if self.apply_plan(&stored, now).await? {
            stored = self.store.signing_keys().await?;
            ring = KeyRing::load(&stored, &self.settings.policy.region, &self.keks, read_at)?;
        }
        self.key_ring.store(Arc::new(ring));
        self.publish_keys(now)?;
        self.show_keys(now);
        Ok(())
    }

    /// Imports a private key as the region's next one (the only way to RS256). It signs at once in a region that
    /// has no key yet, and otherwise after the lead and its predecessor's window.
    pub async fn import_signing_key(
        &self,
        algorithm: SigningAlgorithm,
        der: &[u8],
    ) -> Result<SigningKey, RotationError> {
        // The process that imports is not the one that serves.
        self.compare_clock().await?;
        let (now, read_at) = (self.clock.confirmed()?, self.clock.steady());
        let stored = self.store.signing_keys().await?;
        KeyRing::load(&stored, &self.settings.policy.region, &self.keks, read_at)?;
        let newest = self.own(&stored).max_by_key(|row| row.key.generation);
        let (generation, sign_from) = match newest {
            None => (1, now),
            Some(row) => {
                (row.key.generation + 1, (now + self.settings.keys.lead).max(row.key.life.sign_until))
            }
        };
        let life = next_life(now, sign_from, &self.settings.keys);
        let row = self.sealed_row(algorithm, der, generation, life)?;
        self.commit_key(row, now, "imported").await
    }

    /// Whether anything was done.
    async fn apply_plan(
        &self,
        stored: &[StoredSigningKey],
        now: DateTime<Utc>,
    ) -> Result<bool, RotationError> {
        let own: Vec<_> = self.own(stored).map(|row| (row.key.clone(), row.private.is_some())).collect();
        let steps = signing_key::plan(&own, &self.settings.keys, now);
        for step in &steps {
            match step {
                Step::Create { .. } if !self.settings.algorithm.can_be_generated() && !own.is_empty() => {
                    // Imported keys are the operator's to make; metrics show the end of the active one.
                    tracing::debug!("the next signing key is due: import one with `wsts keys import`");
                    return Ok(false);
                }
                Step::Create { generation, life, reason } => {
                    let der = KeyPair::generate(self.settings.algorithm)?;
                    let row = self.sealed_row(self.settings.algorithm, &der, *generation, *life)?;
                    match self.commit_key(row, now, reason).await {
                        // Another replica made this generation first; its key is read back like any other.
                        Ok(_) | Err(RotationError::Storage(StorageError::Conflict(_))) => {}
                        Err(error) => return Err(error),
                    }
                }
                Step::Destroy { kid, reason } => {
                    let record = self.key_record(kid, now, reason);
                    self.recorder.commit(&[Mutation::DestroySigningKey(kid.clone())], vec![record]).await?;
                }
            }
        }
        Ok(!steps.is_empty())
    }

    fn own<'a>(&'a self, stored: &'a [StoredSigningKey]) -> impl Iterator<Item = &'a StoredSigningKey> {
        stored.iter().filter(|row| row.key.region == self.settings.policy.region)
    }

    fn sealed_row(
        &self,
        algorithm: SigningAlgorithm,
        der: &[u8],
        generation: i64,
        life: KeyLife,
    ) -> Result<StoredSigningKey, RotationError> {
        let jwk = KeyPair::from_pkcs8(algorithm, der)?.public_jwk();
        let region = self.settings.policy.region.clone();
        let key = SigningKey { kid: jwk.kid.clone(), region, generation, algorithm, life };
        let private = Some(self.keks.seal(&Place::signing_key(&key), der, self.entropy.as_ref())?);
        // A JWK of strings always serialises.
        let public_jwk = serde_json::to_string(&jwk).unwrap_or_default();
        Ok(StoredSigningKey { key, public_jwk, private, kek_id: self.keks.primary_id() })
    }

    async fn commit_key(
        &self,
        row: StoredSigningKey,
        now: DateTime<Utc>,
        reason: &'static str,
    ) -> Result<SigningKey, RotationError> {
        let key = row.key.clone();
        let record = self.key_record(&key.kid, now, reason);
        self.recorder.commit(&[Mutation::CreateSigningKey(Box::new(row))], vec![record]).await?;
        tracing::info!(key.kid, key.generation, key.sign_from = %key.life.sign_from, reason, "signing key created");
        Ok(key)
    }

    fn key_record(&self, kid: &str, now: DateTime<Utc>, reason: &'static str) -> AuditRecord {
        let context = self.local_context();
        AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event: Event::SigningKey,
            outcome: Outcome::Done,
            reason: Some(reason.into()),
            actor: Actor::default(),
            resource: Some(kid.into()),
            token: None,
            detail: None,
            request: self.request_facts(&context),
            latency_micros: 0,
        }
    }

    fn show_keys(&self, now: DateTime<Utc>) {
        let ring = self.key_ring.load();
        self.metrics.signing_key_info.reset();
        for loaded in ring.published(now) {
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
