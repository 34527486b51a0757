//! Phase 0: whether a token request is looked at at all. Beyond a limit it is turned away before it costs anything, and
//! only so many in a second are (docs/decisions/0009).
//!
//! Nothing here knows who asks or for what.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{Core, Refusal, RequestContext};

/// How many token requests are under way, and how many more may be turned away now.
pub struct Admission {
    most_waiting: usize,
    waiting: AtomicUsize,
    refusals: DefaultDirectRateLimiter,
}

/// A place among the requests that are under way; free again when dropped.
pub struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // Only counted: nothing else is ordered by it.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// `most_waiting`: token requests under way; of those beyond it as many are turned away as the second number says,
    /// and the others wait.
    pub fn new(most_waiting: usize, refusals_per_second: u32) -> Self {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        // A tenth of a second's worth at once: a whole second's would hold up the tokens meanwhile.
        let burst = at_least_one(refusals_per_second / 10);
        let quota = Quota::per_second(at_least_one(refusals_per_second)).allow_burst(burst);
        Self { most_waiting, waiting: AtomicUsize::new(0), refusals: RateLimiter::direct(quota) }
    }

    /// `None`: to be turned away.
    pub fn enter(&self) -> Option<Place<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        (before < self.most_waiting || self.refusals.check().is_err()).then_some(place)
    }
}

impl Core {
    /// A place for a token request, to be held until its answer; or the refusal, which is counted here.
    pub(super) fn admit(&self, context: &RequestContext) -> Result<Place<'_>, Refusal> {
        self.admission.enter().ok_or_else(|| {
            self.metrics.token_requests.with_label_values(&[context.endpoint.as_str(), "shed"]).inc();
            Refusal::Overloaded
        })
    }
}
