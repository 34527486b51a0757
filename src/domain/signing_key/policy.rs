//! How long the phases of a key's life are, which lengths contradict one another, and for how long a copy of the keys is
//! safe to keep.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};

use super::SigningKey;
use crate::domain::region::Region;

/// Clock error that is tolerated between a replica and the database, in seconds.
pub const CLOCK_TOLERANCE_SECONDS: i64 = 5;
/// Until what is decided is written (30 s), and every replica that reaches the database has read it (5 s).
const PROPAGATION_SECONDS: i64 = 35;
/// How long the regions of a new deployment may take to start, before one that joins must wait the whole lead.
const FOUNDING_SECONDS: i64 = 3600;
/// From choosing a key to the last byte of the answer.
const ANSWER_SECONDS: i64 = 10;

/// The lengths of a key's phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPolicy {
    /// From publication to the first signature.
    pub lead: Duration,
    /// How long a key signs.
    pub window: Duration,
    /// `max-age` of the JWKS.
    pub jwks_max_age: Duration,
    /// The longest token life plus the leeway of gateways: how long a key is published after its last signature.
    pub longest_token: Duration,
    /// From looking at the clock to every replica of every region having what was decided by it.
    pub propagation: Duration,
    /// Clock error that is tolerated between a replica and the database.
    pub clock_error: Duration,
    /// After the first key of all: regions that join in this time wait the shortest lead, and nobody promises more.
    pub founding: Duration,
}

/// The lengths contradict one another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyPolicyError {
    #[error("keys.jwks_max_age_seconds must be 60 to 3600, not {0}")]
    MaxAge(i64),
    #[error(
        "keys.lead_seconds must be at least {least} (JWKS max-age, propagation and clock error), not {given}"
    )]
    Lead { given: i64, least: i64 },
    #[error(
        "keys.window_seconds must be at least {least} (twice the lead, four times the longest token life), not {given}"
    )]
    Window { given: i64, least: i64 },
}

impl KeyPolicy {
    /// The lengths that an operator decides, with those that follow from how the service is built.
    pub const fn new(
        lead: Duration,
        window: Duration,
        jwks_max_age: Duration,
        longest_token: Duration,
    ) -> Self {
        Self {
            lead,
            window,
            jwks_max_age,
            longest_token,
            propagation: Duration::seconds(PROPAGATION_SECONDS),
            clock_error: Duration::seconds(CLOCK_TOLERANCE_SECONDS),
            founding: Duration::seconds(FOUNDING_SECONDS),
        }
    }

    /// Refuses every set of lengths under which a gateway could meet an unknown kid.
    pub fn check(&self) -> Result<(), KeyPolicyError> {
        let max_age = self.jwks_max_age.num_seconds();
        if !(60..=3600).contains(&max_age) {
            return Err(KeyPolicyError::MaxAge(max_age));
        }
        let (given, least) = (self.lead.num_seconds(), self.least_lead().num_seconds());
        if given < least {
            return Err(KeyPolicyError::Lead { given, least });
        }
        let (given, least) =
            (self.window.num_seconds(), (self.lead * 2).max(self.longest_token * 4).num_seconds());
        if given < least {
            return Err(KeyPolicyError::Window { given, least });
        }
        Ok(())
    }

    /// The shortest lead under which no fresh copy of the JWKS lacks the key when it begins to sign.
    pub fn least_lead(&self) -> Duration {
        self.jwks_max_age + self.propagation + self.clock_error * 2
    }

    /// From a key's last signature to its removal.
    pub fn retire_after(&self) -> Duration {
        self.longest_token + Duration::seconds(ANSWER_SECONDS) + self.clock_error * 2
    }

    /// For how long after their reading these rows hold every key that can sign; no copy may be kept for longer.
    ///
    /// A key that is made without the reader's knowing signs no earlier than a lead after its maker looked at the clock:
    /// that was up to `propagation` before the key was written, and the clocks of its maker and of its signer may each be
    /// wrong. The lead is the whole one while every region has a key that signs or will, and the deployment is no longer
    /// being founded: only a region without one, or one that joins then, is given the shortest lawful lead, see
    /// [`super::plan`]. `age` is that of the reading.
    pub fn complete_for<'a>(
        &self,
        keys: impl Iterator<Item = &'a SigningKey> + Clone,
        age: Duration,
        now: DateTime<Utc>,
    ) -> Duration {
        let read_at = now - age;
        // Whoever joined unseen may have looked at its clock when it was still time.
        let founded = self.founding + self.propagation + self.clock_error * 2;
        let is_founded = keys
            .clone()
            .map(|key| key.life.published_at)
            .min()
            .is_some_and(|first| read_at >= first + founded);
        let mut regions: BTreeMap<&Region, bool> = BTreeMap::new();
        // A region that is forgotten by now may have come back before it was; rows older than a lead promise nothing.
        for key in keys.filter(|key| now < key.life.remove_at + self.lead) {
            // A younger one may be lost in a failover, and its region make another in a hurry.
            let is_settled = key.life.published_at + self.least_lead() <= read_at;
            *regions.entry(&key.region).or_default() |= is_settled && key.life.is_to_sign(now);
        }
        let is_whole = is_founded && !regions.is_empty() && regions.values().all(|has_key| *has_key);
        (if is_whole { self.lead } else { self.least_lead().min(self.lead) })
            - self.propagation
            - self.clock_error * 2
    }
}
