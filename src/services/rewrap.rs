//! Puts every data key under the primary KEK, row by row, so that the KEKs before it can be destroyed.
//!
//! Only data keys are opened, never what they seal; no kid and no published byte changes. Each commit leaves a whole
//! state, so a run that ends halfway is ended by the next one.

use super::Core;
use crate::domain::audit::{Actor, AuditRecord, Event, Outcome};
use crate::domain::ids::AuditRecordId;
use crate::entropy;
use crate::signing::sealing::{Place, SealingError, hex};
use crate::storage::{KekUse, Mutation, Replica, Rewrap, SealedPrivate, StorageError};

/// Access keys in one commit. Signing keys are few and get a commit each.
const BATCH: u32 = 100;

/// Why nothing more is re-wrapped. What was is, and stays so.
#[derive(Debug, thiserror::Error)]
pub enum RewrapError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(
        "KEK {kek} is not known to every replica that serves, and what is put under it they could not open: {lacking}. Give it to each of them (a line of secrets.kek_file), restart them, and try again"
    )]
    Lacking { kek: String, lacking: String },
}

/// What a run has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    pub signing_keys: u64,
    pub access_keys: u64,
    /// Rows that can't be opened under the KEK that they name, and were left.
    pub broken: Vec<String>,
}

/// Where things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KekStatus {
    pub primary: [u8; 8],
    /// What is sealed under which KEK.
    pub uses: Vec<KekUse>,
    /// Signing keys under a KEK that is not configured here, for people.
    pub out_of_reach: Vec<String>,
    /// Every replica that serves.
    pub replicas: Vec<Replica>,
}

impl KekStatus {
    /// Whether nothing is sealed under another KEK, nor will be: what serves seals under the primary.
    pub fn is_settled(&self) -> bool {
        self.uses.iter().all(|used| used.kek_id == self.primary)
            && self.replicas.iter().all(|replica| replica.kek_ids.first() == Some(&self.primary))
    }
}

impl Core {
    /// Says what is sealed under which KEK, and who could open it under the primary.
    pub async fn kek_status(&self) -> Result<KekStatus, StorageError> {
        let out_of_reach = |row: &crate::storage::StoredSigningKey| {
            let (key, kek) = (&row.key, hex(&row.kek_id));
            format!("signing key {} of region {} is sealed under KEK {kek}", key.kid, key.region)
        };
        let stored = self.store.signing_keys().await?;
        let unknown = stored.iter().filter(|row| row.private.is_some() && !self.keks.has(row.kek_id));
        Ok(KekStatus {
            primary: self.keks.primary_id(),
            uses: self.store.kek_uses().await?,
            out_of_reach: unknown.map(out_of_reach).collect(),
            replicas: self.store.live_replicas(self.clock.now()).await?,
        })
    }

    /// Re-wraps what is sealed under another configured KEK than the primary. `progress` hears of each commit.
    ///
    /// # Errors
    /// A replica that serves has not the primary; the database can't be read or written.
    pub async fn rewrap(&self, mut progress: impl FnMut(&Rewrapped)) -> Result<Rewrapped, RewrapError> {
        // Also when nothing is left: who asks wants to know.
        self.demand_primary_everywhere().await?;
        let mut done = Rewrapped::default();
        self.rewrap_signing_keys(&mut done, &mut progress).await?;
        for old in self.keks.ids() {
            if old != self.keks.primary_id() {
                self.rewrap_access_keys(old, &mut done, &mut progress).await?;
            }
        }
        Ok(done)
    }

    /// Of every region: a data key opens for whoever has its KEK.
    async fn rewrap_signing_keys(
        &self,
        done: &mut Rewrapped,
        progress: &mut impl FnMut(&Rewrapped),
    ) -> Result<(), RewrapError> {
        for row in self.store.signing_keys().await? {
            let Some(sealed) = &row.private else { continue };
            if row.kek_id == self.keks.primary_id() || !self.keks.has(row.kek_id) {
                continue;
            }
            let kid = row.key.kid.clone();
            match self.rewrapped(&Place::signing_key(&row.key), row.kek_id, sealed) {
                Err(error) => done.broken.push(error.to_string()),
                Ok(rewrap) => {
                    self.demand_primary_everywhere().await?;
                    let record = self.rewrap_record(row.kek_id, "the signing key", Some(kid.clone()));
                    match self.recorder.commit(&[Mutation::RewrapSigningKey(kid, rewrap)], vec![record]).await
                    {
                        Ok(_) => done.signing_keys += 1,
                        // Destroyed, or re-wrapped by another run.
                        Err(StorageError::Stale(_)) => continue,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            progress(done);
        }
        Ok(())
    }

    async fn rewrap_access_keys(
        &self,
        old: [u8; 8],
        done: &mut Rewrapped,
        progress: &mut impl FnMut(&Rewrapped),
    ) -> Result<(), RewrapError> {
        let (mut webservice, mut name) = (String::new(), "");
        loop {
            let rows = self.store.access_keys_under(old, (&webservice, name), BATCH).await?;
            let Some((last, last_row)) = rows.last() else { return Ok(()) };
            let (mut mutations, mut broken) = (Vec::new(), Vec::new());
            for (key, row) in &rows {
                match self.rewrapped(&Place::access_key(key, &row.key), old, &row.sealed) {
                    Ok(rewrap) => {
                        mutations.push(Mutation::RewrapAccessKey(key.clone(), row.key.name, rewrap));
                    }
                    Err(error) => broken.push(error.to_string()),
                }
            }
            if !mutations.is_empty() {
                self.demand_primary_everywhere().await?;
                let record = self.rewrap_record(old, &format!("{} access keys", mutations.len()), None);
                match self.recorder.commit(&mutations, vec![record]).await {
                    Ok(_) => done.access_keys += mutations.len() as u64,
                    // One of them was regenerated meanwhile: read them again.
                    Err(StorageError::Stale(_)) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            done.broken.append(&mut broken);
            progress(done);
            (webservice, name) = (last.clone(), last_row.key.name.as_str());
        }
    }

    fn rewrapped(&self, place: &Place, old: [u8; 8], sealed: &SealedPrivate) -> Result<Rewrap, SealingError> {
        Ok(Rewrap {
            old_kek_id: old,
            old_data_key: sealed.data_key.clone(),
            kek_id: self.keks.primary_id(),
            data_key: self.keks.rewrap(place, old, &sealed.data_key, self.entropy.as_ref())?,
        })
    }

    /// Asked before each commit: a replica may start at any time.
    async fn demand_primary_everywhere(&self) -> Result<(), RewrapError> {
        let primary = self.keks.primary_id();
        let lacking: Vec<String> = self
            .store
            .live_replicas(self.clock.now())
            .await?
            .iter()
            .filter(|replica| !replica.kek_ids.contains(&primary))
            .map(|replica| format!("replica {} of region {}", replica.id, replica.region))
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(RewrapError::Lacking { kek: hex(&primary), lacking: lacking.join(", ") })
    }

    fn rewrap_record(&self, old: [u8; 8], what: &str, kid: Option<String>) -> AuditRecord {
        let (context, now) = (self.local_context(), self.clock.now());
        AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event: Event::Rewrap,
            outcome: Outcome::Done,
            reason: None,
            actor: Actor { method: Some(context.endpoint.as_str().into()), ..Actor::default() },
            resource: kid.map(Into::into),
            token: None,
            detail: Some(format!("{what}: from KEK {} to KEK {}", hex(&old), hex(&self.keks.primary_id()))),
            request: self.request_facts(&context),
            latency_micros: 0,
        }
    }
}
