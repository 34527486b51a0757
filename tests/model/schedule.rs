//! What happens to the fleet: random operations, and the plots that come close to a boundary from its worst side.

use proptest::prelude::*;
use workspace_sts::domain::signing_key::KeyState;

use super::database::number;
use super::facts::{Check, Watch};
use super::fleet::{Fleet, Work, region};
use super::lengths::{C, HALF, Lengths, Millis, SECOND, at};
use super::replica::Replica;

/// Replicas are west 0 and 1, north 2 and 3.
#[derive(Debug, Clone)]
pub enum Op {
    Wait(Millis),
    /// Until so long after an instant in a region's keys, unless that is past.
    WaitFor(Mark, usize, Millis),
    Tend(usize),
    /// Part of the longest time that a write may take, in per cent.
    SlowTend(usize, i64),
    /// Who, which of the live keys, and how slowly.
    Revoke(usize, usize, i64),
    Rotate(usize, i64),
    /// Tries at each half second until it is possible; the worker hears of it at once.
    RotateAtOnce(usize),
    Cut(usize),
    /// Looks just before the next commit of another replica, and is cut off then.
    CutAtCommit(usize),
    Heal(usize),
    /// What was sent to the database before arrives, or not.
    Kill(usize, bool),
    Run(usize),
    RunSlowly(usize, i64),
    SetClock(usize, Millis),
    DatabaseDown,
    DatabaseUp,
    FailOver,
    /// The second region, its first write slow, by clocks that are so far ahead.
    AddRegion(i64, [Millis; 2]),
    /// All replicas of a region die, or run again.
    Lose(usize),
    BringBack(usize),
}

/// Instants of a region's newest key that is not revoked.
#[derive(Debug, Clone, Copy)]
pub enum Mark {
    /// When its successor is to be made.
    Due,
    Publication,
    /// A lead after its publication.
    Known,
    SignFrom,
    Removal,
    /// A lead before its end: a successor made later than that leaves a gap.
    TooLate,
    /// Of the key before it.
    PreviousFrom,
    PreviousUntil,
    PreviousRemoval,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub lengths: Lengths,
    pub seed: u64,
    pub offsets: [Millis; 2],
    pub ops: Vec<Op>,
}

/// Runs of more windows than this tell nothing more.
const LONGEST_RUN: Millis = 8;

impl Schedule {
    pub fn run(&self, watch: &mut dyn Watch) -> Check {
        let mut fleet = Fleet::new(self.lengths, self.seed);
        let now = fleet.now;
        fleet.replicas.extend(self.offsets.map(|offset| Replica::new(region(0), offset, now)));
        fleet.work(watch)?;
        fleet.look(watch)?;
        let end = now + self.lengths.window() * LONGEST_RUN;
        for op in &self.ops {
            if fleet.now < end {
                fleet.apply(op, watch)?;
                fleet.look(watch)?;
            }
        }
        fleet.heal();
        fleet.wait(20 * SECOND, watch)?;
        watch.settled(&fleet)
    }
}

