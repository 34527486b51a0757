//! Validators that honour `Cache-Control`: each keeps its copy until that has expired, then asks whichever replica its
//! load balancer sends it to.

use super::database::Kids;
use super::lengths::{Millis, SECOND};
use super::replica::Answer;

/// Share of `max-age` by which answers differ (`services::publish_keys`).
const LARGEST_SPREAD: Millis = 5;

#[derive(Debug, Clone)]
pub struct Validator {
    /// Makes its phase and its choices another one's than its neighbour's.
    pub seed: u64,
    pub copy: Option<Copy>,
}

/// What was fetched.
#[derive(Debug, Clone)]
pub struct Copy {
    pub answer: Answer,
    pub fresh_until: Millis,
}

impl Copy {
    pub const fn is_fresh(&self, now: Millis) -> bool {
        now < self.fresh_until
    }

    pub const fn has(&self, kid: usize) -> bool {
        let kids: Kids = self.answer.kids;
        kids & (1 << kid) != 0
    }
}

impl Validator {
    /// Fetches if it must. A replica that says `no-cache` is not ready, so none is asked that does; where all say so, the
    /// validator can't tell about any token.
    pub fn look(&mut self, answers: &[Answer], now: Millis) {
        if self.copy.as_ref().is_some_and(|copy| copy.is_fresh(now)) {
            return;
        }
        let served: Vec<_> = answers.iter().filter(|answer| answer.max_age > 0).collect();
        let draw = mix(self.seed, now);
        let chosen = served.get((draw % 1024) as usize % served.len().max(1));
        self.copy = chosen.map(|answer| {
            let spread = answer.max_age / LARGEST_SPREAD * ((draw >> 32) % 101) as Millis / 100;
            let age = (answer.max_age - spread) / SECOND * SECOND;
            Copy { answer: **answer, fresh_until: now + age }
        });
    }
}

/// A number that looks drawn, the same for the same two (splitmix64).
pub const fn mix(seed: u64, now: Millis) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ now.cast_unsigned();
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
