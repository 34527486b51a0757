//! Audit rows. A batch is one statement in a transaction of its own, so it is durable after one round trip.

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, query::Query};
use uuid::Uuid;

use super::codec::{instant, unavailable};
use crate::domain::audit::{AuditCursor, Chained, LATEST_LINK, Link, Order, RecordText};
use crate::domain::ids::AuditRecordId;
use crate::storage::Result;
use crate::storage::read;

/// A record on its way in.
type Given<'r> = Chained<&'r RecordText>;

/// A batch of the recorder is a few hundred rows at most; a registry file brings one for each thing in it.
const ROWS_PER_STATEMENT: usize = 4096;

/// The key is named: any other constraint that a row breaks is an error, and no record is confirmed that is not there.
/// The texts come as such, so that they are parsed once.
const INSERT: &str = "INSERT INTO audit_records (linked_at, chain, link, id, code, record) \
                      SELECT linked_at, chain, link, id, code, record::json \
                      FROM UNNEST($1::timestamptz[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bytea[], $6::text[]) \
                      AS given (linked_at, chain, link, id, code, record) \
                      ON CONFLICT (linked_at, chain) DO NOTHING";

pub async fn append(pool: &PgPool, records: &[Given<'_>]) -> Result<()> {
    for chunk in in_order(records).chunks(ROWS_PER_STATEMENT) {
        insertion(chunk).execute(pool).await.map_err(unavailable)?;
    }
    Ok(())
}

/// Inserts within the caller's transaction. A record that is there already is left as it is.
pub async fn insert(connection: &mut PgConnection, records: &[Given<'_>]) -> Result<()> {
    for chunk in in_order(records).chunks(ROWS_PER_STATEMENT) {
        insertion(chunk).execute(&mut *connection).await.map_err(unavailable)?;
    }
    Ok(())
}

/// By key: rows are then appended at the right edge, and of two that insert the same records neither waits for a
/// record behind which the other one waits.
fn in_order<'r>(records: &[Given<'r>]) -> Vec<Given<'r>> {
    let mut ordered = records.to_vec();
    ordered.sort_unstable_by_key(|given| (given.link.at, given.link.chain.uuid()));
    ordered
}

fn insertion<'q>(rows: &[Given<'q>]) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(INSERT)
        .bind(rows.iter().map(|given| instant(given.link.at)).collect::<Vec<_>>())
        .bind(rows.iter().map(|given| given.link.chain.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|given| given.link.number).collect::<Vec<_>>())
        .bind(rows.iter().map(|given| given.record.id.uuid()).collect::<Vec<_>>())
        .bind(rows.iter().map(|given| given.link.code.0.to_vec()).collect::<Vec<_>>())
        .bind(rows.iter().map(|given| given.record.json.as_str()).collect::<Vec<_>>())
}

pub async fn by_id(pool: &PgPool, id: AuditRecordId) -> Result<Option<Chained<RecordText>>> {
    let Some(made_at) = id.made_at() else { return Ok(None) };
    let sql = text_of("WHERE linked_at BETWEEN $1 AND $2 AND id = $3 ORDER BY linked_at LIMIT 1");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(made_at)
        .bind(made_at + LATEST_LINK)
        .bind(id.uuid())
        .fetch_optional(pool)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(read::chained).transpose()
}

/// A reading; the driver would hand out JSON as a value and not as the text that it is.
fn text_of(rest: &str) -> String {
    format!("SELECT linked_at, chain, link, id, code, record::text AS record FROM audit_records {rest}")
}

/// A page may lie on a cold disk, and the ends of all chains are found by reading everything.
const LONG_READ: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '10min'";

