//! How long issuing took: rows that each process writes for itself.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgPool;

use super::codec::{instant, to_json, unavailable};
use crate::domain::latency::{LatencyRow, Span};
use crate::storage::{Result, read};

const PUT: &str = "INSERT INTO token_latencies (span_seconds, starts_at, region, compute_region, process, buckets) \
                   SELECT * FROM UNNEST($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::uuid[], $6::text[]) \
                   ON CONFLICT (span_seconds, starts_at, region, compute_region, process) \
                   DO UPDATE SET buckets = excluded.buckets";

pub async fn put(pool: &PgPool, rows: &[LatencyRow]) -> Result<()> {
    let buckets = rows.iter().map(|row| to_json(&row.latencies)).collect::<Result<Vec<_>>>()?;
    let query = sqlx::query(PUT)
        .bind(rows.iter().map(|row| row.span.seconds()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| instant(row.starts_at)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.region.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.compute_region.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.process).collect::<Vec<_>>())
        .bind(buckets);
    query.execute(pool).await.map_err(unavailable).map(drop)
}

pub async fn since(pool: &PgPool, span: Span, since: DateTime<Utc>) -> Result<Vec<LatencyRow>> {
    let sql = "SELECT * FROM token_latencies WHERE span_seconds = $1 AND starts_at > $2";
    let query = sqlx::query(sql).bind(span.seconds()).bind(instant(since));
    let rows = query.fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::latency_row).collect()
}

pub async fn remove(pool: &PgPool, span: Span, until: DateTime<Utc>) -> Result<()> {
    let sql = "DELETE FROM token_latencies WHERE span_seconds = $1 AND starts_at <= $2";
    let query = sqlx::query(sql).bind(span.seconds()).bind(instant(until));
    query.execute(pool).await.map_err(unavailable).map(drop)
}