impl Fleet {
    fn apply(&mut self, op: &Op, watch: &mut dyn Watch) -> Check {
        let slow = |percent: i64| self.lengths.longest_write() * percent / 100 / HALF * HALF;
        // An operator's command is sent at once, save for a lock that it waits for.
        let command = |percent| slow(percent) * 2 / 3 / HALF * HALF;
        match *op {
            Op::Wait(by) => return self.wait(by, watch),
            Op::WaitFor(mark, of, shift) => {
                let by = self.mark(mark, of).map_or(0, |mark| mark + shift - self.now);
                return self.wait(by.clamp(0, self.lengths.window() * 3), watch);
            }
            Op::Tend(by) if by < self.replicas.len() => return self.start(Work::Tend, by, 0, watch),
            Op::SlowTend(by, percent) if by < self.replicas.len() => {
                let takes = slow(percent);
                return self.start(Work::Tend, by, takes, watch);
            }
            Op::Revoke(by, which, percent) if by < self.replicas.len() => {
                let (now, rows) = (at(self.now), self.database.rows());
                let live: Vec<_> = rows.iter().filter(|row| row.key.life.state(now).is_published()).collect();
                if let Some(row) = live.get(which % live.len().max(1)) {
                    let (kid, takes) = (number(row), command(percent));
                    return self.start(Work::Revoke { kid }, by, takes, watch);
                }
            }
            Op::Rotate(by, percent) if by < self.replicas.len() => {
                let takes = command(percent);
                return self.start(Work::Rotate, by, takes, watch);
            }
            Op::RotateAtOnce(by) if by < self.replicas.len() => {
                let before = self.regions[usize::from(by > 1)].rotated.len();
                for _ in 0..80 {
                    self.start(Work::Rotate, by, 0, watch)?;
                    if self.regions[usize::from(by > 1)].rotated.len() > before {
                        return self.start(Work::Tend, by, 0, watch);
                    }
                    self.wait(HALF, watch)?;
                }
            }
            Op::Cut(by) if by < self.replicas.len() => {
                (self.replicas[by].is_cut, self.replicas[by].able_since) = (true, None);
            }
            Op::CutAtCommit(by) if by < self.replicas.len() => self.cut_at_commit.push(by),
            Op::Heal(by) if by < self.replicas.len() => self.replicas[by].is_cut = false,
            Op::Kill(by, is_sent) if by < self.replicas.len() => self.kill(by, is_sent),
            Op::Run(by) if by < self.replicas.len() => self.replicas[by].is_wanted = true,
            Op::RunSlowly(by, percent) if by < self.replicas.len() => {
                let takes = slow(percent);
                return self.run_slowly(by, takes, watch);
            }
            Op::SetClock(by, offset) if by < self.replicas.len() => self.replicas[by].set_clock(offset),
            Op::DatabaseDown => self.database.is_up = false,
            Op::DatabaseUp => self.database.is_up = true,
            Op::FailOver => return self.fail_over(watch),
            Op::AddRegion(percent, offsets) if self.replicas.len() == 2 => {
                let (now, takes) = (self.now, slow(percent));
                self.replicas.extend(offsets.map(|offset| Replica::new(region(1), offset, now)));
                self.replicas[3].is_wanted = percent == 0;
                return self.run_slowly(2, takes, watch);
            }
            Op::Lose(of) => {
                let lost = (0..self.replicas.len()).filter(|by| by / 2 == of).collect::<Vec<_>>();
                lost.into_iter().for_each(|by| self.kill(by, false));
            }
            Op::BringBack(of) => {
                let back = self.replicas.iter_mut().enumerate().filter(|(by, _)| by / 2 == of);
                back.for_each(|(_, replica)| replica.is_wanted = true);
            }
            _ => {}
        }
        Ok(())
    }

    fn mark(&self, mark: Mark, of: usize) -> Option<Millis> {
        let mut rows = self.rows_of(of);
        rows.retain(|row| row.key.life.state(at(self.now)) != KeyState::Revoked);
        let newest = rows.last()?.key.life;
        let previous = rows.iter().rev().nth(1).map(|row| row.key.life);
        let lead = self.lengths.policy.lead;
        let mark = match mark {
            Mark::Due => newest.sign_from - lead,
            Mark::Publication => newest.published_at,
            Mark::Known => newest.published_at + lead,
            Mark::SignFrom => newest.sign_from,
            Mark::Removal => newest.remove_at,
            Mark::TooLate => newest.sign_until - lead,
            Mark::PreviousFrom => previous?.sign_from,
            Mark::PreviousUntil => previous?.sign_until,
            Mark::PreviousRemoval => previous?.remove_at,
        };
        Some(mark.timestamp_millis())
    }
}

/// Mostly the worst that is tolerated, now and then more.
fn offset() -> impl Strategy<Value = Millis> {
    prop_oneof![
        4 => prop::sample::select(vec![-C, C]),
        2 => Just(0),
        2 => (-10..=10_i64).prop_map(|halves| halves * HALF),
        1 => prop::sample::select(vec![-C - HALF, C + HALF, -40 * SECOND, 40 * SECOND]),
    ]
}

fn tolerable() -> impl Strategy<Value = Millis> {
    prop_oneof![4 => prop::sample::select(vec![-C, C]), 1 => Just(0), 1 => (-10..=10_i64).prop_map(|n| n * HALF)]
}

fn mark() -> impl Strategy<Value = Mark> {
    use Mark::{Due, Known, PreviousFrom, PreviousRemoval, PreviousUntil, Publication, SignFrom};
    prop::sample::select(vec![
        Due,
        Publication,
        Known,
        SignFrom,
        PreviousFrom,
        PreviousUntil,
        PreviousRemoval,
    ])
}

/// From just before an instant to just after it, by every tolerated clock.
fn shift() -> impl Strategy<Value = Millis> {
    (-2..=2_i64, -2..=2_i64).prop_map(|(errors, halves)| errors * C + halves * HALF)
}

