//! How often callers may fail to prove who they are: counted for each client and address, and in all (docs/decisions/0010).
//!
//! Only counts. Nothing here knows whether a client exists, so a limited caller learns nothing of it; and who proves
//! itself from elsewhere, or by another method, is never held up by somebody who guesses.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::authenticate::Credentials;
use super::{Limit, Limited};
use crate::directory::{Bounded, bounded};

/// Pairs that are kept. A minute at the default limit in all makes 60,000, and no more are entered then: so no window is
/// forgotten before its end, whatever ids and addresses are made up. At most about 8 MiB.
const PAIRS: u64 = 1 << 16;
const WINDOW_SECONDS: u32 = 60;

/// The failures of this process.
pub struct Guessing {
    /// 0: no limit.
    per_minute: u32,
    /// 0: no limit.
    per_second_in_all: u32,
    /// By a keyed hash, so that nobody can make up a pair that shares another's count.
    pairs: Bounded<u64, Arc<Window>>,
    hasher: ahash::RandomState,
    in_all: Window,
}

/// Who claims to be whom from where, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair(u64);

/// When it began, in seconds of the steady clock, in the upper half; the count in the lower. In one atomic, so that
/// neither is ever read without the other.
#[derive(Default)]
struct Window(AtomicU64);

impl Window {
    /// Seconds that are left of a window of this length, and what was counted in it.
    fn read(&self, now: u32, length: u32) -> Option<(u32, u32)> {
        let (began, count) = halves(self.0.load(Ordering::Relaxed));
        let passed = now.saturating_sub(began);
        (count > 0 && passed < length).then(|| (length - passed, count))
    }

    /// Counts one more, but not beyond `most`; the number that it is in its window.
    fn count(&self, now: u32, length: u32, most: u32) -> u32 {
        let next = |packed| {
            let (began, count) = halves(packed);
            if count == 0 || now.saturating_sub(began) >= length {
                joined(now, 1)
            } else {
                joined(began, count.saturating_add(u32::from(count < most)))
            }
        };
        // Only counted: nothing else is ordered by it. The closure never says no.
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| Some(next(packed)));
        halves(next(before.unwrap_or_else(|packed| packed))).1
    }
}

const fn halves(packed: u64) -> (u32, u32) {
    // The upper and the lower half: each fits.
    ((packed >> 32) as u32, (packed & 0xffff_ffff) as u32)
}

fn joined(began: u32, count: u32) -> u64 {
    u64::from(began) << 32 | u64::from(count)
}

impl Guessing {
    pub fn new(per_minute: u32, per_second_in_all: u32) -> Self {
        Self {
            per_minute,
            per_second_in_all,
            pairs: bounded(PAIRS),
            hasher: ahash::RandomState::new(),
            in_all: Window::default(),
        }
    }

    /// What counts together; `None` for what names no client before it is verified (a bearer token), and for whoever did
    /// not come over the network. The method is part of it: guessed secrets lock nobody out who uses a key.
    pub fn pair(&self, credentials: &Credentials<'_>, address: Option<IpAddr>) -> Option<Pair> {
        let network = network_of(address?);
        if self.per_minute == 0 {
            return None;
        }
        let client = match credentials {
            Credentials::ClientSecret { client_id, .. } => {
                match crate::domain::ids::ClientId::parse(client_id) {
                    // One count for all spellings of an id.
                    Ok(id) => self.hasher.hash_one(id),
                    Err(_) => self.hasher.hash_one(client_id),
                }
            }
            Credentials::ClientAssertion(shown) => self.hasher.hash_one(shown.claimed_client()),
            Credentials::ManagementToken(_) => return None,
        };
        Some(Pair(self.hasher.hash_one((credentials.method(), client, network))))
    }

