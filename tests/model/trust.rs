//! What validators may rely on: I1, I2, I3, I6, I8, I13.

use std::collections::BTreeMap;

use workspace_sts::domain::signing_key::{KeyRow, KeyState};

use super::database::{Kids, bit, number};
use super::facts::{Check, Commit, KeyFacts, Signature, Watch};
use super::fleet::{Fleet, index_of};
use super::lengths::{C, D, Millis, R, at, millis};
use super::replica::Answer;

/// Whether an answer may lack a key: only one that signs before its time because another was revoked, and then only
/// before it is known everywhere, or from a replica that was cut off when the key or the revocation was written.
fn may_lack(answer: &Answer, key: &KeyFacts, now: Millis) -> bool {
    key.emergency.is_some_and(|emergency| {
        let written = emergency.at.min(key.committed_at);
        let is_out_of_touch = answer.read_at <= emergency.at && answer.served_at > written + R;
        now < emergency.known_at || is_out_of_touch
    })
}

fn has(kids: Kids, kid: usize) -> bool {
    kids & (1 << kid) != 0
}

/// The tokens of a revoked key are to be refused, and a failover that forgets the revocation does not mend that. A key that
/// was lost is I12's matter, where it says why one may have signed.
fn is_excused(key: &KeyFacts) -> bool {
    key.was_revoked || key.is_lost
}

#[derive(Default)]
pub struct NoUnknownKid;

