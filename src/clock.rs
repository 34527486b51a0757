//! Time as a parameter: the wall clock, and what tells that it is wrong. The only place that reads the machine's clocks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::signing_key::CLOCK_TOLERANCE_SECONDS;

/// Tells the time. Two implementations: the machine's clocks, and one that tests move by hand.
pub trait Clock: Send + Sync {
    /// The wall clock in UTC, which people and NTP set.
    fn now(&self) -> DateTime<Utc>;

    /// Time that passes, whatever the wall clock is set to: from a beginning of its own, and while the machine sleeps,
    /// too. What lasts or grows old is measured by it.
    fn steady(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// `Instant` stands still while a Linux machine sleeps, and a wall clock that was never touched would seem to have jumped.
#[cfg(target_os = "linux")]
const STEADY: libc::clockid_t = libc::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const STEADY: libc::clockid_t = libc::CLOCK_MONOTONIC;

impl Clock for SystemClock {
    // The one lawful reader of the wall clock.
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn steady(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live local. It fails for unknown clocks only.
        #[allow(unsafe_code)]
        unsafe {
            libc::clock_gettime(STEADY, &raw mut time);
        }
        // Neither is negative, and nanoseconds are below a thousand million.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    /// Microseconds that have passed, from [`UPTIME_MICROS`] on.
    steady: AtomicI64,
    /// What the wall clock showed, or would have, when none had.
    origin: AtomicI64,
}

/// As if the machine had been up for a while, so that a test can be somebody who looked a moment earlier.
const UPTIME_MICROS: i64 = 3_600_000_000;

impl ManualClock {
    pub const fn at(instant: DateTime<Utc>) -> Self {
        let origin = instant.timestamp_micros() - UPTIME_MICROS;
        Self { steady: AtomicI64::new(UPTIME_MICROS), origin: AtomicI64::new(origin) }
    }

    /// Time passes.
    pub fn advance(&self, by: TimeDelta) {
        self.steady.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn jump(&self, by: TimeDelta) {
        self.origin.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        let micros = self.origin.load(Ordering::SeqCst) + self.steady.load(Ordering::SeqCst);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::UNIX_EPOCH)
    }

    fn steady(&self) -> Duration {
        Duration::from_micros(self.steady.load(Ordering::SeqCst).cast_unsigned())
    }
}

/// A server whose answer took longer does not tell what time it is: the answer may be wrong by half of that.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(1);
const TOLERANCE_MICROS: i64 = CLOCK_TOLERANCE_SECONDS * 1_000_000;

/// A wall clock that is compared: with the database server's where there is one, else with its own past.
///
/// From one comparison to the next the reference goes on by the steady clock. So a jump shows at the very next look, the
/// database's absence hides none, and a look costs two readings of clocks and no lock. NTP slews both clocks of a machine
/// alike, so no slewing looks like a jump; the oscillator's own error, below 0.5 s in the directory's grace of 15
/// minutes, is what the database's absence can hide.
pub struct WatchedClock {
    clock: Arc<dyn Clock>,
    /// What the reference showed, or would have, when the steady clock was at zero; Unix time in microseconds.
    origin: AtomicI64,
    /// The reference is a server.
    has_server: AtomicBool,
}

/// The wall clock is further from its reference than is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongClock {
    /// How far it is ahead, in microseconds.
    ahead: i64,
    has_server: bool,
}

/// Both clocks at one instant, in microseconds.
struct Look {
    wall: DateTime<Utc>,
    reference: i64,
    ahead: i64,
}

impl WatchedClock {
    /// Believes the clock as it is now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let origin = AtomicI64::new(clock.now().timestamp_micros() - micros(clock.steady()));
        Self { clock, origin, has_server: AtomicBool::new(false) }
    }

    /// The wall clock; while it is wrong, the reference.
    pub fn now(&self) -> DateTime<Utc> {
        let look = self.look();
        if look.is_tolerable() {
            return look.wall;
        }
        DateTime::from_timestamp_micros(look.reference).unwrap_or(look.wall)
    }

    /// The wall clock, for what must not be done by a wrong one. A time that was right when it was read stays one.
    ///
    /// # Errors
    /// It is wrong. This ends by itself when it is set right.
    pub fn confirmed(&self) -> Result<DateTime<Utc>, WrongClock> {
        let look = self.look();
        if look.is_tolerable() {
            return Ok(look.wall);
        }
        Err(WrongClock { ahead: look.ahead, has_server: self.has_server.load(Ordering::SeqCst) })
    }

    /// Time that passes, whatever the wall clock is set to.
    pub fn steady(&self) -> Duration {
        self.clock.steady()
    }

    /// How far the wall clock is ahead of the reference, in seconds.
    pub fn seconds_ahead(&self) -> f64 {
        self.look().ahead as f64 / 1e6
    }

    /// A server, asked when the steady clock stood at `asked`, has just told its time, which is taken to be that of
    /// midway. Returns whether the answer came soon enough to tell anything.
    pub fn compare(&self, server: DateTime<Utc>, asked: Duration) -> bool {
        let round_trip = self.steady().saturating_sub(asked);
        if round_trip > LONGEST_ROUND_TRIP {
            return false;
        }
        self.origin.store(server.timestamp_micros() - micros(asked + round_trip / 2), Ordering::SeqCst);
        self.has_server.store(true, Ordering::SeqCst);
        true
    }

    /// There is no other clock. What the wall clock was moved by, if it is tolerable, was a correction, and does not add
    /// up with later ones; a jump stays one.
    pub fn compare_with_itself(&self) {
        let look = self.look();
        if look.is_tolerable() {
            self.origin.fetch_add(look.ahead, Ordering::SeqCst);
        }
    }

    fn look(&self) -> Look {
        let wall = self.clock.now();
        let reference = self.origin.load(Ordering::SeqCst) + micros(self.clock.steady());
        Look { wall, reference, ahead: wall.timestamp_micros() - reference }
    }
}

impl Look {
    const fn is_tolerable(&self) -> bool {
        self.ahead.abs() <= TOLERANCE_MICROS
    }
}

impl Clock for WatchedClock {
    fn now(&self) -> DateTime<Utc> {
        self.now()
    }

