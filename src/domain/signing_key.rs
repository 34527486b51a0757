//! Signing keys: immutable rows whose state is a function of time, and the plan that makes the next ones.
//!
//! Nothing announces a switch: each replica computes states from the rows and the clock, so all switch together.
//! A key is published at least one lead before it may sign, so no validator that honours `max-age` meets an
//! unknown kid.

use chrono::{DateTime, Duration, Utc};

use super::region::Region;

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

/// One key's life. Never changed after it was written, save by revocation.
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
            () if self.revoked_at.is_some_and(|at| at <= now) => KeyState::Revoked,
            () if now >= self.remove_at => KeyState::Gone,
            () if now >= self.sign_until => KeyState::Retiring,
            () if now >= self.sign_from => KeyState::Active,
            () => KeyState::Standby,
        }
    }
}

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
}

/// Clock error that is tolerated between replicas and database, and the reach of a change (seconds).
pub const CLOCK_TOLERANCE_SECONDS: i64 = 5;
const PROPAGATION_SECONDS: i64 = 35;
const ANSWER_SECONDS: i64 = 10;

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
        self.jwks_max_age + Duration::seconds(PROPAGATION_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS)
    }

    /// From a key's last signature to its removal.
    pub fn retire_after(&self) -> Duration {
        self.longest_token + Duration::seconds(ANSWER_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS)
    }
}

/// One step of the plan, with its reason for the log and the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Create {
        generation: i64,
        life: KeyLife,
        reason: &'static str,
    },
    /// Drop the private bytes of a key that is gone.
    Destroy {
        kid: String,
        reason: &'static str,
    },
}

/// What must be done so that the region can sign now and a standby is published. Pure; applied elsewhere.
///
/// `has_private` tells whether a key's private bytes are still kept.
pub fn plan(keys: &[(SigningKey, bool)], policy: &KeyPolicy, now: DateTime<Utc>) -> Vec<Step> {
    let mut steps: Vec<Step> = keys
        .iter()
        .filter(|(key, has_private)| *has_private && matches!(key.life.state(now), KeyState::Gone))
        .map(|(key, _)| Step::Destroy { kid: key.kid.clone(), reason: "its last token has expired" })
        .collect();
    let mut newest =
        keys.iter().map(|(key, _)| (key.generation, key.life)).max_by_key(|(generation, _)| *generation);
    let can_sign = keys.iter().any(|(key, _)| key.life.state(now) == KeyState::Active);
    loop {
        let (generation, life, reason) = match newest {
            None => (1, next_life(now, now, policy), "the region has no key yet"),
            // Due before its predecessor begins to sign: a failed creation has a whole window of slack.
            Some((generation, life)) if life.sign_from - policy.lead <= now => {
                let lead = if can_sign || life.sign_from > now || keys.is_empty() {
                    policy.lead
                } else {
                    policy.least_lead()
                };
                (
                    generation + 1,
                    next_life(now, (now + lead).max(life.sign_until), policy),
                    "the next key is due",
                )
            }
            Some(_) => return steps,
        };
        newest = Some((generation, life));
        steps.push(Step::Create { generation, life, reason });
    }
}

/// The life of a key published now that begins to sign at `sign_from`.
pub fn next_life(now: DateTime<Utc>, sign_from: DateTime<Utc>, policy: &KeyPolicy) -> KeyLife {
    let sign_until = sign_from + policy.window;
    KeyLife {
        published_at: now,
        sign_from,
        sign_until,
        remove_at: sign_until + policy.retire_after(),
        revoked_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> KeyPolicy {
        KeyPolicy {
            lead: Duration::hours(24),
            window: Duration::days(30),
            jwks_max_age: Duration::seconds(300),
            longest_token: Duration::seconds(43_260),
        }
    }

    fn tick(keys: &mut Vec<(SigningKey, bool)>, now: DateTime<Utc>) {
        for step in plan(keys, &policy(), now) {
            match step {
                Step::Create { generation, life, .. } => keys.push((
                    SigningKey {
                        kid: format!("kid-{generation}"),
                        region: Region::parse("local").expect("lawful"),
                        generation,
                        algorithm: SigningAlgorithm::Es256,
                        life,
                    },
                    true,
                )),
                Step::Destroy { kid, .. } => {
                    keys.iter_mut()
                        .filter(|(key, _)| key.kid == kid)
                        .for_each(|(_, private)| *private = false);
                }
            }
        }
    }

    #[test]
    fn the_first_start_makes_an_active_key_and_a_standby() {
        let (now, mut keys) = (DateTime::UNIX_EPOCH, Vec::new());
        tick(&mut keys, now);
        let states: Vec<_> = keys.iter().map(|(key, _)| key.life.state(now)).collect();
        assert_eq!(states, [KeyState::Active, KeyState::Standby]);
        assert!(plan(&keys, &policy(), now).is_empty(), "a second plan finds nothing to do");
    }

    #[test]
    fn a_year_of_ticks_never_lacks_an_active_key_or_a_published_standby() {
        let (mut now, mut keys) = (DateTime::UNIX_EPOCH, Vec::new());
        for _ in 0..(366 * 24) {
            tick(&mut keys, now);
            let active = keys.iter().filter(|(key, _)| key.life.state(now) == KeyState::Active).count();
            let standby = keys.iter().filter(|(key, _)| key.life.state(now) == KeyState::Standby).count();
            assert_eq!((active, standby >= 1), (1, true), "at {now}");
            for (key, private) in &keys {
                assert!(key.generation == 1 || key.life.sign_from - key.life.published_at >= policy().lead);
                assert_eq!(*private, key.life.state(now) != KeyState::Gone);
            }
            now += Duration::hours(1);
        }
    }

    #[test]
    fn after_a_long_absence_the_shortest_lawful_lead_is_used() {
        let (mut now, mut keys) = (DateTime::UNIX_EPOCH, Vec::new());
        tick(&mut keys, now);
        now += Duration::days(400);
        tick(&mut keys, now);
        now += policy().least_lead();
        assert!(keys.iter().any(|(key, _)| key.life.state(now) == KeyState::Active));
    }

    #[test]
    fn contradictory_lengths_are_refused() {
        let lead = KeyPolicy { lead: Duration::seconds(344), ..policy() };
        assert_eq!(lead.check(), Err(KeyPolicyError::Lead { given: 344, least: 345 }));
        assert_eq!(KeyPolicy { lead: Duration::seconds(345), ..policy() }.check(), Ok(()));
        assert!(KeyPolicy { window: Duration::hours(47), ..policy() }.check().is_err());
        assert!(KeyPolicy { jwks_max_age: Duration::seconds(59), ..policy() }.check().is_err());
    }
}
