//! Three times the token requests that the service can answer: it goes on at its peak, and whom it turns away hears so
//! soon.
//!
//! Callers and service share the cores here, so whatever the callers do is taken from the service: a share of the peak
//! that holds here holds with callers elsewhere.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::{Duration, Instant};

use crate::alone;
use crate::deployment::{Deployment, Replica, figure, get, is_full};
use crate::offered::{Offer, Outcome, Patience, percentile};

/// With so many the service is at its peak, and turns nobody away.
const AT_PEAK: usize = 256;
const QUIET: Offer = Offer {
    callers: 8,
    per_second: 200.0,
    patience: Patience::AsksAgainAtOnce,
    time: Duration::from_secs(1),
};

struct Sizes {
    callers: usize,
    rounds: usize,
    peak: Duration,
    over: Duration,
    settings: &'static [(&'static str, &'static str)],
}

impl Sizes {
    /// The short form has fewer callers, and so few places that they are too many.
    fn asked_for() -> Self {
        let seconds = Duration::from_secs_f64;
        if is_full() {
            return Self { callers: 1500, rounds: 3, peak: seconds(2.0), over: seconds(5.0), settings: &[] };
        }
        let settings =
            &[("WSTS_LIMITS__MAX_WAITING_TOKENS", "16"), ("WSTS_LIMITS__MAX_REFUSALS_PER_SECOND", "200")];
        Self { callers: 64, rounds: 1, peak: seconds(0.5), over: seconds(2.0), settings }
    }
}

struct Service {
    deployment: Deployment,
    replica: Replica,
    requests: Vec<Vec<u8>>,
}

impl Service {
    fn start(settings: &[(&str, &str)]) -> Self {
        let deployment = Deployment::on_sqlite(64);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, OsStr::new(value))).collect();
        let replica = deployment.start_in(0, &settings);
        let requests = deployment.callers.iter().map(|caller| caller.request()).collect();
        Self { deployment, replica, requests }
    }

    fn meet(&self, offer: Offer) -> Outcome {
        offer.make(self.replica.base.trim_start_matches("http://"), &self.requests)
    }

    /// Token requests that it says it turned away.
    fn shed(&self) -> f64 {
        let (_, text) = get(&format!("{}/metrics", self.replica.ops)).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("sts_token_requests_total"));
        lines
            .filter(|line| line.contains("outcome=\"shed\""))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// How long until quiet callers are answered as before.
    fn recovery(quiet: f64, meet: &mut impl FnMut(Offer) -> Outcome) -> Duration {
        let ended = Instant::now();
        loop {
            let slice = meet(Offer { time: Duration::from_millis(250), ..QUIET });
            if percentile(&slice.served, 0.5) <= 2.0 * quiet && slice.refused.is_empty() {
                return ended.elapsed();
            }
            assert!(ended.elapsed() < Duration::from_secs(20), "it does not recover");
        }
    }
}

/// What callers received, of all their offers to one service.
#[derive(Default)]
struct Received {
    ids: HashSet<String>,
    tokens: usize,
    refused: usize,
}

impl Received {
    fn take(&mut self, seen: &Outcome) {
        let bad = &seen.bad;
        assert!(bad.is_empty(), "{} answers are neither: {:?}", bad.len(), &bad[..bad.len().min(3)]);
        self.ids.extend(seen.tokens.iter().cloned());
        self.tokens += seen.tokens.len();
        self.refused += seen.refused.len();
    }
}

fn turned_away_or_served(patience: Patience, fault: &str) {
    let Sizes { callers, rounds, peak, over, settings } = Sizes::asked_for();
    let service = Service::start(settings);
    let mut received = Received::default();
    let mut meet = |offer| {
        let seen = service.meet(offer);
        received.take(&seen);
        seen
    };
    let quiet = percentile(&meet(QUIET).served, 0.5);
    let full_speed = Offer { callers: AT_PEAK.min(callers), per_second: f64::MAX, patience, time: peak };
    let mut peaks = vec![meet(full_speed).per_second()];
    let (mut all, mut shares) = (Outcome::default(), Vec::new());
    let mut recovered = Duration::ZERO;
    // In turns, since the machine drifts; each round beside the peaks before and after it.
    for _ in 0..rounds {
        let before = peaks[peaks.len() - 1];
        let seen = meet(Offer { callers, per_second: 3.0 * before, patience, time: over });
        recovered = recovered.max(Service::recovery(quiet, &mut meet));
        let after = meet(full_speed).per_second();
        shares.push(200.0 * seen.per_second() / (before + after));
        peaks.push(after);
        all.add(seen);
    }
    let share = percentile(&shares, 0.5);
    let said_no = percentile(&all.refused, 0.99);
    let of = |values: &[f64]| format!("{:.1}, {:.1}", percentile(values, 0.5), percentile(values, 0.99));
    let list =
        |values: &[f64]| values.iter().map(|value| format!("{value:.0}")).collect::<Vec<_>>().join(" ");
    figure(fault, "callers, peaks in tokens/s", format!("{callers}, {}", list(&peaks)), "");
    figure(fault, "tokens/s at 3 x that", format!("{:.0}", all.per_second()), "");
    figure(fault, "of the peak, %, each round", format!("{share:.1} ({})", list(&shares)), "90 at least");
    figure(fault, "tokens, p50, p99, ms", of(&all.served), "");
    figure(fault, "refusals/s", format!("{:.0}", all.refused.len() as f64 / all.took.as_secs_f64()), "");
    figure(fault, "refusals, p50, p99, ms", of(&all.refused), "50, if they wait");
    figure(fault, "quiet p50 again after, ms", recovered.as_millis(), "5000");
    let lost = service.deployment.lost(&received.ids);
    figure(
        fault,
        "no answer, neither; tokens not in the audit",
        format!("{}, {lost}", all.bad.len()),
        "0, 0",
    );
    assert_eq!((lost, received.ids.len()), (0, received.tokens), "each token is one of its own");
    assert_eq!(service.shed() as usize, received.refused, "the metric counts what callers saw");
    assert!(!all.refused.is_empty(), "nobody was turned away");
    if is_full() {
        assert!(share >= 90.0, "{share:.1} % of the peak");
        assert!(recovered <= Duration::from_secs(5), "{recovered:?}");
        assert!(patience == Patience::AsksAgainAtOnce || said_no <= 50.0, "refusals after {said_no:.1} ms");
    }
}

#[test]
fn callers_that_wait_out_retry_after_are_refused_soon_and_served_at_the_peak() {
    let _alone = alone();
    turned_away_or_served(Patience::WaitsOutRetryAfter, "3 x load, Retry-After heeded");
}

#[test]
fn callers_that_come_back_at_once_take_nothing_from_the_tokens() {
    let _alone = alone();
    turned_away_or_served(Patience::AsksAgainAtOnce, "3 x load, back at once");
}
