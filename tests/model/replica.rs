//! One replica: what `signing::signer`, `services::publish_keys` and `worker` do around the domain, on the real clock.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use workspace_sts::clock::{ManualClock, WatchedClock};
use workspace_sts::domain::region::Region;
use workspace_sts::domain::signing_key::{KeyRow, KeyState};

use super::database::{Kids, bit};
use super::lengths::{Lengths, Millis, at};

pub struct Replica {
    pub region: Region,
    /// A process runs, and serves what it has.
    pub is_running: bool,
    /// Somebody wants it to run: it is started as soon as that is possible.
    pub is_wanted: bool,
    pub is_cut: bool,
    /// How far its wall clock is ahead.
    pub offset: Millis,
    machine: Arc<ManualClock>,
    clock: WatchedClock,
    pub ring: Option<Ring>,
    /// When what it knows was last known to hold (the directory's).
    pub contact_at: Millis,
    /// Since when it reaches the database and has a right clock, without a break.
    pub able_since: Option<Millis>,
    pub tend_at: Millis,
}

/// The rows as read at one instant.
#[derive(Debug, Clone)]
pub struct Ring {
    pub rows: Rc<Vec<KeyRow>>,
    pub read_at: Millis,
    steady: Duration,
}

/// What `GET /.well-known/jwks.json` says.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub replica: usize,
    pub kids: Kids,
    pub max_age: Millis,
    /// When the server had read the rows.
    pub read_at: Millis,
    pub served_at: Millis,
}

impl Replica {
    pub fn new(region: Region, offset: Millis, now: Millis) -> Self {
        let machine = Arc::new(ManualClock::at(at(now + offset)));
        let clock = WatchedClock::new(machine.clone());
        Self {
            region,
            is_running: false,
            is_wanted: true,
            is_cut: false,
            offset,
            machine,
            clock,
            ring: None,
            contact_at: now,
            able_since: None,
            tend_at: now,
        }
    }

    pub fn advance(&mut self, by: Millis) {
        self.machine.advance(TimeDelta::milliseconds(by));
    }

    /// Somebody sets the wall clock.
    pub fn set_clock(&mut self, offset: Millis) {
        self.machine.jump(TimeDelta::milliseconds(offset - self.offset));
        self.offset = offset;
    }

    pub fn kill(&mut self) {
        (self.is_running, self.is_wanted, self.ring, self.able_since) = (false, false, None, None);
    }

    /// Asks the database server for its time.
    pub fn compare_clock(&mut self, now: Millis) {
        if !self.is_running {
            self.clock = WatchedClock::new(self.machine.clone());
        }
        assert!(self.clock.compare(at(now), self.clock.steady()), "it answers at once");
    }

    pub fn confirmed(&self) -> Option<DateTime<Utc>> {
        self.clock.confirmed().ok()
    }

    pub fn read(&mut self, rows: Rc<Vec<KeyRow>>, now: Millis) {
        self.ring = Some(Ring { rows, read_at: now, steady: self.clock.steady() });
    }

    /// `KeyRing::active`.
    pub fn active(&self, now: DateTime<Utc>) -> Option<&KeyRow> {
        self.ring.as_ref()?.rows.iter().rev().find(|row| {
            row.key.region == self.region && row.has_private && row.key.life.state(now) == KeyState::Active
        })
    }

    /// `Core::publish_keys` and `Core::jwks_max_age`.
    pub fn answer(&self, replica: usize, lengths: &Lengths, now: Millis) -> Option<Answer> {
        let ring = self.ring.as_ref().filter(|_| self.is_running)?;
        let clock = self.clock.now();
        let published = ring.rows.iter().filter(|row| row.key.life.state(clock).is_published());
        let kids = published.fold(0, |kids, row| kids | bit(row));
        let age = self.clock.steady().saturating_sub(ring.steady);
        let age = TimeDelta::from_std(age).expect("short");
        let safe_for = lengths.policy.complete_for(ring.rows.iter().map(|row| &row.key), age, clock) - age;
        let max_age = safe_for.min(lengths.policy.jwks_max_age).num_seconds().max(0) * 1000;
        Some(Answer { replica, kids, max_age, read_at: ring.read_at, served_at: now })
    }

    /// `http::ops`: whether requests should come here.
    pub fn is_ready(&self, answer: &Answer) -> bool {
        self.confirmed().is_some_and(|now| self.active(now).is_some()) && answer.max_age > 0
    }
}
