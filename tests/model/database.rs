//! The database: rows of keys, one transaction after another, and a standby of it that may lack the last ones.

use std::rc::Rc;

use workspace_sts::domain::region::Region;
use workspace_sts::domain::signing_key::{KeyRow, SigningAlgorithm, SigningKey, Step};

use super::lengths::Millis;

/// A set of kids; the model numbers keys from 0 and makes fewer than 128.
pub type Kids = u128;

pub fn number(row: &KeyRow) -> usize {
    row.key.kid.parse().expect("kids of the model are numbers")
}

pub fn bit(row: &KeyRow) -> Kids {
    1 << number(row)
}

/// The state after a transaction.
#[derive(Debug, Clone)]
pub struct State {
    pub committed_at: Millis,
    pub rows: Rc<Vec<KeyRow>>,
    /// Kids whose lives were amended, and whether that was a revocation.
    pub amended: Vec<(usize, bool)>,
}

/// Why a transaction was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// `unique (region, generation)`.
    Conflict,
    /// The life is another one by now.
    Stale,
    /// `CHECK (published_at <= sign_from AND sign_from < sign_until AND sign_until < remove_at)`.
    Check,
}

#[derive(Debug)]
pub struct Database {
    pub is_up: bool,
    log: Vec<State>,
    made: usize,
}

impl Database {
    pub fn empty(now: Millis) -> Self {
        let state = State { committed_at: now, rows: Rc::default(), amended: Vec::new() };
        Self { is_up: true, log: vec![state], made: 0 }
    }

    pub fn rows(&self) -> Rc<Vec<KeyRow>> {
        Rc::clone(&self.newest().rows)
    }

    pub fn newest(&self) -> &State {
        self.log.last().expect("the empty state is never lost")
    }

    /// When a life was amended first after somebody read it.
    pub fn amended_after(&self, kid: usize, read_at: Millis) -> Option<Millis> {
        let later = self.log.iter().filter(|state| state.committed_at > read_at);
        later
            .filter(|state| state.amended.iter().any(|(other, _)| *other == kid))
            .map(|s| s.committed_at)
            .next()
    }

    /// All steps or none. Returns the keys that were made.
    pub fn commit(&mut self, region: &Region, steps: &[Step], now: Millis) -> Result<Vec<KeyRow>, Refused> {
        let (mut rows, mut amended) = (Vec::clone(&self.rows()), Vec::new());
        let mut created = Vec::new();
        for step in steps {
            match step {
                Step::Create { generation, life, .. } => {
                    let taken = |row: &KeyRow| row.key.region == *region && row.key.generation == *generation;
                    if rows.iter().any(taken) {
                        return Err(Refused::Conflict);
                    }
                    let (kid, algorithm) = ((self.made + created.len()).to_string(), SigningAlgorithm::Es256);
                    let (region, generation, life) = (region.clone(), *generation, *life);
                    let key = SigningKey { kid, region, generation, algorithm, life };
                    rows.push(KeyRow { key: key.clone(), has_private: true });
                    created.push(KeyRow { key, has_private: true });
                }
                Step::Amend { kid, from, to, .. } => {
                    let row = rows.iter_mut().find(|row| row.key.kid == *kid).ok_or(Refused::Stale)?;
                    if row.key.life != *from {
                        return Err(Refused::Stale);
                    }
                    row.key.life = *to;
                    amended.push((number(row), to.revoked_at != from.revoked_at));
                }
                Step::Destroy { kid, .. } => {
                    let row = rows.iter_mut().find(|row| row.key.kid == *kid).ok_or(Refused::Stale)?;
                    row.has_private = false;
                }
            }
        }
        let is_lawful = |row: &KeyRow| {
            let life = row.key.life;
            life.published_at <= life.sign_from
                && life.sign_from < life.sign_until
                && life.sign_until < life.remove_at
        };
        if !rows.iter().all(is_lawful) {
            return Err(Refused::Check);
        }
        rows.sort_by(|a, b| (&a.key.region, a.key.generation).cmp(&(&b.key.region, b.key.generation)));
        self.made += created.len();
        assert!(self.made < 128, "more keys than the model counts");
        self.log.push(State { committed_at: now, rows: Rc::new(rows), amended });
        Ok(created)
    }

    /// Another server takes over, which lacks what was committed after `since`. The first start stays: before it there is
    /// no service. Returns the kids that are lost.
    pub fn fail_over(&mut self, since: Millis) -> Vec<usize> {
        let before = self.rows();
        while self.log.len() > 2 && self.newest().committed_at > since {
            self.log.pop();
        }
        let after = self.rows();
        let lost = before.iter().filter(|row| after.iter().all(|other| other.key.kid != row.key.kid));
        lost.map(number).collect()
    }
}