fn slowness() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 2 => Just(100), 1 => 0..=100_i64]
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0..4_usize;
    prop_oneof![
        6 => (1..80_i64).prop_map(|halves| Op::Wait(halves * HALF)),
        10 => (mark(), 0..2_usize, shift()).prop_map(|(mark, of, shift)| Op::WaitFor(mark, of, shift)),
        2 => who().prop_map(Op::Tend),
        3 => (who(), slowness()).prop_map(|(by, slow)| Op::SlowTend(by, slow)),
        1 => (who(), 0..8_usize, slowness()).prop_map(|(by, which, slow)| Op::Revoke(by, which, slow)),
        2 => (who(), slowness()).prop_map(|(by, slow)| Op::Rotate(by, slow)),
        1 => who().prop_map(Op::RotateAtOnce),
        2 => who().prop_map(Op::Cut),
        2 => who().prop_map(Op::CutAtCommit),
        5 => who().prop_map(Op::Heal),
        2 => (who(), any::<bool>()).prop_map(|(by, is_sent)| Op::Kill(by, is_sent)),
        4 => who().prop_map(Op::Run),
        4 => (who(), offset()).prop_map(|(by, offset)| Op::SetClock(by, offset)),
        1 => Just(Op::DatabaseDown),
        3 => Just(Op::DatabaseUp),
        1 => Just(Op::FailOver),
        3 => (slowness(), [tolerable(), tolerable()]).prop_map(|(slow, offsets)| Op::AddRegion(slow, offsets)),
        1 => (0..2_usize).prop_map(Op::Lose),
        3 => (0..2_usize).prop_map(Op::BringBack),
    ]
}

/// A region joins, its first key by the slowest clock and the slowest write; one replica looked just before that and sees
/// nobody again until the key signs by the fastest clock.
fn joining() -> impl Strategy<Value = Vec<Op>> {
    (0..2_usize, shift()).prop_map(|(stale, shift)| {
        let join = Op::AddRegion(100, [-C, C]);
        vec![
            Op::Wait(20 * SECOND),
            Op::CutAtCommit(stale),
            join,
            Op::Wait(20 * SECOND),
            Op::Run(3),
            Op::WaitFor(Mark::PreviousFrom, 1, shift),
        ]
    })
}

/// The database is away until the successor can't be in time; then it is made by the slowest clock, and so on as above.
fn late_creation() -> impl Strategy<Value = Vec<Op>> {
    (21..36_i64, 2..4_usize).prop_map(|(halves, stale)| {
        vec![
            Op::AddRegion(0, [0, 0]),
            Op::WaitFor(Mark::SignFrom, 0, 10 * SECOND),
            Op::Kill(1, false),
            Op::SetClock(0, -C),
            Op::WaitFor(Mark::Due, 0, -2 * C),
            Op::DatabaseDown,
            Op::WaitFor(Mark::TooLate, 0, halves * HALF),
            Op::DatabaseUp,
            Op::CutAtCommit(stale),
            Op::SlowTend(0, 100),
            Op::Wait(20 * SECOND),
            Op::SetClock(1, C),
            Op::Run(1),
            Op::WaitFor(Mark::SignFrom, 0, 2 * C),
        ]
    })
}

/// The standby takes over as soon as that is allowed, by the fastest clock, after it was made by the slowest.
fn early_rotation() -> impl Strategy<Value = Vec<Op>> {
    (2..4_usize, 1..8_i64).prop_map(|(stale, late)| {
        vec![
            Op::AddRegion(0, [0, 0]),
            Op::Kill(1, false),
            Op::SetClock(0, -C),
            Op::WaitFor(Mark::Due, 0, -2 * C),
            Op::DatabaseDown,
            Op::WaitFor(Mark::Due, 0, C + late * SECOND),
            Op::DatabaseUp,
            Op::CutAtCommit(stale),
            Op::SlowTend(0, 100),
            Op::Wait(20 * SECOND),
            Op::SetClock(1, C),
            Op::Run(1),
            Op::WaitFor(Mark::Known, 0, -2 * C),
            Op::RotateAtOnce(1),
            Op::Wait(10 * SECOND),
        ]
    })
}

