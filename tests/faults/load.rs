//! Callers: each asks for tokens without a pause and keeps count of what it got.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::deployment::Caller;

/// How one request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A whole token came; its `jti`.
    Token(String),
    Status(u16),
    /// No whole answer.
    Broken(String),
}

#[derive(Debug, Clone)]
pub struct Sample {
    /// After the load began.
    pub at: Duration,
    pub took: Duration,
    pub end: End,
}

/// What all callers saw.
#[derive(Debug, Default)]
pub struct Seen(pub Vec<Sample>);

impl Seen {
    pub fn tokens(&self) -> HashSet<String> {
        let token = |sample: &Sample| match &sample.end {
            End::Token(id) => Some(id.clone()),
            _ => None,
        };
        self.0.iter().filter_map(token).collect()
    }

    /// In per cent.
    pub fn good_share(&self) -> f64 {
        let good = self.0.iter().filter(|sample| matches!(sample.end, End::Token(_))).count();
        100.0 * good as f64 / self.0.len().max(1) as f64
    }

    /// The bad ones, in words.
    pub fn bad(&self) -> Vec<String> {
        let bad = self.0.iter().filter(|sample| !matches!(sample.end, End::Token(_)));
        bad.take(5)
            .map(|sample| format!("{:?} after {:?}: {:?}", sample.at, sample.took, sample.end))
            .collect()
    }

    /// In milliseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut took: Vec<_> = self.0.iter().map(|sample| sample.took.as_secs_f64() * 1e3).collect();
        took.sort_by(f64::total_cmp);
        let place = ((took.len() as f64 - 1.0) * share).round() as usize;
        took.get(place).copied().unwrap_or_default()
    }

    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Where requests go: to the address of the number that stands there, which a test may change meanwhile.
#[derive(Clone)]
pub struct Route {
    bases: Arc<Vec<String>>,
    now: Arc<AtomicUsize>,
}

impl Route {
    pub fn to(bases: &[&str]) -> Self {
        let bases = bases.iter().map(|base| (*base).to_owned()).collect();
        Self { bases: Arc::new(bases), now: Arc::new(AtomicUsize::new(usize::MAX)) }
    }

    /// To one address only from now on.
    pub fn only(&self, number: usize) {
        self.now.store(number, Ordering::SeqCst);
    }

    /// To all of them in turn.
    pub fn all(&self) {
        self.now.store(usize::MAX, Ordering::SeqCst);
    }

    fn pick(&self, turn: usize) -> &str {
        let now = self.now.load(Ordering::SeqCst);
        let number = if now == usize::MAX { turn % self.bases.len() } else { now };
        &self.bases[number]
    }
}

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Load {
    pub fn start(route: &Route, callers: &[Caller]) -> Self {
        let (stop, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let threads = callers
            .iter()
            .enumerate()
            .map(|(number, caller)| {
                let (route, caller, stop) = (route.clone(), caller.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let agent = agent();
                    let mut seen = Seen::default();
                    let mut turn = number;
                    while !stop.load(Ordering::SeqCst) {
                        let at = began.elapsed();
                        let end = caller.ask(&agent, route.pick(turn));
                        seen.0.push(Sample { at, took: began.elapsed() - at, end });
                        turn += 1;
                    }
                    seen
                })
            })
            .collect();
        Self { stop, threads }
    }

    pub fn run_for(route: &Route, callers: &[Caller], time: Duration) -> Seen {
        let load = Self::start(route, callers);
        std::thread::sleep(time);
        load.stop()
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        let mut seen = Seen::default();
        for thread in self.threads {
            seen.add(thread.join().unwrap());
        }
        seen
    }
}

/// One kept connection, as a caller has.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(15)))
        .build()
        .into()
}

/// The `jti` of a JWT; nothing is verified here.
pub fn token_id(token: &str) -> Option<String> {
    Some(claims_of(token)?["jti"].as_str()?.to_owned())
}

/// What stands in a JWT; nothing is verified here.
pub fn claims(token: &str) -> serde_json::Value {
    claims_of(token).unwrap_or_else(|| panic!("no JWT: {token}"))
}

fn claims_of(token: &str) -> Option<serde_json::Value> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}
