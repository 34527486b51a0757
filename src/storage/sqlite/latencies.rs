//! How long issuing took: rows that each process writes for itself.

use chrono::{DateTime, Utc};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::codec::{micros, to_json, unavailable};
use crate::domain::latency::{LatencyRow, Span};
use crate::storage::{Result, read};

const PUT: &str = "INSERT INTO token_latencies (span_seconds, starts_at, region, compute_region, process, buckets) \
                   VALUES (?, ?, ?, ?, ?, ?) \
                   ON CONFLICT (span_seconds, starts_at, region, compute_region, process) \
                   DO UPDATE SET buckets = excluded.buckets";

pub async fn put(connection: &mut SqliteConnection, rows: &[LatencyRow]) -> Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
    for row in rows {
        let query = sqlx::query(PUT)
            .bind(row.span.seconds())
            .bind(micros(row.starts_at))
            .bind(row.region.as_str())
            .bind(row.compute_region.as_str())
            .bind(row.process)
            .bind(to_json(&row.latencies)?);
        query.execute(&mut *transaction).await.map_err(unavailable)?;
    }
    transaction.commit().await.map_err(unavailable)
}

pub async fn since(pool: &SqlitePool, span: Span, since: DateTime<Utc>) -> Result<Vec<LatencyRow>> {
    let sql = "SELECT * FROM token_latencies WHERE span_seconds = ? AND starts_at > ?";
    let query = sqlx::query(sql).bind(span.seconds()).bind(micros(since));
    let rows = query.fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::latency_row).collect()
}

pub async fn remove(connection: &mut SqliteConnection, span: Span, until: DateTime<Utc>) -> Result<()> {
    let sql = "DELETE FROM token_latencies WHERE span_seconds = ? AND starts_at <= ?";
    let query = sqlx::query(sql).bind(span.seconds()).bind(micros(until));
    query.execute(connection).await.map_err(unavailable).map(drop)
}