/// A region is away until its keys are about to be forgotten, and back just before or after that. Somebody is cut off
/// before, or looks just before its new key is written.
fn long_absence() -> impl Strategy<Value = Vec<Op>> {
    (shift(), 0..2_usize, tolerable(), 0..60_i64, slowness(), any::<bool>()).prop_map(
        |(shift, stale, offset, early, slow, is_cut_first)| {
            // Who looks just before the write has the longest promise when that was decided long ago by a slow clock.
            let (offset, slow) = if is_cut_first { (offset, slow) } else { (-C, 100) };
            vec![
                Op::AddRegion(0, [0, 0]),
                Op::Wait(10 * SECOND),
                Op::Lose(1),
                Op::WaitFor(Mark::Removal, 1, shift - early * HALF),
                if is_cut_first { Op::Cut(stale) } else { Op::CutAtCommit(stale) },
                Op::SetClock(2, offset),
                Op::SetClock(3, C),
                Op::Wait(early * HALF * i64::from(is_cut_first)),
                Op::RunSlowly(2, slow),
                Op::Wait(20 * SECOND),
                Op::BringBack(1),
                Op::Wait(60 * SECOND),
            ]
        },
    )
}

/// A key is made, somebody has seen it, and the database forgets it.
fn lost_creation() -> impl Strategy<Value = Vec<Op>> {
    (0..2_usize, 0..40_i64, slowness(), any::<bool>()).prop_map(|(of, halves, slow, joins)| {
        let mut ops = vec![Op::AddRegion(slow, [-C, C]), Op::Wait(halves * HALF)];
        if !joins {
            ops.extend([Op::Wait(20 * SECOND), Op::WaitFor(Mark::Due, of, 0), Op::SlowTend(of * 2, slow)]);
        }
        ops.extend([
            Op::Run(3),
            Op::Wait(halves * HALF),
            Op::Tend(of * 2 + 1),
            Op::Cut(of * 2 + 1),
            Op::FailOver,
            Op::WaitFor(Mark::SignFrom, of, 0),
        ]);
        ops
    })
}

/// An operator of one region revokes another's key while that region makes the next one.
fn crossing() -> impl Strategy<Value = Vec<Op>> {
    (0..8_usize, 1..20_i64, 0..2_usize).prop_map(|(which, halves, of)| {
        vec![
            Op::AddRegion(0, [0, 0]),
            Op::Wait(10 * SECOND),
            Op::WaitFor(Mark::Due, of, -HALF),
            Op::DatabaseDown,
            Op::WaitFor(Mark::Due, of, SECOND),
            Op::DatabaseUp,
            Op::SlowTend(of * 2, 100),
            Op::Kill(of * 2 + 1, false),
            Op::Wait(halves * HALF),
            Op::Revoke(2 - of * 2, which, 0),
            Op::WaitFor(Mark::PreviousUntil, of, 2 * C),
            Op::Run(of * 2 + 1),
            Op::Wait(60 * SECOND),
        ]
    })
}

/// The fastest clock revokes, the slowest hears of it.
fn revocation() -> impl Strategy<Value = Vec<Op>> {
    (0..4_usize, 0..8_usize, slowness(), mark(), shift()).prop_map(|(by, which, slow, mark, shift)| {
        let mut ops = vec![Op::AddRegion(0, [C, -C]), Op::SetClock(0, C), Op::SetClock(1, -C)];
        ops.extend([Op::WaitFor(mark, by / 2, shift), Op::Revoke(by, which, slow), Op::Wait(60 * SECOND)]);
        ops
    })
}

/// The slowest clock signs last, the fastest removes first.
fn retiring() -> impl Strategy<Value = Vec<Op>> {
    (0..2_usize).prop_map(|slow| {
        vec![
            Op::SetClock(slow, -C),
            Op::SetClock(1 - slow, C),
            Op::WaitFor(Mark::PreviousUntil, 0, 2 * C),
            Op::WaitFor(Mark::PreviousRemoval, 0, 2 * C),
        ]
    })
}

/// Any run: random operations around at most two plots.
pub fn schedule() -> impl Strategy<Value = Schedule> {
    let random = || prop::collection::vec(op(), 0..25);
    let plot = || {
        prop_oneof![
            4 => Just(Vec::new()),
            3 => joining(),
            6 => late_creation(),
            3 => early_rotation(),
            3 => long_absence(),
            2 => lost_creation(),
            2 => crossing(),
            2 => revocation(),
            2 => retiring(),
        ]
    };
    let lengths = prop_oneof![6 => Just(0_usize), 3 => Just(1), 1 => Just(2)];
    // A plot stands alone in half of the runs: what comes before it would often spoil it.
    let quiet = prop::bool::weighted(0.5);
    (lengths, any::<u64>(), [tolerable(), tolerable()], (quiet, plot(), random(), plot(), random())).prop_map(
        |(lengths, seed, offsets, (is_quiet, first, between, second, after))| {
            let ops = if is_quiet { vec![first] } else { vec![first, between, second, after] };
            Schedule { lengths: Lengths::all()[lengths], seed, offsets, ops: ops.concat() }
        },
    )
}
