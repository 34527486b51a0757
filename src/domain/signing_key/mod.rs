//! Signing keys: rows whose state is a function of time, the plan that makes the next ones, and what an operator may do
//! to them.
//!
//! Nothing announces a switch: each replica computes states from the rows and the clock, so all switch together.
//! A key is published at least one lead before it may sign, so no validator that honours `max-age` meets an
//! unknown kid.

mod intervention;
mod plan;
mod policy;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use super::region::Region;

pub use intervention::{Aftermath, CantRevoke, CantRotate, Intervention, revoke, rotate};
pub use plan::{Step, next_key, plan};
pub use policy::{CLOCK_TOLERANCE_SECONDS, KeyPolicy, KeyPolicyError};

/// Signature algorithms of this service's own tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum SigningAlgorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// Only with an imported key: ring makes no RSA keys.
    #[serde(rename = "RS256")]
    Rs256,
}

impl SigningAlgorithm {
    pub const ALL: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The JOSE name (RFC 7518, section 3.1; RFC 8037, section 3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    /// Whether the service can make such a key itself.
    pub const fn can_be_generated(self) -> bool {
        !matches!(self, Self::Rs256)
    }
}

/// One key's life. Never changed after it was written, save by an [`Intervention`] or to close the gap that one left, and
/// then only to earlier times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    pub region: Region,
    /// 1, 2, 3 … within a region; `unique(region, generation)` settles races between creators.
    pub generation: i64,
    pub algorithm: SigningAlgorithm,
    pub life: KeyLife,
}

/// The instants at which a key changes its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLife {
    pub published_at: DateTime<Utc>,
    pub sign_from: DateTime<Utc>,
    pub sign_until: DateTime<Utc>,
    pub remove_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Where a key stands at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Published, not signing yet.
    Standby,
    Active,
    /// Signs no more, still published for the tokens it signed.
    Retiring,
    Gone,
    Revoked,
}

impl KeyState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Gone => "gone",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the JWKS shows the key.
    pub const fn is_published(self) -> bool {
        matches!(self, Self::Standby | Self::Active | Self::Retiring)
    }
}

impl KeyLife {
    pub fn state(&self, now: DateTime<Utc>) -> KeyState {
        match () {
            // Whatever a clock says that is behind the revoker's: whoever knows of it obeys.
            () if self.revoked_at.is_some() => KeyState::Revoked,
            () if now >= self.remove_at => KeyState::Gone,
            () if now >= self.sign_until => KeyState::Retiring,
            () if now >= self.sign_from => KeyState::Active,
            () => KeyState::Standby,
        }
    }

    /// Whether it signs now or will.
    fn is_to_sign(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state(now), KeyState::Standby | KeyState::Active)
    }
}

/// A key and whether its private bytes are still kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    pub key: SigningKey,
    pub has_private: bool,
}