    fn steady(&self) -> Duration {
        self.steady()
    }
}

impl std::error::Error for WrongClock {}

impl fmt::Display for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.ahead.abs() as f64 / 1e6;
        let tolerated = CLOCK_TOLERANCE_SECONDS;
        if self.has_server {
            let side = if self.ahead > 0 { "ahead of" } else { "behind" };
            return write!(
                f,
                "this machine's clock is {seconds:.1} s {side} the database server's, and {tolerated} s are tolerated: \
                 set right the one that is wrong, and see that NTP runs on both machines"
            );
        }
        let side = if self.ahead > 0 { "forward" } else { "back" };
        write!(
            f,
            "this machine's clock was set {side} by {seconds:.1} s while the service ran, and {tolerated} s are \
             tolerated: set it right and see that NTP runs; if it is right now, restart the service"
        )
    }
}

/// Whole microseconds.
fn micros(duration: Duration) -> i64 {
    duration.as_secs().cast_signed() * 1_000_000 + i64::from(duration.subsec_micros())
}

// A test has no caller to hand an error to.
#[allow(clippy::expect_used)]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUND_TRIP: TimeDelta = TimeDelta::milliseconds(400);

    fn clocks() -> (Arc<ManualClock>, WatchedClock) {
        let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
        let watched = WatchedClock::new(clock.clone());
        (clock, watched)
    }

    /// As a server whose clock is so far ahead of the one that tests move, which is not touched.
    fn compare(clock: &ManualClock, watched: &WatchedClock, ahead: TimeDelta, round_trip: TimeDelta) -> bool {
        let asked = watched.steady();
        clock.advance(round_trip / 2);
        let told = clock.now() + ahead;
        clock.advance(round_trip - round_trip / 2);
        watched.compare(told, asked)
    }

    #[test]
    fn time_that_passes_is_no_jump() {
        let (clock, watched) = clocks();
        clock.advance(TimeDelta::days(400));
        assert_eq!(watched.confirmed(), Ok(clock.now()));
    }

    #[test]
    fn a_jump_is_seen_at_once_and_so_is_its_end() {
        for hours in [1, -1] {
            let (clock, watched) = clocks();
            let right = clock.now();
            clock.jump(TimeDelta::hours(hours));
            let wrong = watched.confirmed().expect_err("an hour is more than 5 s").to_string();
            let (side, other) = if hours > 0 { ("forward", "back") } else { ("back", "forward") };
            assert!(wrong.contains(&format!("set {side} by 3600.0 s")) && !wrong.contains(other), "{wrong}");
            assert!(wrong.contains("NTP") && wrong.contains("restart"), "{wrong}");
            assert_eq!(watched.now(), right, "the reference goes on");
            watched.compare_with_itself();
            assert!(watched.confirmed().is_err(), "what is wrong does not become right by being looked at");
            clock.jump(TimeDelta::hours(-hours));
            assert_eq!(watched.confirmed(), Ok(right));
        }
    }

    #[test]
    fn corrections_do_not_add_up() {
        let (clock, watched) = clocks();
        for _ in 0..10 {
            clock.jump(TimeDelta::seconds(2));
            watched.compare_with_itself();
        }
        assert_eq!(watched.confirmed(), Ok(clock.now()));
        clock.jump(TimeDelta::seconds(-6));
        assert!(watched.confirmed().is_err());
    }

    #[test]
    fn a_server_decides_even_against_the_past() {
        let (clock, watched) = clocks();
        for (ahead, side) in [(-6, "ahead of"), (6, "behind")] {
            assert!(compare(&clock, &watched, TimeDelta::seconds(ahead), ROUND_TRIP));
            let wrong = watched.confirmed().expect_err("6 s are more than 5").to_string();
            assert!(wrong.contains(&format!("is 6.0 s {side} the database server's")), "{wrong}");
            assert!(wrong.contains("NTP"), "{wrong}");
            assert_eq!(watched.now(), clock.now() + TimeDelta::seconds(ahead), "the server's time");
        }
        assert!(compare(&clock, &watched, TimeDelta::seconds(5), ROUND_TRIP));
        assert_eq!(watched.confirmed(), Ok(clock.now()), "5 s are tolerated");
        assert!((watched.seconds_ahead() + 5.0).abs() < 1e-9);
    }

    #[test]
    fn an_answer_that_took_too_long_tells_nothing() {
        let (clock, watched) = clocks();
        assert!(!compare(&clock, &watched, TimeDelta::hours(1), TimeDelta::milliseconds(1001)));
        assert_eq!(watched.confirmed(), Ok(clock.now()));
    }

    proptest! {
        /// Invariant I14 and "never a token with iat > real + C", where the real time is the server's.
        #[test]
        fn i14_no_confirmed_time_is_further_off_than_is_tolerated(
            steps in proptest::collection::vec((0..3_u8, -8000..8000_i64), 1..60)
        ) {
            let (clock, watched) = clocks();
            // How far the server is ahead.
            let mut server = TimeDelta::zero();
            prop_assert!(compare(&clock, &watched, server, TimeDelta::zero()));
            for (kind, amount) in steps {
                let amount = TimeDelta::milliseconds(amount);
                match kind {
                    0 => clock.advance(amount.abs()),
                    1 => {
                        clock.jump(amount);
                        server -= amount;
                    }
                    _ => {
                        compare(&clock, &watched, server, amount.abs());
                    }
                }
                let is_off = server.abs() > TimeDelta::seconds(CLOCK_TOLERANCE_SECONDS);
                prop_assert_eq!(watched.confirmed().is_err(), is_off);
                let real = clock.now() + server;
                prop_assert!((watched.now() - real).abs() <= TimeDelta::seconds(CLOCK_TOLERANCE_SECONDS));
            }
        }
    }
}
