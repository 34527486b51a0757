//! Caller tokens that were verified before, by hash, until they expire.
//!
//! Only the signature is remembered. The principal is looked up on every request, so a disabled one or a lost role
//! takes effect at once.

use chrono::{DateTime, Utc};

use super::{Bounded, bounded};
use crate::domain::ids::{ClientId, ObjectId};

/// What a verified management token says of its bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedCaller {
    pub object_id: ObjectId,
    pub client_id: ClientId,
    pub expires_at: DateTime<Utc>,
}

/// A bounded memory of verified tokens.
pub struct VerifiedTokens(Bounded<[u8; 32], VerifiedCaller>);

impl VerifiedTokens {
    pub fn new(capacity: u64) -> Self {
        Self(bounded(capacity))
    }

    /// The caller, if this very token was verified before and has not expired.
    pub fn get(&self, token: &str, now: DateTime<Utc>) -> Option<VerifiedCaller> {
        self.0.get(&digest(token)).filter(|caller| now < caller.expires_at)
    }

    pub fn remember(&self, token: &str, caller: VerifiedCaller) {
        self.0.insert(digest(token), caller);
    }

    /// Forgets every token, for when a signing key is lost.
    pub fn clear(&self) {
        self.0.clear();
    }
}

fn digest(token: &str) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    // SHA-256 has 32 bytes.
    <[u8; 32]>::try_from(digest.as_ref()).unwrap_or_default()
}
