//! The deny-list of tokens, whole in memory: asked on each use of a token, changed seldom.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use chrono::{DateTime, Utc};

use super::Hasher;
use crate::domain::revocation::RevokedToken;

/// Ends of revoked tokens by `jti`.
type Listed = HashMap<Box<str>, DateTime<Utc>, Hasher>;

#[derive(Default)]
pub struct RevokedTokens {
    listed: RwLock<Listed>,
    /// Counts changes, so that what is made of the list need not be made anew.
    version: AtomicU64,
}

impl RevokedTokens {
    pub fn contains(&self, token_id: &str) -> bool {
        self.read().contains_key(token_id)
    }

    pub fn count(&self) -> usize {
        self.read().len()
    }

    pub(super) fn add(&self, revoked: impl IntoIterator<Item = RevokedToken>) {
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        listed.extend(revoked.into_iter().map(|one| (one.token_id.into(), one.expires_at)));
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets those that have expired: their tokens are refused for that.
    pub fn forget_expired(&self, now: DateTime<Utc>) {
        if self.read().values().all(|end| *end > now) {
            return;
        }
        self.listed.write().unwrap_or_else(PoisonError::into_inner).retain(|_, end| *end > now);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    /// Another number after each change. To be read before [`RevokedTokens::all`].
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// All of them, the one that ends first at the beginning.
    pub fn all(&self) -> Vec<RevokedToken> {
        let listed = self.read();
        let mut all: Vec<_> = listed
            .iter()
            .map(|(id, end)| RevokedToken { token_id: id.to_string(), expires_at: *end })
            .collect();
        drop(listed);
        all.sort_unstable_by(|one, other| {
            one.expires_at.cmp(&other.expires_at).then_with(|| one.token_id.cmp(&other.token_id))
        });
        all
    }

    fn read(&self) -> RwLockReadGuard<'_, Listed> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner)
    }
}
