//! Signing keys over time: reads the rows, applies the plan, loads the ring. Run at start and by the worker.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Core;
use crate::clock::WrongClock;
use crate::domain::audit::{Actor, AuditRecord, Event, Outcome, TokenFacts};
use crate::domain::ids::AuditRecordId;
use crate::domain::region::Region;
use crate::domain::signing_key::{self, KeyLife, KeyRow, KeyState, SigningAlgorithm, SigningKey, Step};
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
    #[error(
        "{0} keys wait already to sign after the active one: the next is needed when the first of them signs"
    )]
    EnoughStandbys(usize),
}

/// Keys of a region that may wait, so that no validator meets a JWKS that is too long for it.
const MOST_STANDBYS: usize = 4;

impl Core {
    /// Brings the region's keys in order: loads and publishes them, creates what is due, destroys what is gone.
    pub async fn tend_signing_keys(&self) -> Result<(), RotationError> {
        // Loaded before anything is made: a wrong KEK must never lead to new keys. And taken over before that, and by
        // whatever clock: a revocation holds though nothing can be written, or some other row be opened.
        let read_at = self.clock.steady();
        let stored = self.store.signing_keys().await?;
        match self.open_signing_keys(&stored, read_at) {
            Ok(ring) => self.take_over(ring)?,
            Err(broken) => {
                self.take_over(self.key_ring.load().obeying(&stored, read_at))?;
                return Err(broken);
            }
        }
        let now = self.clock.confirmed()?;
        if self.apply_plan(&stored, now).await? {
            let (_, ring) = self.read_signing_keys().await?;
            self.take_over(ring)?;
        }
        Ok(())
    }

    /// Signs and publishes with these from now on; or, when they can't be published, with neither.
    fn take_over(&self, ring: KeyRing) -> Result<(), RotationError> {
        let now = self.clock.now();
        self.publish_keys(ring, now)?;
        self.show_keys(now);
        Ok(())
    }

    /// Imports a private key as the region's next one (the only way to RS256). It signs at once in the first region's
    /// beginning, and otherwise after a lead and after the keys that are there.
    pub async fn import_signing_key(
        &self,
        algorithm: SigningAlgorithm,
        der: &[u8],
    ) -> Result<SigningKey, RotationError> {
        // The process that imports is not the one that serves.
        self.compare_clock().await?;
        let now = self.clock.confirmed()?;
        let (stored, ring) = self.read_signing_keys().await?;
        let region = &self.settings.policy.region;
        let waiting = ring.keys().iter().filter(|loaded| loaded.key.region == *region);
        let waiting = waiting.filter(|loaded| loaded.key.life.state(now) == KeyState::Standby).count();
        if waiting >= MOST_STANDBYS {
            return Err(RotationError::EnoughStandbys(waiting));
        }
        let (generation, life) = signing_key::next_key(&rows(&stored), region, &self.settings.keys, now);
        let row = self.sealed_row(algorithm, der, generation, life)?;
        let key = row.key.clone();
        let actor = Actor { method: Some("command_line".into()), ..Actor::default() };
        let record = self.key_record(&key.kid, now, "imported", (actor, None));
        self.recorder.commit(&[Mutation::CreateSigningKey(Box::new(row))], vec![record]).await?;
        log_created(&key, "imported");
        Ok(key)
    }

    /// The rows, and the same opened and checked.
    pub(super) async fn read_signing_keys(&self) -> Result<(Vec<StoredSigningKey>, KeyRing), RotationError> {
        let read_at = self.clock.steady();
        let stored = self.store.signing_keys().await?;
        let ring = self.open_signing_keys(&stored, read_at)?;
        Ok((stored, ring))
    }

    pub(super) fn open_signing_keys(
        &self,
        stored: &[StoredSigningKey],
        read_at: Duration,
    ) -> Result<KeyRing, RotationError> {
        Ok(KeyRing::load(stored, &self.settings.policy.region, &self.keks, read_at)?)
    }

    /// The region whose keys are made here when they are due; `None` where the operator imports them.
    pub(super) fn makes_keys_of(&self) -> Option<&Region> {
        self.settings.algorithm.can_be_generated().then_some(&self.settings.policy.region)
    }

    /// Writes steps, each with its record, in one transaction, if what is expected is so.
    pub(super) async fn apply_key_steps(
        &self,
        expected: Option<Mutation>,
        steps: &[Step],
        actor: &Actor,
        now: DateTime<Utc>,
    ) -> Result<(), RotationError> {
        let (mut mutations, mut records, mut made) = (Vec::from_iter(expected), Vec::new(), Vec::new());
        for step in steps {
            let (kid, mutation, reason) = match step {
                Step::Create { generation, life, reason } => {
                    let der = KeyPair::generate(self.settings.algorithm)?;
                    let row = self.sealed_row(self.settings.algorithm, &der, *generation, *life)?;
                    made.push((row.key.clone(), *reason));
                    (row.key.kid.clone(), Mutation::CreateSigningKey(Box::new(row)), reason)
                }
                Step::Amend { kid, from, to, reason } => {
                    let (kid, from, to) = (kid.clone(), *from, *to);
                    (kid.clone(), Mutation::AmendSigningKey { kid, from, to }, reason)
                }
                Step::Destroy { kid, reason } => {
                    (kid.clone(), Mutation::DestroySigningKey(kid.clone()), reason)
                }
            };
            records.push(self.key_record(&kid, now, reason, (actor.clone(), None)));
            mutations.push(mutation);
        }
        self.recorder.commit(&mutations, records).await?;
        for (key, reason) in &made {
            log_created(key, reason);
        }
        Ok(())
    }

    /// Whether anything was done, here or by another replica meanwhile.
    async fn apply_plan(
        &self,
        stored: &[StoredSigningKey],
        now: DateTime<Utc>,
    ) -> Result<bool, RotationError> {
        let region = &self.settings.policy.region;
        let mut steps = signing_key::plan(&rows(stored), region, &self.settings.keys, now);
        let is_new = stored.iter().all(|row| row.key.region != *region);
        if self.makes_keys_of().is_none() && !is_new {
            // Imported keys are the operator's to make; metrics show the end of the active one.
            steps.retain(|step| !matches!(step, Step::Create { .. }));
        }
        if steps.is_empty() {
            return Ok(false);
        }
        let founds = stored.is_empty().then_some(Mutation::ExpectNoSigningKeys);
        match self.apply_key_steps(founds, &steps, &Actor::default(), now).await {
            // Another replica did it first; its keys are read back like any others.
            Ok(()) | Err(RotationError::Storage(StorageError::Conflict(_) | StorageError::Stale(_))) => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
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

    pub(super) fn key_record(
        &self,
        kid: &str,
        now: DateTime<Utc>,
        reason: &'static str,
        (actor, token): (Actor, Option<TokenFacts>),
    ) -> AuditRecord {
        let context = self.local_context();
        AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event: Event::SigningKey,
            outcome: Outcome::Done,
            reason: Some(reason.into()),
            actor,
            resource: Some(kid.into()),
            token,
            detail: None,
            request: self.request_facts(&context),
            latency_micros: 0,
        }
    }
}

/// As the plan looks at them.
pub(super) fn rows(stored: &[StoredSigningKey]) -> Vec<KeyRow> {
    stored.iter().map(|row| KeyRow { key: row.key.clone(), has_private: row.private.is_some() }).collect()
}

fn log_created(key: &SigningKey, reason: &str) {
    tracing::info!(key.kid, key.generation, key.sign_from = %key.life.sign_from, reason, "signing key created");
}
