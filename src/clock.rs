//! Time as a parameter. The only place that reads the wall clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

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
