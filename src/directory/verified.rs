//! Tokens that were verified before, by hash, until they expire.
//!
//! Only what the signature vouches for is remembered. The principal is looked up on every request, so a disabled one or
//! a lost role takes effect at once; what the token is for is compared by each door for itself.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Bounded, bounded};
use crate::domain::ids::{ClientId, ObjectId, TenantId};

/// What a verified token says: whose it is, what it opens, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// `jti`.
    pub token_id: Arc<str>,
    pub object_id: ObjectId,
    pub client_id: ClientId,
    /// Of another issuer's token; in our own the two ids above say it.
    pub tenant_id: Option<TenantId>,
    /// `aud`: the issuer in a management token, else one webservice's audience.
    pub audience: Box<str>,
    pub expires_at: DateTime<Utc>,
}

/// A bounded memory of verified tokens.
pub struct VerifiedTokens(Bounded<[u8; 32], Arc<VerifiedToken>>);

impl VerifiedTokens {
    pub fn new(capacity: u64) -> Self {
        Self(bounded(capacity))
    }

    /// What it says, if this very token was verified before and has not expired.
    pub fn get(&self, token: &str, now: DateTime<Utc>) -> Option<Arc<VerifiedToken>> {
        self.0.get(&digest(token)).filter(|known| now < known.expires_at)
    }

    pub fn remember(&self, token: &str, verified: Arc<VerifiedToken>) {
        self.0.insert(digest(token), verified);
    }

    pub fn forget(&self, token: &str) {
        self.0.remove(&digest(token));
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
