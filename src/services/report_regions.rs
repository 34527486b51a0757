//! The regions as any of them sees them: which there are, whether they answer, and how long issuing takes in each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::Core;
use super::publish_keys::Document;
use crate::domain::latency::{Latencies, LatencyRow, Span, Window};
use crate::domain::region::{Region, RegionAddress};
use crate::domain::signing_key::KeyState;
use crate::storage::{Replica, Result};

/// How old the document may be, in seconds: the database is read that often at most, whoever asks.
pub const REPORT_MAX_AGE_SECONDS: u32 = 10;
/// The last document, and the turn of whoever makes the next.
#[derive(Default)]
pub struct RegionsKept {
    made: ArcSwapOption<Made>,
    turn: tokio::sync::Mutex<()>,
}

struct Made {
    /// By the steady clock.
    at: Duration,
    document: Arc<Document>,
}

/// What `GET /regions` says.
#[derive(Serialize)]
struct Report {
    /// Whoever answers.
    region: Region,
    as_of: String,
    regions: Vec<RegionReport>,
}

#[derive(Serialize)]
struct RegionReport {
    #[serde(flatten)]
    address: RegionAddress,
    health: Health,
    last_seen: Option<String>,
    latency: Vec<PairReport>,
}

/// Whether a region answers, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// A replica of it is there, and a key signs.
    Serving,
    /// It is there and can't issue: this process knows why of itself; another region has no key to sign with.
    NotServing,
    /// No replica of it has been seen for a minute.
    Unknown,
}

#[derive(Serialize)]
struct PairReport {
    compute_region: Region,
    /// By name; one that has no tokens has a count of 0.
    windows: BTreeMap<&'static str, Percentiles>,
}

#[derive(Serialize)]
struct Percentiles {
    count: u64,
    p50_milliseconds: Option<f64>,
    p95_milliseconds: Option<f64>,
    p99_milliseconds: Option<f64>,
}

impl From<&Latencies> for Percentiles {
    fn from(latencies: &Latencies) -> Self {
        // Microseconds below an hour are exact in a double.
        let within = |per_mille| latencies.within_micros(per_mille).map(|micros| micros as f64 / 1000.0);
        Self {
            count: latencies.count(),
            p50_milliseconds: within(500),
            p95_milliseconds: within(950),
            p99_milliseconds: within(990),
        }
    }
}

/// By issuing region, compute region and window.
type Sums = BTreeMap<Region, BTreeMap<Region, BTreeMap<Window, Latencies>>>;

impl Core {
    /// The report as JSON, at most some seconds old. While the database can't be read, the last one.
    pub async fn regions_report(&self) -> Arc<Document> {
        let fresh = |made: &Made| {
            self.clock.steady().saturating_sub(made.at) < Duration::from_secs(REPORT_MAX_AGE_SECONDS.into())
        };
        let kept = self.regions.made.load_full();
        if let Some(made) = kept.as_deref().filter(|made| fresh(made)) {
            return Arc::clone(&made.document);
        }
        // One makes it; who has an old one does not wait for that.
        let _turn = match (self.regions.turn.try_lock(), kept) {
            (Ok(turn), _) => turn,
            (Err(_), Some(made)) => return Arc::clone(&made.document),
            (Err(_), None) => self.regions.turn.lock().await,
        };
        let kept = self.regions.made.load_full();
        if let Some(made) = kept.as_deref().filter(|made| fresh(made)) {
            return Arc::clone(&made.document);
        }
        let document = match (self.seen().await, kept) {
            (Ok(seen), _) => Arc::new(Document::of(&self.report(&seen))),
            (Err(error), kept) => {
                tracing::debug!(error = %error, "latencies could not be read");
                kept.map_or_else(
                    || Arc::new(Document::of(&self.report(&Seen::default()))),
                    |made| Arc::clone(&made.document),
                )
            }
        };
        let made = Made { at: self.clock.steady(), document: Arc::clone(&document) };
        self.regions.made.store(Some(Arc::new(made)));
        document
    }