/// Rows behind the cursor, whose place is the time in microseconds.
pub async fn page(
    pool: &PgPool,
    order: Order,
    cursor: AuditCursor,
    limit: u32,
) -> Result<Vec<(AuditCursor, Chained<RecordText>)>> {
    let rest = match order {
        Order::OldestFirst => "(linked_at, chain) > ($1, $2) ORDER BY linked_at, chain",
        Order::NewestFirst => "(linked_at, chain) < ($1, $2) ORDER BY linked_at DESC, chain DESC",
    };
    let (time, chain) = match cursor {
        // No chain has this id, so it stands before all of the time.
        AuditCursor::At(time) => (instant(time), Uuid::nil()),
        AuditCursor::Behind { place, chain } => {
            (DateTime::from_timestamp_micros(place).unwrap_or(DateTime::UNIX_EPOCH), chain.uuid())
        }
    };
    let sql = text_of(&format!("WHERE {rest} LIMIT $3"));
    let query = sqlx::query(AssertSqlSafe(sql)).bind(time).bind(chain).bind(i64::from(limit));
    let rows = long_read(pool, query).await?;
    let placed = |row| {
        let found = read::chained(row)?;
        let place = found.link.at.timestamp_micros();
        Ok((AuditCursor::Behind { place, chain: found.link.chain }, found))
    };
    rows.iter().map(placed).collect()
}

pub async fn long_read(pool: &PgPool, query: Query<'_, Postgres, PgArguments>) -> Result<Vec<PgRow>> {
    let mut transaction = pool.begin_with(LONG_READ).await.map_err(unavailable)?;
    let rows = query.fetch_all(&mut *transaction).await.map_err(unavailable)?;
    transaction.rollback().await.map_err(unavailable)?;
    Ok(rows)
}

pub async fn ends(pool: &PgPool, before: DateTime<Utc>) -> Result<Vec<Link>> {
    let sql = "SELECT chain, link, linked_at, code FROM audit_records \
               JOIN (SELECT chain, max(linked_at) AS linked_at FROM audit_records WHERE linked_at < $1 GROUP BY chain) \
               AS last USING (chain, linked_at)";
    let rows = long_read(pool, sqlx::query(sql).bind(instant(before))).await?;
    rows.iter().map(read::link).collect()
}

/// Months that lie wholly before `$1`.
const OLD_MONTHS: &str = "SELECT inhrelid::regclass::text AS name FROM pg_inherits \
    WHERE inhparent = 'audit_records'::regclass AND inhrelid::regclass::text ~ '^audit_records_[0-9]{4}_[0-9]{2}$' \
    AND to_timestamp(right(inhrelid::regclass::text, 7) || '_01 UTC', 'YYYY_MM_DD') AT TIME ZONE 'UTC' \
        + interval '1 month' <= $1 AT TIME ZONE 'UTC'";

/// A transaction of moderate length: the service goes on beside it.
const REMOVED_AT_ONCE: i64 = 10_000;

/// First whole months, then what is left of the one in which the time lies, and of the default partition.
pub async fn remove(pool: &PgPool, before: DateTime<Utc>) -> Result<u64> {
    let before = instant(before);
    let mut transaction = pool.begin_with(LONG_WRITE).await.map_err(unavailable)?;
    let months =
        sqlx::query(OLD_MONTHS).bind(before).fetch_all(&mut *transaction).await.map_err(unavailable)?;
    let mut removed = 0;
    for month in months {
        let name: String = month.try_get("name").map_err(unavailable)?;
        // A name of our own making, as the pattern above says.
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {name}"));
        let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut *transaction).await.map_err(unavailable)?;
        sqlx::query(AssertSqlSafe(format!("DROP TABLE {name}")))
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        removed += rows.unsigned_abs();
    }
    if removed == 0 {
        let sql = "DELETE FROM audit_records WHERE (linked_at, chain) IN \
                   (SELECT linked_at, chain FROM audit_records WHERE linked_at < $1 ORDER BY linked_at LIMIT $2)";
        let query = sqlx::query(sql).bind(before).bind(REMOVED_AT_ONCE);
        removed = query.execute(&mut *transaction).await.map_err(unavailable)?.rows_affected();
    }
    transaction.commit().await.map_err(unavailable)?;
    Ok(removed)
}

/// Counting a month takes its time; waiting for the table to be free holds up everybody, so not for long.
const LONG_WRITE: &str = "BEGIN; SET LOCAL statement_timeout = '10min'; SET LOCAL lock_timeout = '500ms'";

pub async fn prepare(pool: &PgPool) -> Result<()> {
    sqlx::query("SELECT prepare_audit_records()").execute(pool).await.map_err(unavailable)?;
    Ok(())
}
