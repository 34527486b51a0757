//! What an operator may do to keys: revoke one in an emergency, or let the standby take over before its time. Pure, like
//! the plan; one transaction writes all steps.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{KeyLife, KeyPolicy, KeyRow, KeyState, SigningKey, Step, plan};
use crate::domain::region::Region;

/// Steps that belong together, and what comes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intervention {
    pub steps: Vec<Step>,
    pub aftermath: Aftermath,
}

/// Who signs afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aftermath {
    /// The key that signed before, if one did.
    Unchanged,
    /// The successor, at once. Before `known_at` some validator may hold a fresh copy of the JWKS without it, and refuse
    /// its tokens.
    Successor { kid: String, known_at: DateTime<Utc> },
    /// Nobody until then; `None` when that depends on an import, or on the worker of another region.
    Nobody { until: Option<DateTime<Utc>> },
}

/// Why a key is not revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CantRevoke {
    #[error("there is no signing key `{0}`: `wsts keys list` shows them")]
    Unknown(String),
    #[error("signing key `{kid}` was revoked at {at} already", kid = .0, at = second(.1))]
    Revoked(String, DateTime<Utc>),
    #[error("signing key `{0}` is gone: no validator takes it any more")]
    Gone(String),
}

/// Why the standby does not take over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CantRotate {
    #[error("no signing key is active, so there is none to take over from")]
    NoActive,
    #[error("there is no standby to take over: the worker makes one, or import one with `wsts keys import`")]
    NoStandby,
    #[error(
        "the standby was published at {} and may sign from {} on, when every validator has it; to end a compromised key at once, revoke it",
        second(.published_at), second(.possible_from)
    )]
    TooSoon { published_at: DateTime<Utc>, possible_from: DateTime<Utc> },
}

/// Takes a key out of the JWKS and destroys its private bytes; the next in line takes its place.
///
/// `rows` are those of all regions, and the key may be any of theirs. `maker` is the region whose missing keys are made
/// with it, `None` where keys are imported.
pub fn revoke(
    rows: &[KeyRow],
    kid: &str,
    maker: Option<&Region>,
    policy: &KeyPolicy,
    now: DateTime<Utc>,
) -> Result<Intervention, CantRevoke> {
    let row =
        rows.iter().find(|row| row.key.kid == kid).ok_or_else(|| CantRevoke::Unknown(kid.to_owned()))?;
    let life = row.key.life;
    let state = life.state(now);
    match (life.revoked_at, state) {
        (Some(at), _) => return Err(CantRevoke::Revoked(kid.to_owned(), at)),
        (None, KeyState::Gone) => return Err(CantRevoke::Gone(kid.to_owned())),
        (None, _) => {}
    }
    let mut steps = vec![amend(&row.key, KeyLife { revoked_at: Some(now), ..life }, "revoked")];
    let next = successor(rows, &row.key, now);
    if let (KeyState::Active, Some(next)) = (state, next) {
        // Whether every validator has it or not: a compromised key must not sign on. By every clock that is tolerated, or
        // the slow ones would have none to sign with; yet not before the revoked one, or they would have two.
        let sign_from = (now - policy.clock_error * 2).max(next.life.published_at).max(life.sign_from);
        let to = begun_early(next.life, sign_from, policy);
        steps.push(amend(next, to, "takes the place of a revoked key"));
    }
    let after = amended(rows, &steps);
    if let Some(region) = maker.filter(|region| **region == row.key.region) {
        steps.extend(plan(&after, region, policy, now));
    } else {
        steps.push(Step::Destroy { kid: kid.to_owned(), reason: "revoked" });
    }
    let aftermath = match (state, next) {
        (KeyState::Active, Some(next)) => successor_signs(next, policy),
        (KeyState::Active, None) => Aftermath::Nobody { until: steps.iter().find_map(created_to_sign_from) },
        _ => Aftermath::Unchanged,
    };
    Ok(Intervention { steps, aftermath })
}

/// Lets the standby of a region take over now. The key that signed before stays published for its tokens.
pub fn rotate(
    rows: &[KeyRow],
    region: &Region,
    maker: Option<&Region>,
    policy: &KeyPolicy,
    now: DateTime<Utc>,
) -> Result<Intervention, CantRotate> {
    let active = rows
        .iter()
        .map(|row| &row.key)
        .filter(|key| key.region == *region && key.life.state(now) == KeyState::Active)
        .max_by_key(|key| key.generation)
        .ok_or(CantRotate::NoActive)?;
    let next = successor(rows, active, now).ok_or(CantRotate::NoStandby)?;
    let published_at = next.life.published_at;
    // The whole lead: a replica that is cut off promises that much to whoever asks it for the JWKS.
    let possible_from = published_at + policy.lead;
    if now < possible_from {
        return Err(CantRotate::TooSoon { published_at, possible_from });
    }
    // `remove_at` stays: a replica that is cut off signs with it a while longer.
    let mut steps = vec![
        amend(active, KeyLife { sign_until: now, ..active.life }, "rotated before its time"),
        amend(next, begun_early(next.life, now, policy), "takes over before its time"),
    ];
    if let Some(region) = maker.filter(|maker| *maker == region) {
        steps.extend(plan(&amended(rows, &steps), region, policy, now));
    }
    Ok(Intervention { steps, aftermath: successor_signs(next, policy) })
}

/// A standby that begins before its time signs for as long as any other key. Its removal stays, for a failover may lose
/// this, and who has read it must not drop a key that signs on.
pub(super) fn begun_early(life: KeyLife, sign_from: DateTime<Utc>, policy: &KeyPolicy) -> KeyLife {
    KeyLife { sign_from, sign_until: life.sign_until.min(sign_from + policy.window), ..life }
}

fn second(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The key of the same region that signs next, made and not revoked.
fn successor<'a>(rows: &'a [KeyRow], key: &SigningKey, now: DateTime<Utc>) -> Option<&'a SigningKey> {
    rows.iter()
        .map(|row| &row.key)
        .filter(|other| other.region == key.region && other.kid != key.kid)
        .filter(|other| {
            other.life.state(now) == KeyState::Standby && other.life.sign_from >= key.life.sign_from
        })
        .min_by_key(|other| (other.life.sign_from, other.generation))
}

fn successor_signs(next: &SigningKey, policy: &KeyPolicy) -> Aftermath {
    Aftermath::Successor { kid: next.kid.clone(), known_at: next.life.published_at + policy.least_lead() }
}

pub(super) fn amend(key: &SigningKey, to: KeyLife, reason: &'static str) -> Step {
    Step::Amend { kid: key.kid.clone(), from: key.life, to, reason }
}

fn created_to_sign_from(step: &Step) -> Option<DateTime<Utc>> {
    match step {
        Step::Create { life, .. } => Some(life.sign_from),
        Step::Amend { .. } | Step::Destroy { .. } => None,
    }
}

/// The rows with their new lives.
pub(super) fn amended(rows: &[KeyRow], steps: &[Step]) -> Vec<KeyRow> {
    let mut rows = rows.to_vec();
    for step in steps {
        if let Step::Amend { kid, to, .. } = step
            && let Some(row) = rows.iter_mut().find(|row| row.key.kid == *kid)
        {
            row.key.life = *to;
        }
    }
    rows
}
