//! How many tokens a proven principal gets in a minute. Whoever loops over token requests is told so, and leaves the
//! others their share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, RateLimiter};

use super::{Limit, Limited};
use crate::directory::{Bounded, bounded};
use crate::domain::ids::ObjectId;

/// The meters of the principals that were seen last.
pub struct Quotas {
    /// `None`: as many as are asked for.
    per_minute: Option<NonZeroU32>,
    meters: Bounded<ObjectId, Arc<Meter>>,
    clock: DefaultClock,
}

/// A few atomics.
struct Meter {
    tokens: DefaultDirectRateLimiter,
    /// Of what is refused so much is recorded: a loop must not fill the audit.
    records: DefaultDirectRateLimiter,
}

impl Quotas {
    /// `per_minute`: 0 for no limit. `principals`: as many as have their facts in memory.
    pub fn new(per_minute: u32, principals: u64) -> Self {
        let per_minute = NonZeroU32::new(per_minute);
        let kept = if per_minute.is_some() { principals } else { 1 };
        Self { per_minute, meters: bounded(kept), clock: DefaultClock::default() }
    }

    /// Takes one token off the principal's quota. All of a minute's may come at once: a fleet that restarts is no loop.
    ///
    /// # Errors
    /// None is left; one a second of these is to be recorded.
    pub fn take(&self, principal: ObjectId) -> Result<(), Limited> {
        let Some(per_minute) = self.per_minute else {
            return Ok(());
        };
        let made = self.meters.get_or_insert_with(&principal, || {
            Ok::<_, std::convert::Infallible>(Arc::new(Meter {
                tokens: RateLimiter::direct(governor::Quota::per_minute(per_minute)),
                records: RateLimiter::direct(governor::Quota::per_second(NonZeroU32::MIN)),
            }))
        });
        let Ok(meter) = made;
        meter.tokens.check().map_err(|until| Limited {
            limit: Limit::Principal,
            retry_after_seconds: whole_seconds(until.wait_time_from(self.clock.now())),
            is_recorded: meter.records.check().is_ok(),
        })
    }
}

/// Rounded up: who comes back after them finds a token.
fn whole_seconds(wait: Duration) -> u32 {
    let rounded = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    u32::try_from(rounded.max(1)).unwrap_or(u32::MAX)
}

// A test has no caller to hand an error to.
#[allow(clippy::expect_used)]
#[cfg(test)]
mod tests {
    use super::*;

    fn principal(number: u128) -> ObjectId {
        ObjectId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_principal_gets_its_quota_and_the_others_theirs() {
        let quotas = Quotas::new(2, 10);
        for number in [1, 2] {
            for _ in 0..2 {
                quotas.take(principal(number)).expect("within the quota");
            }
            let limited = quotas.take(principal(number)).expect_err("the quota is spent");
            // Two a minute: the next one comes after half of it.
            assert_eq!(
                limited,
                Limited { limit: Limit::Principal, retry_after_seconds: 30, is_recorded: true }
            );
            assert!(!quotas.take(principal(number)).expect_err("still spent").is_recorded);
        }
    }

    #[test]
    fn zero_is_no_quota() {
        let quotas = Quotas::new(0, 10);
        for _ in 0..100_000 {
            quotas.take(principal(1)).expect("no limit");
        }
        assert_eq!(quotas.meters.len(), 0);
    }

    #[test]
    fn waits_are_whole_seconds_and_never_none() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1000)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
    }
}
