//! What an operator does to signing keys: revoke one, rotate before the time, and try the standby at a gateway.

use chrono::{DateTime, Utc};

use super::rotate_signing_keys::{RotationError, rows};
use super::{Core, RequestContext};
use crate::domain::audit::{Actor, TokenFacts};
use crate::domain::issuance;
use crate::domain::signing_key::{self, CantRevoke, CantRotate, Intervention};
use crate::signing::signer::SignError;
use crate::storage::StoredSigningKey;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum InterventionError {
    #[error(transparent)]
    Revoke(#[from] CantRevoke),
    #[error(transparent)]
    Rotate(#[from] CantRotate),
    #[error(transparent)]
    Keys(#[from] RotationError),
    #[error("region `{0}` has no standby to preview: `wsts keys list` shows its keys")]
    NoStandby(String),
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// A token of the standby, which opens nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub token: String,
    pub kid: String,
    pub sign_from: DateTime<Utc>,
}

impl Core {
    /// Revokes a key of any region that shares the database, in one transaction with what follows from it.
    pub async fn revoke_signing_key(&self, kid: &str) -> Result<Intervention, InterventionError> {
        let decide = |stored: &[StoredSigningKey], now| {
            // A row that can't be opened must not protect a compromised key; but a wrong KEK must not make new ones.
            let maker = match self.open_signing_keys(stored, self.clock.steady()) {
                Ok(_) => self.makes_keys_of(),
                Err(error) => {
                    tracing::warn!(%error, "no new standby is made");
                    None
                }
            };
            Ok(signing_key::revoke(&rows(stored), kid, maker, &self.settings.keys, now)?)
        };
        self.intervene(decide).await
    }

    /// Lets the region's standby sign from now on.
    pub async fn rotate_signing_key(&self) -> Result<Intervention, InterventionError> {
        let decide = |stored: &[StoredSigningKey], now| {
            self.open_signing_keys(stored, self.clock.steady())?;
            let (maker, policy) = (self.makes_keys_of(), &self.settings.keys);
            Ok(signing_key::rotate(&rows(stored), &self.settings.policy.region, maker, policy, now)?)
        };
        self.intervene(decide).await
    }

    /// A token signed by the standby: a gateway that refuses it for its audience has the key, one that does not know
    /// its kid has not. The record is durable before this returns.
    pub async fn preview_signing_key(&self, context: &RequestContext) -> Result<Preview, InterventionError> {
        // The process that signs here is not the one that serves.
        self.compare_clock().await.map_err(RotationError::from)?;
        let now = self.clock.confirmed().map_err(RotationError::from)?;
        let (_, ring) = self.read_signing_keys().await?;
        let region = &self.settings.policy.region;
        let standby = ring.standby(now).ok_or_else(|| InterventionError::NoStandby(region.to_string()))?;
        let claims = issuance::mint_preview(&self.settings.policy, context.random.token_id, now);
        let token = standby.sign(&claims)?;
        let kid = standby.key.kid.clone();
        let expires_at = DateTime::from_timestamp(claims.exp, 0).unwrap_or(now);
        let facts = TokenFacts { token_id: claims.jti, kid: kid.clone(), expires_at };
        let record = self.key_record(&kid, now, "previewed", (operator(), Some(facts)));
        self.recorder.commit(&[], vec![record]).await.map_err(RotationError::from)?;
        Ok(Preview { token, kid, sign_from: standby.key.life.sign_from })
    }

    /// Decides on the rows as they are and writes that, or decides anew when somebody else wrote meanwhile.
    async fn intervene(
        &self,
        decide: impl Fn(&[StoredSigningKey], DateTime<Utc>) -> Result<Intervention, InterventionError>,
    ) -> Result<Intervention, InterventionError> {
        self.compare_clock().await.map_err(RotationError::from)?;
        let mut tries = 0;
        loop {
            let now = self.clock.confirmed().map_err(RotationError::from)?;
            let stored = self.store.signing_keys().await.map_err(RotationError::from)?;
            let intervention = decide(&stored, now)?;
            tries += 1;
            match self.apply_key_steps(None, &intervention.steps, &operator(), now).await {
                Ok(()) => return Ok(intervention),
                // The worker of a replica made a key, another operator was faster, or other writes took too long.
                Err(RotationError::Storage(_)) if tries < MOST_TRIES => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Each try loses against a write that was made, and those are few.
const MOST_TRIES: u32 = 5;

fn operator() -> Actor {
    Actor { method: Some("command_line".into()), ..Actor::default() }
}
