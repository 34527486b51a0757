//! How long issuing takes, by compute region: counted in memory on the path of a token, written down beside it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Core;
use crate::domain::latency::{Latencies, LatencyRow, Span};
use crate::domain::region::Region;
use crate::storage::Result;

/// What this process measured and what of it is not written yet.
///
/// Bounded: compute regions are labels of `Metrics::pair`, of which there are some sixty at most, and rows that no
/// window looks back to are dropped, also while the database is away.
pub struct LatencyBook {
    process: Uuid,
    /// Since the last look, by compute region.
    running: Mutex<HashMap<Box<str>, Latencies>>,
    /// Rows whose span goes on, and those that could not be written.
    rows: tokio::sync::Mutex<BTreeMap<Key, Row>>,
}

type Key = (Span, DateTime<Utc>, Region);

struct Row {
    latencies: Latencies,
    is_written: bool,
}

/// One statement of moderate length.
const ROWS_AT_ONCE: usize = 200;

impl LatencyBook {
    /// `process` names the rows as this process's own.
    pub fn new(process: Uuid) -> Self {
        Self { process, running: Mutex::default(), rows: tokio::sync::Mutex::default() }
    }

    /// Counts a token. The lock is held for two look-ups in small maps.
    pub fn observe(&self, compute_region: &str, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(compute_region) {
            Some(latencies) => latencies.add(micros),
            // Management tokens belong to no compute region.
            None if compute_region.is_empty() => {}
            None => running.entry(compute_region.into()).or_default().add(micros),
        }
    }

    /// Adds what was counted to the rows of the spans that an instant lies in, and drops rows that are too old.
    fn turn_over(&self, rows: &mut BTreeMap<Key, Row>, now: DateTime<Utc>) {
        let counted = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for (compute_region, latencies) in counted {
            // A region's name, or the word for those beyond the limit, which is lawful as one.
            let Ok(compute_region) = Region::parse(&compute_region) else { continue };
            for span in Span::ALL {
                let row = rows
                    .entry((span, span.start_of(now), compute_region.clone()))
                    .or_insert_with(|| Row { latencies: Latencies::default(), is_written: false });
                row.latencies.merge(&latencies);
                row.is_written = false;
            }
        }
        rows.retain(|(span, starts_at, _), row| {
            let goes_on = *starts_at == span.start_of(now);
            goes_on || (!row.is_written && *starts_at > now - span.kept_for())
        });
    }
}

impl Core {
    /// Writes what was measured since it was last called. What can't be written is kept for the next time.
    pub async fn keep_latencies(&self) -> Result<()> {
        let book = &self.latencies;
        let mut rows = book.rows.lock().await;
        book.turn_over(&mut rows, self.clock.now());
        let unwritten: Vec<LatencyRow> = rows
            .iter()
            .filter(|(_, row)| !row.is_written)
            .map(|((span, starts_at, compute_region), row)| LatencyRow {
                span: *span,
                starts_at: *starts_at,
                region: self.settings.policy.region.clone(),
                compute_region: compute_region.clone(),
                process: book.process,
                latencies: row.latencies.clone(),
            })
            .collect();
        for chunk in unwritten.chunks(ROWS_AT_ONCE) {
            self.store.put_latencies(chunk).await?;
            for written in chunk {
                let key = (written.span, written.starts_at, written.compute_region.clone());
                rows.entry(key).and_modify(|row| row.is_written = true);
            }
        }
        Ok(())
    }

    /// Removes the rows, of all processes, that no window looks back to.
    pub async fn forget_latencies(&self) -> Result<()> {
        for span in Span::ALL {
            self.store.remove_latencies(span, self.clock.now() - span.kept_for()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Duration = Duration::from_micros(20);

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minutes, 0).expect("in range")
    }

    fn counts(rows: &BTreeMap<Key, Row>, span: Span) -> Vec<u64> {
        rows.iter().filter(|(key, _)| key.0 == span).map(|(_, row)| row.latencies.count()).collect()
    }

    #[test]
    fn what_is_counted_goes_to_its_minute_and_its_quarter() {
        let (book, mut rows) = (LatencyBook::new(Uuid::nil()), BTreeMap::new());
        book.observe("west", TOKEN);
        book.observe("", TOKEN);
        book.turn_over(&mut rows, at(0));
        book.observe("west", TOKEN);
        book.observe("west", TOKEN);
        book.turn_over(&mut rows, at(1));
        assert_eq!((counts(&rows, Span::Minute), counts(&rows, Span::Quarter)), (vec![1, 2], vec![3]));
        rows.values_mut().for_each(|row| row.is_written = true);
        book.turn_over(&mut rows, at(2));
        assert_eq!((counts(&rows, Span::Minute), counts(&rows, Span::Quarter)), (vec![], vec![3]));
    }

    #[test]
    fn what_can_not_be_written_does_not_grow_for_ever() {
        let (book, mut rows) = (LatencyBook::new(Uuid::nil()), BTreeMap::new());
        for minute in 0..3000 {
            book.observe("west", TOKEN);
            book.turn_over(&mut rows, at(minute));
        }
        let (minutes, quarters) = (counts(&rows, Span::Minute), counts(&rows, Span::Quarter));
        assert!(minutes.len() <= 62 && quarters.len() <= 98, "{} and {}", minutes.len(), quarters.len());
        assert!(quarters.iter().sum::<u64>() >= 24 * 60, "and holds the whole day");
    }
}
