//! Audit rows. A batch is one statement, so its commit is one round trip to the database's thread.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use sqlx::query::QueryScalar;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, Encode, FromRow, Sqlite, Type};

use super::codec::{micros, unavailable};
use crate::domain::audit::{AuditCursor, Chained, LATEST_LINK, Link, Order, RecordText};
use crate::domain::ids::AuditRecordId;
use crate::storage::read::{self, Columns as _};
use crate::storage::{Result, StorageError};

/// Rows in the largest statement. SQLite takes 32,766 parameters; beyond this size nothing is gained.
pub const ROWS_PER_STATEMENT: usize = 64;

const COLUMNS: [&str; 7] = ["position", "id", "chain", "link", "linked_at", "code", "record"];

/// A record on its way in.
type Given<'r> = Chained<&'r RecordText>;

pub async fn append(connection: &mut SqliteConnection, records: &[Given<'_>]) -> Result<()> {
    if records.len() <= ROWS_PER_STATEMENT {
        // One statement is a transaction by itself.
        return insert(connection, records).await;
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
    insert(&mut transaction, records).await?;
    transaction.commit().await.map_err(unavailable)
}

/// Inserts within the caller's transaction, if there is one. A record that is there already is left as it is.
pub async fn insert(connection: &mut SqliteConnection, records: &[Given<'_>]) -> Result<()> {
    for chunk in records.chunks(ROWS_PER_STATEMENT) {
        let placed: Vec<_> = chunk.iter().map(|given| (position(&given.link), *given)).collect();
        if insert_rows(connection, &placed).await? < chunk.len() as u64 {
            for (position, given) in placed {
                insert_beside(connection, position, given).await?;
            }
        }
    }
    Ok(())
}

/// Bits of a position below its microsecond.
const CHAIN_BITS: u32 = 11;

/// Where a record stands: 52 bits of microseconds (until 2112), then some of its chain, which has no second record in a
/// microsecond.
fn position(link: &Link) -> i64 {
    // 11 bits, so nothing is lost.
    let chain = (link.chain.uuid().as_u128() & ((1 << CHAIN_BITS) - 1)) as i64;
    first_position(link.at) | chain
}

/// The first position of a microsecond.
fn first_position(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros().clamp(0, (1 << (63 - CHAIN_BITS)) - 1) << CHAIN_BITS
}

/// Inserts what finds its position free; how many did.
async fn insert_rows(connection: &mut SqliteConnection, rows: &[(i64, Given<'_>)]) -> Result<u64> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(rows.len() * COLUMNS.len(), 0);
    for (position, Chained { record, link }) in rows {
        // In the order of the columns.
        add(&mut arguments, *position)?;
        add(&mut arguments, record.id.uuid())?;
        add(&mut arguments, link.chain.uuid())?;
        add(&mut arguments, link.number)?;
        add(&mut arguments, micros(link.at))?;
        add(&mut arguments, link.code.0.to_vec())?;
        add(&mut arguments, Arc::<str>::from(record.json.as_str()))?;
    }
    let query = sqlx::query_with(AssertSqlSafe(statement(rows.len())), arguments);
    Ok(query.execute(connection).await.map_err(unavailable)?.rows_affected())
}

fn add<'t>(arguments: &mut SqliteArguments, value: impl Encode<'t, Sqlite> + Type<Sqlite>) -> Result<()> {
    arguments.add(value).map_err(|error| StorageError::Unavailable(error.to_string()))
}

/// Inserts a record whose position may be taken: by itself, delivered before, or by one of another chain, beside which
/// it then goes. Only old records are ever taken out, so whoever looks again finds it.
async fn insert_beside(connection: &mut SqliteConnection, wanted: i64, given: Given<'_>) -> Result<()> {
    const FREE: &str = "WITH RECURSIVE taken (place) AS (SELECT ? UNION ALL SELECT place + 1 FROM taken WHERE EXISTS \
                        (SELECT 1 FROM audit_records WHERE position = place)) SELECT max(place) FROM taken";
    const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM audit_records \
                            WHERE position >= ? AND position < ? AND chain = ? AND link = ?)";
    let (chain, number) = (given.link.chain.uuid(), given.link.number);
    loop {
        let free: i64 = scalar(connection, sqlx::query_scalar(FREE).bind(wanted)).await?;
        let look = sqlx::query_scalar(IS_THERE).bind(wanted).bind(free).bind(chain).bind(number);
        // Another process may take the free place between the look and the insert.
        if scalar(connection, look).await? || insert_rows(connection, &[(free, given)]).await? == 1 {
            return Ok(());
        }
    }
}

async fn scalar<T>(
    connection: &mut SqliteConnection,
    query: QueryScalar<'_, Sqlite, T, SqliteArguments>,
) -> Result<T>
where
    (T,): for<'r> FromRow<'r, SqliteRow>,
    T: Send + Unpin,
{
    query.fetch_one(connection).await.map_err(unavailable)
}

/// The statement for this number of rows, made once. Its text holds column names and question marks only.
fn statement(rows: usize) -> Arc<str> {
    static STATEMENTS: OnceLock<Vec<Arc<str>>> = OnceLock::new();
    let statements = STATEMENTS.get_or_init(|| {
        let row = format!("({})", ["?"; COLUMNS.len()].join(","));
        (0..=ROWS_PER_STATEMENT)
            .map(|rows| {
                let values = vec![row.as_str(); rows].join(",");
                // Not `OR IGNORE`: that passes in silence over every constraint, and a record would be confirmed that
                // is not there.
                format!(
                    "INSERT INTO audit_records ({}) VALUES {values} ON CONFLICT (position) DO NOTHING",
                    COLUMNS.join(",")
                )
                .into()
            })
            .collect()
    });
    // There is one for every length of a chunk; an empty statement would be refused by the database.
    statements.get(rows).map_or_else(|| Arc::from(""), Arc::clone)
}

/// How far a record may stand behind its position: some milliseconds, since only records of the same microsecond go there.
const FARTHEST_BESIDE: i64 = 10_000 << CHAIN_BITS;

pub async fn by_id(pool: &SqlitePool, id: AuditRecordId) -> Result<Option<Chained<RecordText>>> {
    let sql = "SELECT * FROM audit_records WHERE position BETWEEN ? AND ? AND id = ?";
    let Some(made_at) = id.made_at() else { return Ok(None) };
    let row = sqlx::query(sql)
        .bind(first_position(made_at))
        .bind(first_position(made_at + LATEST_LINK))
        .bind(id.uuid())
        .fetch_optional(pool)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(read::chained).transpose()
}

/// Rows behind the cursor, whose place is a position.
pub async fn page(
    pool: &SqlitePool,
    order: Order,
    cursor: AuditCursor,
    limit: u32,
) -> Result<Vec<(AuditCursor, Chained<RecordText>)>> {
    let (sql, bound) = match (order, cursor) {
        (Order::OldestFirst, AuditCursor::At(time)) => (OLDEST_FIRST, first_position(time).saturating_sub(1)),
        (Order::NewestFirst, AuditCursor::At(time)) => (NEWEST_FIRST, first_position(time)),
        (Order::OldestFirst, AuditCursor::Behind { place, .. }) => (OLDEST_FIRST, place),
        (Order::NewestFirst, AuditCursor::Behind { place, .. }) => (NEWEST_FIRST, place),
    };
    let query = sqlx::query(sql).bind(bound).bind(limit);
    let rows = query.fetch_all(pool).await.map_err(unavailable)?;
    let placed = |row: &SqliteRow| {
        let (found, place) = (read::chained(row)?, row.int("position")?);
        // By the position it is found and one day removed, but no code is over it.
        if !(0..=FARTHEST_BESIDE).contains(&place.wrapping_sub(position(&found.link))) {
            let id = found.record.id;
            return Err(StorageError::Corrupt(format!(
                "audit record {id} was moved from where its link stands"
            )));
        }
        Ok((AuditCursor::Behind { place, chain: found.link.chain }, found))
    };
    rows.iter().map(placed).collect()
}

const OLDEST_FIRST: &str = "SELECT * FROM audit_records WHERE position > ? ORDER BY position LIMIT ?";
const NEWEST_FIRST: &str = "SELECT * FROM audit_records WHERE position < ? ORDER BY position DESC LIMIT ?";

pub async fn ends(pool: &SqlitePool, before: DateTime<Utc>) -> Result<Vec<Link>> {
    // SQLite takes the other columns from the row of the maximum.
    let sql = "SELECT chain, max(link) AS link, linked_at, code FROM audit_records WHERE position < ? GROUP BY chain";
    let rows = sqlx::query(sql).bind(first_position(before)).fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::link).collect()
}

/// A transaction of moderate length: the service goes on beside it.
const REMOVED_AT_ONCE: u32 = 5000;

pub async fn remove(connection: &mut SqliteConnection, before: DateTime<Utc>) -> Result<u64> {
    let sql = "DELETE FROM audit_records WHERE position IN \
               (SELECT position FROM audit_records WHERE position < ? ORDER BY position LIMIT ?)";
    let query = sqlx::query(sql).bind(first_position(before)).bind(REMOVED_AT_ONCE);
    Ok(query.execute(connection).await.map_err(unavailable)?.rows_affected())
}
