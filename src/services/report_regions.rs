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
use crate::storage::Result;

/// How old the document may be, in seconds: the database is read that often at most, whoever asks.
pub const REPORT_MAX_AGE_SECONDS: u32 = 10;
/// A region from which nothing was seen for longer may be away. Issuing processes write each 15 seconds into the row of
/// a minute, so a row's start is up to 75 seconds back when all is well.
const SEEN_WITHIN: chrono::Duration = chrono::Duration::seconds(120);

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
    /// It issued tokens just now, or this process could.
    Serving,
    /// This process itself can't issue.
    NotServing,
    /// Nothing was seen of it: it is away, or nobody asked it for a token.
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
        let document = match (self.latency_rows().await, kept) {
            (Ok(rows), _) => Arc::new(Document::of(&self.report(&rows))),
            (Err(error), kept) => {
                tracing::debug!(error = %error, "latencies could not be read");
                kept.map_or_else(
                    || Arc::new(Document::of(&self.report(&[]))),
                    |made| Arc::clone(&made.document),
                )
            }
        };
        let made = Made { at: self.clock.steady(), document: Arc::clone(&document) };
        self.regions.made.store(Some(Arc::new(made)));
        document
    }

    /// Why this process issues nothing, if that is so: the clock is wrong, the keys can't be used, none is active, or its JWKS is too old.
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

    async fn latency_rows(&self) -> Result<Vec<LatencyRow>> {
        let now = self.clock.now();
        let mut rows = Vec::new();
        for span in Span::ALL {
            rows.extend(self.store.latencies(span, now - span.kept_for()).await?);
        }
        Ok(rows)
    }

    fn report(&self, rows: &[LatencyRow]) -> Report {
        let policy = &self.settings.policy;
        let now = self.clock.now();
        let mut sums = summed(rows, now);
        let mut regions: Vec<RegionAddress> = policy.regions.iter().cloned().collect();
        // Without a list there is this one; with one, there may be tokens of a region that has left it.
        for name in std::iter::once(&policy.region).chain(sums.keys()) {
            if !regions.iter().any(|listed| listed.name == *name) {
                regions.push(RegionAddress { name: name.clone(), url: None });
            }
        }
        let report = |address: RegionAddress| {
            let (health, last_seen) = self.health(&address.name, rows, now);
            let latency = sums.remove(&address.name).unwrap_or_default().into_iter().map(pair_report);
            RegionReport { health, last_seen: last_seen.map(text_of), latency: latency.collect(), address }
        };
        Report {
            region: policy.region.clone(),
            as_of: text_of(now),
            regions: regions.into_iter().map(report).collect(),
        }
    }

    /// Of the own region what this process knows of itself; of another one, what it has written.
    fn health(
        &self,
        region: &Region,
        rows: &[LatencyRow],
        now: DateTime<Utc>,
    ) -> (Health, Option<DateTime<Utc>>) {
        if *region == self.settings.policy.region {
            let health = if self.why_not_issuing().is_none() { Health::Serving } else { Health::NotServing };
            return (health, Some(now));
        }
        let seen = rows.iter().filter(|row| row.region == *region).map(|row| row.starts_at).max();
        match seen {
            Some(seen) if now - seen <= SEEN_WITHIN => (Health::Serving, Some(seen)),
            seen => (Health::Unknown, seen),
        }
    }
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
