//! A client assertion is taken once (RFC 7523, section 3, rule 7), where the operator wants it so.
//!
//! The database decides among all replicas. While it is away this process decides for itself, and the audit says so.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};
use ring::digest::{Context, SHA256};

use super::client_assertion::LEEWAY;
use super::{Core, Refusal};
use crate::domain::denial::Denial;
use crate::domain::signing_key::CLOCK_TOLERANCE_SECONDS;
use crate::signing::assertion::Claims;
use crate::storage::Result;

/// What the record of a request says that no other replica was asked about.
pub const BY_THIS_PROCESS_ONLY: &str = "jti checked by this process only";

/// Most assertions that one process remembers: at a hundred a second, those of longest life.
const MOST_REMEMBERED: usize = 200_000;

/// The assertions that this process took, until they expire.
#[derive(Default)]
pub struct UsedAssertions(Mutex<HashMap<[u8; 32], DateTime<Utc>>>);

impl UsedAssertions {
    /// Whether it was not there. When there is no room even without those that have expired, it is not taken: forgetting
    /// one would be to take it again.
    fn add(
        &self,
        digest: [u8; 32],
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> std::result::Result<bool, Full> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MOST_REMEMBERED {
            used.retain(|_, end| *end > now);
        }
        if used.len() >= MOST_REMEMBERED {
            return Err(Full);
        }
        Ok(used.insert(digest, expires_at).is_none())
    }
}

struct Full;

impl Core {
    /// Takes a proven assertion, unless it was taken before. Gives what the audit is to say of it.
    pub(super) async fn use_once(
        &self,
        claims: &Claims,
        now: DateTime<Utc>,
    ) -> std::result::Result<Option<&'static str>, Refusal> {
        if !self.settings.single_use_assertions {
            return Ok(None);
        }
        let digest = digest(claims);
        let expires_at = end(claims).ok_or(Refusal::Denied(Denial::AssertionTime))?;
        let full = |_| Refusal::Unavailable("too many client assertions are remembered".to_owned());
        // Here first: two at once in one process are told apart without the database.
        if !self.used_assertions.add(digest, expires_at, now).map_err(full)? {
            return Err(Refusal::Denied(Denial::AssertionUsed));
        }
        match self.store.use_assertion(digest, expires_at).await {
            Ok(true) => Ok(None),
            Ok(false) => Err(Refusal::Denied(Denial::AssertionUsed)),
            Err(error) => {
                tracing::warn!(%error, "a client assertion could not be looked up among those of other replicas");
                Ok(Some(BY_THIS_PROCESS_ONLY))
            }
        }
    }

    /// Removes those that have expired.
    pub async fn forget_assertions(&self) -> Result<()> {
        if self.settings.single_use_assertions {
            return self.store.remove_assertions(self.clock.now()).await;
        }
        Ok(())
    }
}

/// When no replica takes it any more, however its clock is off within what is tolerated.
fn end(claims: &Claims) -> Option<DateTime<Utc>> {
    let taken_until = DateTime::from_timestamp((claims.expires_at + LEEWAY).ceil() as i64, 0)?;
    taken_until.checked_add_signed(Duration::seconds(2 * CLOCK_TOLERANCE_SECONDS))
}

/// Of issuer and `jti` (RFC 7519, section 4.1.7), the length of one between them, so that no two pairs are one text.
fn digest(claims: &Claims) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(&claims.issuer.len().to_be_bytes());
    context.update(claims.issuer.as_bytes());
    context.update(claims.id().unwrap_or_default().as_bytes());
    let mut digest = [0; 32];
    // SHA-256 has 32 bytes.
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