    /// Why this process issues nothing, if that is so: the clock is wrong, the keys can't be used, none is active, or
    /// they were read too long ago.
    pub fn why_not_issuing(&self) -> Option<Cow<'static, str>> {
        let now = match self.clock.confirmed() {
            Ok(now) => now,
            Err(wrong) => return Some(wrong.to_string().into()),
        };
        if let Some(trouble) = self.key_trouble.load_full() {
            return Some(format!("the signing keys in the database can't be used: {trouble}").into());
        }
        // Not whether they are fresh enough to sign with: gateways need the JWKS all the same.
        if self.key_ring.load().active(now).is_none() {
            return Some("no signing key is active".into());
        }
        (self.jwks_max_age() == 0).then_some("the signing keys were not read for too long".into())
    }

    async fn seen(&self) -> Result<Seen> {
        let now = self.clock.now();
        let mut seen = Seen { replicas: self.store.live_replicas(now).await?, rows: Vec::new() };
        for span in Span::ALL {
            seen.rows.extend(self.store.latencies(span, now - span.kept_for()).await?);
        }
        Ok(seen)
    }

    fn report(&self, seen: &Seen) -> Report {
        let policy = &self.settings.policy;
        let now = self.clock.now();
        let mut sums = summed(&seen.rows, now);
        let mut regions: Vec<RegionAddress> = policy.regions.iter().cloned().collect();
        // Without a list there is this one; with one, there may be tokens of a region that has left it.
        for name in std::iter::once(&policy.region).chain(sums.keys()) {
            if !regions.iter().any(|listed| listed.name == *name) {
                regions.push(RegionAddress { name: name.clone(), url: None });
            }
        }
        let report = |address: RegionAddress| {
            let (health, last_seen) = self.health(&address.name, seen, now);
            let latency = sums.remove(&address.name).unwrap_or_default().into_iter().map(pair_report);
            RegionReport { health, last_seen: last_seen.map(text_of), latency: latency.collect(), address }
        };
        Report {
            region: policy.region.clone(),
            as_of: text_of(now),
            regions: regions.into_iter().map(report).collect(),
        }
    }

    /// Of the own region what this process knows of itself; of another one, what its replicas say in the database and
    /// whether it has a key to sign with.
    fn health(&self, region: &Region, seen: &Seen, now: DateTime<Utc>) -> (Health, Option<DateTime<Utc>>) {
        if *region == self.settings.policy.region {
            let issues = self.why_not_issuing().is_none() && self.confirmed_keys().is_ok();
            let health = if issues { Health::Serving } else { Health::NotServing };
            return (health, Some(now));
        }
        let alive = seen.replicas.iter().filter(|replica| replica.region == *region);
        let has_key = || {
            let ring = self.key_ring.load();
            let mut own = ring.keys().iter().filter(|loaded| loaded.key.region == *region);
            own.any(|loaded| loaded.key.life.state(now) == KeyState::Active)
        };
        match alive.map(|replica| replica.seen_at).max() {
            Some(seen_at) if has_key() => (Health::Serving, Some(seen_at)),
            Some(seen_at) => (Health::NotServing, Some(seen_at)),
            None => {
                let rows = seen.rows.iter().filter(|row| row.region == *region);
                (Health::Unknown, rows.map(|row| row.starts_at).max())
            }
        }
    }
}

/// What the database tells of the regions.
#[derive(Default)]
struct Seen {
    replicas: Vec<Replica>,
    rows: Vec<LatencyRow>,
}

fn summed(rows: &[LatencyRow], now: DateTime<Utc>) -> Sums {
    let mut sums = Sums::new();
    for row in rows {
        let of_pair =
            sums.entry(row.region.clone()).or_default().entry(row.compute_region.clone()).or_default();
        for window in Window::ALL.into_iter().filter(|window| window.holds(row.span, row.starts_at, now)) {
            of_pair.entry(window).or_default().merge(&row.latencies);
        }
    }
    sums
}

fn pair_report((compute_region, sums): (Region, BTreeMap<Window, Latencies>)) -> PairReport {
    let empty = Latencies::default();
    let of = |window: Window| (window.name(), Percentiles::from(sums.get(&window).unwrap_or(&empty)));
    PairReport { compute_region, windows: Window::ALL.into_iter().map(of).collect() }
}

fn text_of(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}
