//! Latencies, counted in buckets so that those of many processes and minutes can be added, and what is read from them.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::region::Region;

/// Buckets to each doubling. A percentile is told as the upper end of its bucket: never too low, and by less than a
/// sixteenth (6.25 %) too high.
const STEPS: u64 = 16;
/// Longer ones count as this long: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// How many took how long. Only buckets that have some are kept, so a minute of one pair of regions takes a few hundred
/// bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latencies(BTreeMap<u16, u64>);

impl Latencies {
    pub fn add(&mut self, micros: u64) {
        *self.0.entry(bucket_of(micros)).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            let place = self.0.entry(*bucket).or_default();
            *place = place.saturating_add(*count);
        }
    }

    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The time in microseconds within which so many of a thousand were done; `None` of nothing.
    pub fn within_micros(&self, per_mille: u64) -> Option<u64> {
        // The nearest rank, at least the first.
        let rank = u128::from(self.count()).saturating_mul(per_mille.into()).div_ceil(1000).max(1);
        let mut seen: u128 = 0;
        let found = self.0.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= rank
        });
        found.map(|(bucket, _)| longest_in(*bucket))
    }
}

/// Exact below twice the steps; above, the leading bits.
fn bucket_of(micros: u64) -> u16 {
    let micros = micros.min(LONGEST_MICROS);
    let shift = micros.checked_ilog2().unwrap_or(0).saturating_sub(STEPS.ilog2());
    // At most 16 * 28 + 31: the longest has 32 bits.
    (u64::from(shift) * STEPS + (micros >> shift)) as u16
}

/// The longest time that a bucket counts, in microseconds.
fn longest_in(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let shift = (bucket / STEPS).saturating_sub(1);
    // A bucket that no time leads to, as a damaged row may have, must not overflow.
    let end = u128::from(bucket - shift * STEPS + 1) << shift.min(64);
    u64::try_from(end - 1).unwrap_or(LONGEST_MICROS)
}

/// A stretch of time whose latencies are one row. Short ones are for what was just now and soon go, long ones for the
/// day: so a day of a pair of regions is read from some hundred rows and not from 1440.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Span {
    Minute,
    Quarter,
}

impl Span {
    pub const ALL: [Self; 2] = [Self::Minute, Self::Quarter];

    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Quarter => 900,
        }
    }

    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|span| span.seconds() == seconds)
    }

    /// The start of the span that an instant lies in.
    pub fn start_of(self, instant: DateTime<Utc>) -> DateTime<Utc> {
        let seconds = instant.timestamp();
        DateTime::from_timestamp(seconds - seconds.rem_euclid(self.seconds()), 0).unwrap_or(instant)
    }

    /// How long after its start a row is of use: as long as the longest window over it, and the span itself.
    pub fn kept_for(self) -> Duration {
        let longest = match self {
            Self::Minute => Window::Hour,
            Self::Quarter => Window::Day,
        };
        longest.length() + Duration::seconds(self.seconds())
    }
}

/// What is looked back over. It begins with the span that it cuts, so it is up to one span longer than its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    FiveMinutes,
    Hour,
    Day,
}

impl Window {
    pub const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    pub const fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "24h",
        }
    }

    pub const fn length(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::minutes(5),
            Self::Hour => Duration::hours(1),
            Self::Day => Duration::hours(24),
        }
    }

    /// The rows from which it is added up.
    pub const fn span(self) -> Span {
        match self {
            Self::FiveMinutes | Self::Hour => Span::Minute,
            Self::Day => Span::Quarter,
        }
    }

    /// Whether the row of a span that began then belongs to it.
    pub fn holds(self, span: Span, starts_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let ends_at = starts_at + Duration::seconds(span.seconds());
        span == self.span() && ends_at > now - self.length()
    }
}

/// What one process saw in one span, of tokens issued in its region for webservices of one compute region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyRow {
    pub span: Span,
    pub starts_at: DateTime<Utc>,
    pub region: Region,
    pub compute_region: Region,
    /// Drawn at each start. A row is written by its own process only, whole each time, so that writing it once more does
    /// not count anything twice.
    pub process: Uuid,
    pub latencies: Latencies,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        micros.iter().for_each(|micros| latencies.add(*micros));
        latencies
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        assert_eq!(of(&[]).within_micros(500), None);
        assert_eq!(of(&[7]).within_micros(990), Some(7));
        let small = of(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let told = [1, 500, 950, 1000].map(|share| small.within_micros(share));
        assert_eq!(told, [Some(1), Some(5), Some(10), Some(10)]);
        assert_eq!(of(&[u64::MAX]).within_micros(500).map(|micros| micros / LONGEST_MICROS), Some(1));
    }

    #[test]
    fn a_damaged_bucket_overflows_nothing() {
        let damaged: Latencies =
            serde_json::from_str("{\"65535\":18446744073709551615,\"0\":2}").expect("JSON");
        assert_eq!((damaged.count(), damaged.within_micros(990)), (u64::MAX, Some(LONGEST_MICROS)));
    }

    #[test]
    fn a_window_begins_with_the_span_that_it_cuts() {
        let now = DateTime::from_timestamp(1_000_000_030, 0).expect("in range");
        let start = |minutes: i64| Span::Minute.start_of(now) - Duration::minutes(minutes);
        assert_eq!(start(0).timestamp() % 60, 0);
        assert!(start(0) <= now && now - start(0) < Duration::minutes(1));
        let holds = |minutes| Window::FiveMinutes.holds(Span::Minute, start(minutes), now);
        assert!(holds(0) && holds(5) && !holds(6));
        assert!(!Window::Day.holds(Span::Minute, start(0), now), "the day is added up from quarters");
        let oldest = now - Span::Quarter.kept_for();
        assert!(!Window::Day.holds(Span::Quarter, oldest, now), "what no window holds may go");
    }

    proptest::proptest! {
        #[test]
        fn a_percentile_is_never_too_low_and_at_most_a_sixteenth_too_high(
            mut micros in proptest::collection::vec(0_u64..=LONGEST_MICROS, 1..200), per_mille in 1_u64..=1000,
        ) {
            let told = of(&micros).within_micros(per_mille).expect("there are some");
            micros.sort_unstable();
            let rank = (micros.len() as u64 * per_mille).div_ceil(1000) as usize;
            let exact = micros[rank - 1];
            proptest::prop_assert!(told >= exact, "{told} < {exact}");
            proptest::prop_assert!(told - exact <= exact / STEPS, "{told} is too far above {exact}");
        }

        #[test]
        fn added_up_in_parts_or_at_once_is_the_same(
            one in proptest::collection::vec(0_u64..10_000_000, 0..50), other in proptest::collection::vec(0_u64..10_000_000, 0..50),
        ) {
            let mut parts = of(&one);
            let json = serde_json::to_string(&of(&other)).expect("JSON");
            parts.merge(&serde_json::from_str(&json).expect("what was written"));
            proptest::prop_assert_eq!(parts, of(&[one, other].concat()));
        }
    }
}
