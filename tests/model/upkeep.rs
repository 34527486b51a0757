//! What the region must keep in order, and what a replica may do: I4, I5, I7, I9, I11, I12, I14.

use std::collections::BTreeSet;

use workspace_sts::domain::signing_key::{KeyRow, KeyState, plan};

use super::database::number;
use super::facts::{Check, Commit, Signature, Watch};
use super::fleet::{Fleet, region};
use super::lengths::{C, Millis, POLL, R, SECOND, at, millis};

#[derive(Default)]
pub struct OneActive;

impl OneActive {
    /// Why a region may lack something that a look after `from` would have made by `until`: nobody looked then.
    fn is_unattended(fleet: &Fleet, index: usize, from: Millis, until: Millis) -> bool {
        !fleet.regions[index].tended.iter().any(|at| (from..=until).contains(at))
    }

    /// Since the last intervention of a kind somebody has looked, and this much time has passed.
    fn is_over(fleet: &Fleet, index: usize, since: Option<&Millis>, passed: Millis) -> bool {
        since.is_none_or(|since| {
            fleet.regions[index].tended.iter().any(|at| at > since && at + passed <= fleet.now)
        })
    }

    fn check(fleet: &Fleet, index: usize) -> Check {
        let rows = fleet.rows_of(index);
        let Some(first) = rows.first().map(|row| row.key.life) else { return Ok(()) };
        let (now, clock) = (fleet.now, at(fleet.now));
        let of = |state| rows.iter().filter(move |row| row.key.life.state(clock) == state);
        let (active, lead) = (of(KeyState::Active).count(), fleet.lengths.lead());
        if active > 1 {
            return Err(format!("at {now} {active} keys of {} are active: {rows:?}", region(index)));
        }
        let facts = &fleet.regions[index];
        let has_begun = first.sign_from.timestamp_millis() + C <= now;
        let revoked = facts.revoked.last();
        if active == 0 && has_begun && Self::is_over(fleet, index, revoked, lead + C) {
            let ended = rows.iter().rev().map(|row| row.key.life).find(|life| life.sign_until <= clock);
            let due = ended.map_or(now - lead, |life| life.sign_from.timestamp_millis() - lead + C);
            if !Self::is_unattended(fleet, index, due, now - lead - C) {
                return Err(format!("at {now} no key of {} is active: {rows:?}", region(index)));
            }
        }
        let ready = fleet.lengths.max_age() + C;
        let intervened = revoked.max(facts.rotated.last());
        if let Some(active) = of(KeyState::Active).next_back()
            && Self::is_over(fleet, index, intervened, ready)
        {
            let is_old =
                |row: &&KeyRow| fleet.keys[number(row)].committed_at + fleet.lengths.max_age() <= now;
            let due = active.key.life.sign_from.timestamp_millis() - lead + C;
            if !of(KeyState::Standby).any(|row| is_old(&row))
                && !Self::is_unattended(fleet, index, due, now - ready)
            {
                return Err(format!("at {now} {} has no standby that is known: {rows:?}", region(index)));
            }
        }
        Ok(())
    }
}

impl Watch for OneActive {
    fn instant(&mut self, fleet: &Fleet) -> Check {
        Self::check(fleet, 0)?;
        Self::check(fleet, 1)
    }
}

#[derive(Default)]
pub struct InTime;