    /// Whether the pair may try once more. Asked before anything is looked up or hashed.
    ///
    /// # Errors
    /// It may not until the window is over. The first one in a window is to be recorded.
    pub fn check(&self, pair: Option<Pair>, now: Duration) -> Result<(), Limited> {
        let (Some(Pair(key)), now) = (pair, seconds(now)) else {
            return Ok(());
        };
        let Some(window) = self.pairs.get(&key) else {
            return Ok(());
        };
        match window.read(now, WINDOW_SECONDS) {
            Some((left, count)) if count >= self.per_minute => {
                // Counted on, so that one of them is the first.
                let number = window.count(now, WINDOW_SECONDS, u32::MAX);
                let is_recorded = number == self.per_minute.saturating_add(1);
                Err(Limited { limit: Limit::Client, retry_after_seconds: left, is_recorded })
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure of the pair and in all.
    ///
    /// # Errors
    /// More fail in this second than are told and recorded each. The first one of the second is to be recorded.
    pub fn failed(&self, pair: Option<Pair>, now: Duration) -> Result<(), Limited> {
        let now = seconds(now);
        let in_all = self.in_all.count(now, 1, u32::MAX);
        let is_over = self.per_second_in_all > 0 && in_all > self.per_second_in_all;
        if let Some(Pair(key)) = pair {
            match self.pairs.get(&key) {
                // Not beyond the limit, even of those that were under way together: the first that is turned away
                // counts one more and is recorded.
                Some(window) => {
                    window.count(now, WINDOW_SECONDS, self.per_minute);
                }
                // Beyond the limit in all no pair is entered: a flood can't push out the others.
                None if is_over => {}
                None => {
                    // Two that enter it at once share the window.
                    let made = self
                        .pairs
                        .get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(Arc::default()));
                    let Ok(window) = made;
                    window.count(now, WINDOW_SECONDS, self.per_minute);
                }
            }
        }
        if is_over {
            let is_recorded = in_all == self.per_second_in_all.saturating_add(1);
            return Err(Limited { limit: Limit::Global, retry_after_seconds: 1, is_recorded });
        }
        Ok(())
    }
}

/// Whoever has one IPv6 address has its /64 (RFC 6177); an IPv4 address in IPv6 clothing is that address.
fn network_of(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address) >> 64 << 64,
    }
}

/// Enough for 136 years of uptime.
fn seconds(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

// A test has no caller to hand an error to.
#[allow(clippy::expect_used)]
#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(3600 + seconds)
    }

    fn of(guessing: &Guessing, client_id: &str, address: &str) -> Option<Pair> {
        let credentials = Credentials::ClientSecret { tenant: None, client_id, secret: "wrong" };
        guessing.pair(&credentials, Some(address.parse().expect("an address")))
    }

    #[test]
    fn the_last_of_so_many_failures_limits_the_pair_until_its_window_is_over() {
        let guessing = Guessing::new(20, 1000);
        let pair = of(&guessing, "somebody", "192.0.2.1");
        for second in 0..20 {
            guessing.check(pair, at(second)).expect("not yet");
            guessing.failed(pair, at(second)).expect("few in all");
        }
        let limited = guessing.check(pair, at(20)).expect_err("twenty failed");
        assert_eq!(limited, Limited { limit: Limit::Client, retry_after_seconds: 40, is_recorded: true });
        let again = guessing.check(pair, at(59)).expect_err("still in the window");
        assert_eq!(again, Limited { limit: Limit::Client, retry_after_seconds: 1, is_recorded: false });
        guessing.check(pair, at(60)).expect("a new window");
    }

    #[test]
    fn who_comes_from_elsewhere_or_is_somebody_else_is_another_pair() {
        let guessing = Guessing::new(1, 0);
        let id = "c0000000-0000-0000-0000-00000000000a";
        let one = of(&guessing, id, "2001:db8::1");
        assert_eq!(one, of(&guessing, &id.to_uppercase(), "2001:db8::ffff:2"), "one /64, one id");
        assert_eq!(of(&guessing, id, "192.0.2.1"), of(&guessing, id, "::ffff:192.0.2.1"));
        for other in [of(&guessing, id, "2001:db8:0:1::1"), of(&guessing, "x", "2001:db8::1")] {
            assert_ne!(one, other);
            guessing.failed(one, at(0)).expect("no limit in all");
            guessing.check(one, at(1)).expect_err("it failed");
            guessing.check(other, at(1)).expect("it did not");
        }
    }

    #[test]
    fn beyond_the_limit_in_all_failures_are_turned_away_and_enter_no_pair() {
        let guessing = Guessing::new(1, 3);
        for number in 0..3 {
            guessing
                .failed(of(&guessing, &number.to_string(), "192.0.2.1"), at(0))
                .expect("within the limit");
        }
        let late = of(&guessing, "late", "192.0.2.1");
        let recorded: Vec<bool> =
            (0..3).map(|_| guessing.failed(late, at(0)).expect_err("too many").is_recorded).collect();
        assert_eq!(recorded, [true, false, false]);
        guessing.check(late, at(0)).expect("not entered");
        guessing.failed(late, at(1)).expect("the next second");
        guessing.check(late, at(1)).expect_err("entered");
    }

    #[test]
    fn made_up_pairs_take_no_more_memory_than_there_is_for_them() {
        let guessing = Guessing::new(20, 0);
        for number in 0..3 * PAIRS {
            guessing.failed(Some(Pair(number.wrapping_mul(0x9E37_79B9_7F4A_7C15))), at(0)).expect("no limit");
        }
        assert!(guessing.pairs.len() as u64 <= PAIRS);
    }

    #[test]
    fn zero_switches_each_limit_off() {
        let guessing = Guessing::new(0, 0);
        let pair = of(&guessing, "somebody", "192.0.2.1");
        for _ in 0..2000 {
            guessing.failed(pair, at(0)).expect("no limit");
        }
        guessing.check(pair, at(0)).expect("no limit");
    }
}
