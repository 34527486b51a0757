//! How long a token lives and when its holder should come back.

use serde::{Deserialize, Serialize};

/// Why a number of seconds is no lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LifetimeError {
    #[error("a token lifetime is {min} to {max} seconds, not {0}", min = TokenLifetime::MIN_SECONDS, max = TokenLifetime::MAX_SECONDS)]
    OutOfRange(u32),
    #[error("a requested lifetime is at least {min} seconds, not {0}", min = TokenLifetime::MIN_REQUESTED_SECONDS)]
    RequestTooShort(u32),
}

/// Life of a webservice's tokens in seconds: 900 (15 min) to 43,200 (12 h).
///
/// The lower bound is what MSAL asks of an issuer: tokens with 300 s or less left are never re-used by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TokenLifetime(u32);

impl TokenLifetime {
    pub const MIN_SECONDS: u32 = 900;
    pub const MAX_SECONDS: u32 = 12 * 3600;
    /// What a caller may shorten a life to.
    pub const MIN_REQUESTED_SECONDS: u32 = 60;
    pub const DEFAULT: Self = Self(3600);

    pub fn from_seconds(seconds: u32) -> Result<Self, LifetimeError> {
        if (Self::MIN_SECONDS..=Self::MAX_SECONDS).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(LifetimeError::OutOfRange(seconds))
        }
    }

    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The life of one token: a caller can shorten it, never stretch it.
    pub fn shortened(self, requested: Option<u32>) -> Result<u32, LifetimeError> {
        match requested {
            Some(seconds) if seconds < Self::MIN_REQUESTED_SECONDS => {
                Err(LifetimeError::RequestTooShort(seconds))
            }
            Some(seconds) => Ok(seconds.min(self.0)),
            None => Ok(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for TokenLifetime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_seconds(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Seconds after `iat` at which to fetch the next token: `life · (0.5 + 0.3·u)`.
///
/// `u` is uniform in [0, 1), so that a fleet started together does not come back together.
pub fn refresh_after(life_seconds: u32, u: f64) -> u32 {
    let share = 0.5 + 0.3 * u.clamp(0.0, 1.0);
    // At most 0.8 of a u32, never negative: the cast can't wrap.
    (f64::from(life_seconds) * share) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_shortens_and_never_stretches() {
        let life = TokenLifetime::DEFAULT;
        assert_eq!(life.shortened(None), Ok(3600));
        assert_eq!(life.shortened(Some(600)), Ok(600));
        assert_eq!(life.shortened(Some(1_000_000)), Ok(3600));
        assert_eq!(life.shortened(Some(59)), Err(LifetimeError::RequestTooShort(59)));
    }

    proptest::proptest! {
        #[test]
        fn refresh_lies_between_half_and_four_fifths(life in 60_u32..=43_200, u in 0.0_f64..1.0) {
            let after = refresh_after(life, u);
            proptest::prop_assert!(after >= life / 2 && f64::from(after) <= f64::from(life) * 0.8);
        }
    }
}