impl Watch for NoUnknownKid {
    fn instant(&mut self, fleet: &Fleet) -> Check {
        for (kid, key) in fleet.keys.iter().enumerate() {
            if fleet.now > key.tokens_end || is_excused(key) {
                continue;
            }
            for copy in fleet.validators.iter().filter_map(|validator| validator.copy.as_ref()) {
                if !copy.has(kid) && !may_lack(&copy.answer, key, fleet.now) {
                    return Err(format!(
                        "at {} a validator with {copy:?} lacks key {kid}: {key:?}",
                        fleet.now
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Every answer that anybody may still keep: of those of one replica that say the same, the last is fresh for longest.
#[derive(Default)]
pub struct PublishBeforeSign {
    fresh: BTreeMap<(usize, Kids, Millis), (Answer, Millis)>,
}

impl Watch for PublishBeforeSign {
    fn answered(&mut self, fleet: &Fleet) -> Check {
        self.fresh.retain(|_, (_, until)| *until > fleet.now);
        for answer in &fleet.answers {
            let until = answer.served_at + answer.max_age;
            self.fresh.insert((answer.replica, answer.kids, answer.read_at), (*answer, until));
        }
        Ok(())
    }

    fn signed(&mut self, fleet: &Fleet, signature: &Signature) -> Check {
        let (kid, now) = (signature.kid, fleet.now);
        let key = &fleet.keys[kid];
        for (answer, until) in self.fresh.values().filter(|(_, until)| now < *until) {
            if !has(answer.kids, kid) && !is_excused(key) && !may_lack(answer, key, now) {
                return Err(format!(
                    "{kid} signs at {now} by {signature:?}, and {answer:?} without it is fresh until {until}: {key:?}"
                ));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct RetireAfter;

impl RetireAfter {
    /// Whether what a replica knows and does not show is still needed.
    fn check(fleet: &Fleet) -> Check {
        for answer in &fleet.answers {
            let rows = fleet.replicas[answer.replica].ring.as_ref().map(|ring| ring.rows.clone());
            for row in rows.iter().flat_map(|rows| rows.iter()) {
                let kid = number(row);
                let Some(signed) = fleet.keys[kid].last_signed else { continue };
                let needed_until = signed + D + fleet.lengths.token_life();
                let is_dropped = !has(answer.kids, kid) && row.key.life.revoked_at.is_none();
                if is_dropped && fleet.now < needed_until {
                    return Err(format!(
                        "at {} replica {} shows {kid} no more, which signed at {signed}",
                        fleet.now, answer.replica
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Watch for RetireAfter {
    fn instant(&mut self, fleet: &Fleet) -> Check {
        Self::check(fleet)
    }
}

#[derive(Default)]
pub struct Orderly {
    interventions: Vec<Millis>,
    outages: Vec<Millis>,
}

impl Watch for Orderly {
    fn committed(&mut self, fleet: &Fleet, commit: &Commit) -> Check {
        if commit.is_intervention {
            self.interventions.push(fleet.now);
        }
        for row in fleet.database.rows().iter() {
            let Some(before) = commit.before.iter().find(|before| before.key.kid == row.key.kid) else {
                continue;
            };
            let (was, is) = (before.key.life, row.key.life);
            let is_earlier = is.published_at == was.published_at
                && is.sign_from <= was.sign_from
                && is.sign_until <= was.sign_until
                && is.remove_at <= was.remove_at
                && (was.revoked_at.is_none() || is.revoked_at == was.revoked_at);
            let revoked = &fleet.regions[index_of(&row.key.region)].revoked;
            let may_change = commit.is_intervention || !revoked.is_empty();
            if !is_earlier || (was != is && !may_change) {
                return Err(format!("a life went from {was:?} to {is:?}"));
            }
        }
        Ok(())
    }

    fn failed_over(&mut self, fleet: &Fleet, _: &[usize]) -> Check {
        self.outages.push(fleet.now);
        Ok(())
    }

    fn answered(&mut self, fleet: &Fleet) -> Check {
        if !fleet.database.is_up {
            self.outages.push(fleet.now);
        }
        // Keys that began before their time keep the removal that they had: the last of them a window after its successor's.
        let steady_since = fleet.now - 3 * fleet.lengths.window() - fleet.retire_after();
        let is_steady =
            self.interventions.iter().chain(&self.outages).all(|disturbed| *disturbed < steady_since);
        for answer in &fleet.answers {
            let replica = &fleet.replicas[answer.replica];
            let Some(ring) = &replica.ring else { continue };
            if answer.kids == 0 && replica.able_since.is_some_and(|since| since + R < fleet.now) {
                return Err(format!("at {} the JWKS of replica {} is empty", fleet.now, answer.replica));
            }
            let shown: Vec<&KeyRow> = ring.rows.iter().filter(|row| answer.kids & bit(row) != 0).collect();
            let mut distinct: Vec<_> = shown.iter().map(|row| &row.key.kid).collect();
            distinct.dedup();
            let own = shown.iter().filter(|row| row.key.region == replica.region).count();
            if distinct.len() != shown.len() || (is_steady && own > 4) {
                return Err(format!(
                    "{own} keys of {} are shown in the steady state: {shown:?}",
                    replica.region
                ));
            }
            let back = shown.iter().find(|row| row.key.life.remove_at <= at(fleet.now - C));
            if let Some(back) = back {
                return Err(format!("{back:?} is shown at {}, after its removal", fleet.now));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct BoundedMaxAge;

impl Watch for BoundedMaxAge {
    fn answered(&mut self, fleet: &Fleet) -> Check {
        for answer in &fleet.answers {
            let policy = &fleet.lengths.policy;
            let safe_for = answer.read_at + millis(policy.lead) - C - fleet.now;
            let most = safe_for.min(millis(policy.jwks_max_age)).max(0);
            if answer.max_age > most {
                return Err(format!("at {} {answer:?} may be kept for longer than {most} ms", fleet.now));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct WholeUnion;

impl Watch for WholeUnion {
    fn answered(&mut self, fleet: &Fleet) -> Check {
        let rows = fleet.database.rows();
        for answer in &fleet.answers {
            let replica = &fleet.replicas[answer.replica];
            // Whoever reached the database for a while has what it held for a while.
            let Some(since) = replica.able_since else { continue };
            for row in rows.iter() {
                let (kid, life) = (number(row), row.key.life);
                let is_known =
                    since.max(fleet.failed_over_at).max(fleet.keys[kid].committed_at) + R < fleet.now;
                let is_needed = life.revoked_at.is_none() && at(fleet.now + C) < life.remove_at;
                if is_known
                    && is_needed
                    && !has(answer.kids, kid)
                    && life.state(at(fleet.now)) != KeyState::Gone
                {
                    return Err(format!("at {} {answer:?} lacks {kid} of {}", fleet.now, row.key.region));
                }
            }
        }
        Ok(())
    }
}
