//! The plan: which keys to make, which to let begin sooner, and which private bytes to destroy. Pure; `services::rotate_signing_keys` applies it.

use chrono::{DateTime, Utc};

use super::intervention::{amend, amended, begun_early};
use super::{KeyLife, KeyPolicy, KeyRow, KeyState};
use crate::domain::region::Region;

/// One step, with its reason for the log and the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Create {
        generation: i64,
        life: KeyLife,
        reason: &'static str,
    },
    /// Refused when the life is another one by now.
    Amend {
        kid: String,
        from: KeyLife,
        to: KeyLife,
        reason: &'static str,
    },
    /// Drop the private bytes of a key that is gone.
    Destroy {
        kid: String,
        reason: &'static str,
    },
}

/// What must be done so that the region can sign now and a standby is published.
///
/// `rows` are those of all regions: a region that joins others must not sign before their validators know its key.
pub fn plan(rows: &[KeyRow], region: &Region, policy: &KeyPolicy, now: DateTime<Utc>) -> Vec<Step> {
    let mut steps = closed_gaps(rows, region, policy, now);
    let rows = amended(rows, &steps);
    let gone = rows
        .iter()
        .filter(|row| row.key.region == *region && row.has_private)
        .filter(|row| matches!(row.key.life.state(now), KeyState::Gone | KeyState::Revoked))
        .map(|row| Step::Destroy {
            kid: row.key.kid.clone(),
            reason: if row.key.life.revoked_at.is_some() {
                "revoked"
            } else {
                "no token that it signed can be alive"
            },
        });
    steps.extend(gone);
    let mut succession = Succession::of(&rows, region, now);
    while succession.is_due(policy, now) {
        let (generation, life, reason) = succession.next(policy, now);
        succession.generation = generation;
        succession.last = Some(life);
        steps.push(Step::Create { generation, life, reason });
    }
    steps
}

/// Generation and life of the key that an operator imports now.
pub fn next_key(rows: &[KeyRow], region: &Region, policy: &KeyPolicy, now: DateTime<Utc>) -> (i64, KeyLife) {
    let (generation, life, _) = Succession::of(rows, region, now).next(policy, now);
    (generation, life)
}

/// Keys wait for the end of the one before them. Where a revocation took that one away, even while they were being made,
/// they begin as soon as every validator has them.
fn closed_gaps(rows: &[KeyRow], region: &Region, policy: &KeyPolicy, now: DateTime<Utc>) -> Vec<Step> {
    let own = rows.iter().map(|row| &row.key).filter(|key| key.region == *region);
    let mut keys: Vec<_> = own.filter(|key| key.life.revoked_at.is_none()).collect();
    keys.sort_by_key(|key| key.life.sign_from);
    let (mut steps, mut end) = (Vec::new(), DateTime::<Utc>::MIN_UTC);
    for key in keys {
        let sign_from = (key.life.published_at + policy.lead).max(end);
        if key.life.state(now) == KeyState::Standby && sign_from < key.life.sign_from {
            steps.push(amend(key, begun_early(key.life, sign_from, policy), "no other key signs then"));
        }
        end = end.max(key.life.sign_until);
    }
    steps
}

/// What the next key follows.
struct Succession {
    /// The highest ever given; no number is given twice.
    generation: i64,
    /// The key that signs last of all that sign now or will.
    last: Option<KeyLife>,
    /// Some key of this region, or of any, may still be in a validator's memory.
    is_remembered: bool,
    union_is_remembered: bool,
    /// When the first key of all was published.
    founded_at: Option<DateTime<Utc>>,
}

impl Succession {
    fn of(rows: &[KeyRow], region: &Region, now: DateTime<Utc>) -> Self {
        let own = || rows.iter().map(|row| &row.key).filter(|key| key.region == *region);
        Self {
            generation: own().map(|key| key.generation).max().unwrap_or_default(),
            last: own()
                .map(|key| key.life)
                .filter(|life| life.is_to_sign(now))
                .max_by_key(|life| life.sign_until),
            is_remembered: own().any(|key| now < key.life.remove_at),
            union_is_remembered: rows.iter().any(|row| now < row.key.life.remove_at),
            founded_at: rows.iter().map(|row| row.key.life.published_at).min(),
        }
    }

    /// Before the last one begins to sign: a failed creation has a whole window of slack.
    fn is_due(&self, policy: &KeyPolicy, now: DateTime<Utc>) -> bool {
        self.last.is_none_or(|life| life.sign_from - policy.lead <= now)
    }

    fn next(&self, policy: &KeyPolicy, now: DateTime<Utc>) -> (i64, KeyLife, &'static str) {
        let (sign_from, reason) = match self.last {
            Some(last) => ((now + policy.lead).max(last.sign_until), "the next key is due"),
            // Nobody has a copy of anything that could lack it.
            None if self.generation == 0 && !self.union_is_remembered => {
                (now, "the first key of the first region")
            }
            None if self.founded_at.is_some_and(|at| now < at + policy.founding) => {
                (now + policy.least_lead(), "the region founds the deployment with others")
            }
            // Those who publish the union promise a whole lead, see `KeyPolicy::complete_for`.
            None if self.union_is_remembered && !self.is_remembered => {
                (now + policy.lead, "the region joins others")
            }
            None => (now + policy.least_lead(), "the region has no key to sign with"),
        };
        (self.generation + 1, next_life(now, sign_from, policy), reason)
    }
}

/// The life of a key published now that begins to sign at `sign_from`.
fn next_life(now: DateTime<Utc>, sign_from: DateTime<Utc>, policy: &KeyPolicy) -> KeyLife {
    let sign_until = sign_from + policy.window;
    KeyLife {
        published_at: now,
        sign_from,
        sign_until,
        remove_at: sign_until + policy.retire_after(),
        revoked_at: None,
    }
}