impl Watch for InTime {
    fn signed(&mut self, fleet: &Fleet, signature: &Signature) -> Check {
        let (now, life) = (fleet.now, signature.row.key.life);
        let replica = &fleet.replicas[signature.replica];
        if at(now + C) < life.sign_from || at(now - C) >= life.sign_until {
            return Err(format!("outside the window at {now}: {signature:?}"));
        }
        if life.revoked_at.is_some() {
            return Err(format!("revoked, known to be, and signs at {now}: {signature:?}"));
        }
        if now - replica.contact_at > fleet.lengths.grace {
            return Err(format!("without the database for too long at {now}: {signature:?}"));
        }
        let amended = fleet.database.amended_after(signature.kid, signature.read_at);
        if let (Some(amended), Some(able)) = (amended, replica.able_since)
            && now > amended.max(able) + R
        {
            return Err(format!("amended at {amended}, able since {able}, signs at {now}: {signature:?}"));
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct NoCollision;

impl NoCollision {
    fn generations(fleet: &Fleet, index: usize) -> Check {
        let generations: Vec<_> = fleet.rows_of(index).iter().map(|row| row.key.generation).collect();
        let expected: Vec<_> = (1..).take(generations.len()).collect();
        if generations == expected {
            return Ok(());
        }
        Err(format!("at {} the generations of {} are {generations:?}", fleet.now, region(index)))
    }
}

impl Watch for NoCollision {
    fn committed(&mut self, fleet: &Fleet, _: &Commit) -> Check {
        Self::generations(fleet, 0)?;
        Self::generations(fleet, 1)
    }

    fn settled(&mut self, fleet: &Fleet) -> Check {
        let rows = fleet.database.rows();
        for (by, replica) in fleet.replicas.iter().enumerate() {
            let clock = at(fleet.now - POLL - SECOND + replica.offset.min(0) * 2);
            let left = plan(&rows, &replica.region, &fleet.lengths.policy, clock);
            if !left.is_empty() {
                return Err(format!("replica {by} is healed and left {left:?} undone"));
            }
            let index = usize::from(by > 1);
            if fleet.count(index, KeyState::Active) + fleet.count(index, KeyState::Standby) < 2 {
                return Err(format!("replica {by} is healed and {} lacks keys", replica.region));
            }
        }
        Ok(())
    }
}

/// What became of a region in the end: of each generation that is older than a moment, when it signs and ends.
#[derive(Default)]
pub struct End(pub Vec<(i64, [Millis; 3])>);

impl Watch for End {
    fn settled(&mut self, fleet: &Fleet) -> Check {
        let old = |row: &KeyRow| fleet.keys[number(row)].committed_at + 30 * SECOND < fleet.now;
        let rows = fleet.rows_of(0).into_iter().filter(old);
        let instants = |row: KeyRow| {
            let life = row.key.life;
            let times = [life.sign_from, life.sign_until, life.remove_at];
            (row.key.generation, times.map(|time| time.timestamp_millis()))
        };
        self.0 = rows.map(instants).collect();
        Ok(())
    }
}

#[derive(Default)]
pub struct TokensEndFirst;

impl Watch for TokensEndFirst {
    fn signed(&mut self, fleet: &Fleet, signature: &Signature) -> Check {
        let remove_at = signature.row.key.life.remove_at;
        let end = signature.exp.map(|exp| (exp + i64::from(fleet.lengths.leeway)) * SECOND);
        if end.is_some_and(|end| at(end) <= remove_at) {
            return Ok(());
        }
        Err(format!("at {} the mint said {:?} under {:?}", fleet.now, signature.exp, signature.row))
    }
}

#[derive(Default)]
pub struct PrivateBytes;

impl Watch for PrivateBytes {
    fn instant(&mut self, fleet: &Fleet) -> Check {
        for row in fleet.database.rows().iter() {
            let (life, tended) =
                (row.key.life, &fleet.regions[usize::from(row.key.region == region(1))].tended);
            let gone_at = life.remove_at.timestamp_millis();
            let is_gone = life.revoked_at.is_some() || gone_at - C <= fleet.now;
            if !row.has_private && !is_gone {
                return Err(format!("at {} {row:?} has lost what signs", fleet.now));
            }
            // Looking after the removal by any clock and leaving them.
            let was_seen = tended.last().is_some_and(|tended| *tended >= gone_at + C);
            if row.has_private && (was_seen || life.revoked_at.is_some()) {
                return Err(format!("at {} {row:?} still has its private bytes", fleet.now));
            }
        }
        Ok(())
    }
}

/// Two kinds of keys sign without a whole lead behind them, so that a failover may lose one that signs: the very first one
/// of a service (which the model never loses), and the one of a region that had none to sign with.
#[derive(Default)]
pub struct LostKeys {
    signed: BTreeSet<usize>,
    lost: BTreeSet<usize>,
}

impl LostKeys {
    fn has_whole_lead(fleet: &Fleet, kid: usize) -> bool {
        let life = fleet.keys[kid].life;
        millis(life.sign_from - life.published_at) >= fleet.lengths.lead()
    }
}

impl Watch for LostKeys {
    fn failed_over(&mut self, fleet: &Fleet, lost: &[usize]) -> Check {
        self.lost.extend(lost);
        let signed = lost.iter().find(|kid| self.signed.contains(kid) && Self::has_whole_lead(fleet, **kid));
        signed.map_or(Ok(()), |kid| {
            Err(format!("key {kid} signed, and a failover lost it: {:?}", fleet.keys[*kid]))
        })
    }

    fn signed(&mut self, fleet: &Fleet, signature: &Signature) -> Check {
        self.signed.insert(signature.kid);
        if self.lost.contains(&signature.kid) && Self::has_whole_lead(fleet, signature.kid) {
            return Err(format!("key {} was lost and signs at {}: {signature:?}", signature.kid, fleet.now));
        }
        Ok(())
    }

    fn answered(&mut self, fleet: &Fleet) -> Check {
        for answer in &fleet.answers {
            let able = fleet.replicas[answer.replica].able_since;
            let is_told = able.is_some_and(|since| since.max(fleet.failed_over_at) + R < fleet.now);
            if is_told && self.lost.iter().any(|kid| answer.kids & (1 << kid) != 0) {
                return Err(format!("at {} {answer:?} shows a key that was lost", fleet.now));
            }
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct WrongClock;

impl Watch for WrongClock {
    fn committed(&mut self, fleet: &Fleet, commit: &Commit) -> Check {
        if commit.offset.abs() <= C {
            return Ok(());
        }
        Err(format!("at {} replica {} decided by a clock {} ms off", fleet.now, commit.by, commit.offset))
    }

    fn signed(&mut self, fleet: &Fleet, signature: &Signature) -> Check {
        let offset = fleet.replicas[signature.replica].offset;
        if offset.abs() <= C {
            return Ok(());
        }
        Err(format!("at {} a clock {offset} ms off signs: {signature:?}", fleet.now))
    }

    fn answered(&mut self, fleet: &Fleet) -> Check {
        for answer in &fleet.answers {
            let replica = &fleet.replicas[answer.replica];
            if replica.offset.abs() > C && replica.is_ready(answer) {
                return Err(format!("at {} replica {} is ready", fleet.now, answer.replica));
            }
        }
        Ok(())
    }
}
