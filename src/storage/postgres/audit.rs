//! Audit rows. A batch is one statement in a transaction of its own, so it is durable after one round trip.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Duration};
use sqlx::postgres::{PgArguments, PgConnection, PgHasArrayType, PgPool};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Postgres, QueryBuilder, Type, query::Query};
use uuid::Uuid;

use super::codec::{instant, plain, unavailable};
use crate::domain::audit::{AuditCursor, AuditFilter, AuditRecord, Chained, Link};
use crate::domain::ids::AuditRecordId;
use crate::domain::resource::WebserviceId;
use crate::storage::read;
use crate::storage::{Result, StorageError};

/// Name, type, and how the values of a batch become an array of it.
type Column = (&'static str, &'static str, fn(&mut PgArguments, &[Given<'_>]) -> Result<()>);

/// Every column that is written. To add one: a migration, a line here, and one in `read::chained`.
const COLUMNS: [Column; 24] = [
    ("id", "uuid", |to, rows| array(to, rows, |row| row.id.uuid())),
    ("occurred_at", "timestamptz", |to, rows| array(to, rows, |row| instant(row.occurred_at))),
    ("event", "text", |to, rows| array(to, rows, |row| row.event.as_str())),
    ("outcome", "text", |to, rows| array(to, rows, |row| row.outcome.as_str())),
    ("reason", "text", |to, rows| array(to, rows, |row| row.reason.as_deref())),
    ("object_id", "uuid", |to, rows| array(to, rows, |row| row.actor.object_id.map(|id| id.uuid()))),
    ("client_id", "uuid", |to, rows| array(to, rows, |row| row.actor.client_id.map(|id| id.uuid()))),
    ("tenant_id", "uuid", |to, rows| array(to, rows, |row| row.actor.tenant_id.map(|id| id.uuid()))),
    ("credential_id", "uuid", |to, rows| array(to, rows, |row| row.actor.credential_id.map(|id| id.uuid()))),
    ("method", "text", |to, rows| array(to, rows, |row| row.actor.method.as_deref())),
    ("resource", "text", |to, rows| array(to, rows, |row| text(row.resource.as_deref()))),
    ("token_id", "text", |to, rows| array(to, rows, |row| row.token.as_ref().map(|token| &*token.token_id))),
    ("kid", "text", |to, rows| array(to, rows, |row| row.token.as_ref().map(|token| token.kid.as_str()))),
    ("expires_at", "timestamptz", |to, rows| {
        array(to, rows, |row| row.token.as_ref().map(|token| instant(token.expires_at)))
    }),
    ("detail", "text", |to, rows| array(to, rows, |row| text(row.detail.as_deref()))),
    ("endpoint", "text", |to, rows| array(to, rows, |row| &*row.request.endpoint)),
    ("region", "text", |to, rows| array(to, rows, |row| &*row.request.region)),
    ("address", "text", |to, rows| array(to, rows, |row| row.request.address.map(|ip| ip.to_string()))),
    ("request_id", "text", |to, rows| array(to, rows, |row| plain(&row.request.request_id))),
    ("trace_id", "text", |to, rows| array(to, rows, |row| text(row.request.trace_id.as_deref()))),
    ("latency_micros", "bigint", |to, rows| array(to, rows, |row| row.latency_micros)),
    ("chain", "uuid", |to, rows| linked(to, rows, |link| link.chain.uuid())),
    ("link", "bigint", |to, rows| linked(to, rows, |link| link.number)),
    ("code", "bytea", |to, rows| linked(to, rows, |link| link.code.0.to_vec())),
];

/// A record on its way in.
type Given<'r> = Chained<&'r AuditRecord>;

/// A batch of the recorder is a few hundred rows at most; a registry file brings one for each thing in it.
const ROWS_PER_STATEMENT: usize = 4096;

fn array<'r, T>(to: &mut PgArguments, rows: &[Given<'r>], value: impl Fn(&'r AuditRecord) -> T) -> Result<()>
where
    T: Encode<'r, Postgres> + Type<Postgres> + PgHasArrayType + 'r,
{
    let values: Vec<T> = rows.iter().map(|row| value(row.record)).collect();
    to.add(values).map_err(|error| StorageError::Unavailable(error.to_string()))
}

fn linked<'r, T>(to: &mut PgArguments, rows: &[Given<'r>], value: impl Fn(&Link) -> T) -> Result<()>
where
    T: Encode<'r, Postgres> + Type<Postgres> + PgHasArrayType + 'r,
{
    let values: Vec<T> = rows.iter().map(|row| value(&row.link)).collect();
    to.add(values).map_err(|error| StorageError::Unavailable(error.to_string()))
}

fn text(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(plain)
}

pub async fn append(pool: &PgPool, records: &[Given<'_>]) -> Result<()> {
    for chunk in in_order(records).chunks(ROWS_PER_STATEMENT) {
        insertion(chunk)?.execute(pool).await.map_err(unavailable)?;
    }
    Ok(())
}

/// Inserts within the caller's transaction. A record that is there already is left as it is.
pub async fn insert(connection: &mut PgConnection, records: &[Given<'_>]) -> Result<()> {
    for chunk in in_order(records).chunks(ROWS_PER_STATEMENT) {
        insertion(chunk)?.execute(&mut *connection).await.map_err(unavailable)?;
    }
    Ok(())
}

/// By key: rows are then appended at the right edge, and of two that insert the same records neither waits for a
/// record behind which the other one waits.
fn in_order<'r>(records: &[Given<'r>]) -> Vec<Given<'r>> {
    let mut ordered = records.to_vec();
    ordered.sort_unstable_by_key(|given| (instant(given.record.occurred_at), given.record.id.uuid()));
    ordered
}

fn insertion(rows: &[Given<'_>]) -> Result<Query<'static, Postgres, PgArguments>> {
    static STATEMENT: OnceLock<Arc<str>> = OnceLock::new();
    // Its text holds names and types of columns and no value.
    let statement = STATEMENT.get_or_init(|| {
        let names: Vec<_> = COLUMNS.iter().map(|(name, ..)| *name).collect();
        let arrays: Vec<_> =
            COLUMNS.iter().zip(1..).map(|((_, kind, _), place)| format!("${place}::{kind}[]")).collect();
        let (names, arrays) = (names.join(", "), arrays.join(", "));
        // The key is named: any other constraint that a row breaks is an error, and no record is confirmed that is
        // not there.
        format!(
            "INSERT INTO audit_records ({names}) SELECT * FROM UNNEST({arrays}) \
             ON CONFLICT (occurred_at, id) DO NOTHING"
        )
        .into()
    });
    let mut arguments = PgArguments::default();
    for (_, _, add) in COLUMNS {
        add(&mut arguments, rows)?;
    }
    Ok(sqlx::query_with(AssertSqlSafe(Arc::clone(statement)), arguments))
}

/// How far the time in an id may lie behind that of its record: ids of a long list, such as a registry file of a
/// hundred thousand principals, follow one another by a quarter of a microsecond.
const FARTHEST: Duration = Duration::seconds(10);

pub async fn by_id(pool: &PgPool, id: AuditRecordId) -> Result<Option<Chained<AuditRecord>>> {
    // The key begins with the time, of which the id holds the milliseconds (RFC 9562 section 5.7).
    let millis = i64::try_from(id.uuid().as_u128() >> 80).unwrap_or(0);
    let Some(made_at) = DateTime::from_timestamp_millis(millis) else { return Ok(None) };
    let sql = "SELECT * FROM audit_records WHERE occurred_at BETWEEN $1 AND $2 AND id = $3";
    let row = sqlx::query(sql)
        .bind(made_at - FARTHEST)
        .bind(made_at + Duration::milliseconds(1))
        .bind(id.uuid())
        .fetch_optional(pool)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(read::chained).transpose()
}

/// A list may read the whole table before it finds enough.
const LONG_READ: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '30s'";

pub async fn list(pool: &PgPool, filter: &AuditFilter) -> Result<Vec<Chained<AuditRecord>>> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM audit_records WHERE true");
    if let Some(since) = filter.since {
        query.push(" AND occurred_at >= ").push_bind(instant(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND occurred_at < ").push_bind(instant(until));
    }
    if let Some(principal) = filter.principal {
        query.push(" AND ").push_bind(principal).push(" IN (object_id, client_id)");
    }
    if let Some(webservice) = &filter.webservice {
        // A whole id is compared in its canonical view, so `…/churn` does not list `…/churn-2`; anything else is
        // looked for as a part.
        match WebserviceId::parse(webservice) {
            Ok(id) => query.push(" AND lower(resource) = ").push_bind(id.key()),
            Err(_) => query
                .push(" AND strpos(lower(resource), ")
                .push_bind(plain(&webservice.to_ascii_lowercase()).into_owned())
                .push(") > 0"),
        };
    }
    if let Some(outcome) = filter.outcome {
        query.push(" AND outcome = ").push_bind(outcome.as_str());
    }
    if let Some(event) = filter.event {
        query.push(" AND event = ").push_bind(event.as_str());
    }
    query.push(" ORDER BY occurred_at DESC, id DESC LIMIT ").push_bind(i64::from(filter.limit));
    let mut transaction = pool.begin_with(LONG_READ).await.map_err(unavailable)?;
    let rows = query.build().fetch_all(&mut *transaction).await.map_err(unavailable)?;
    transaction.rollback().await.map_err(unavailable)?;
    rows.iter().map(read::chained).collect()
}

/// Rows behind the cursor, whose place is the time in microseconds.
pub async fn after(
    pool: &PgPool,
    cursor: AuditCursor,
    limit: u32,
) -> Result<Vec<(AuditCursor, Chained<AuditRecord>)>> {
    let (time, id) = match cursor {
        AuditCursor::From(time) => (instant(time), Uuid::nil()),
        AuditCursor::Behind { place, id } => {
            (DateTime::from_timestamp_micros(place).unwrap_or(DateTime::UNIX_EPOCH), id.uuid())
        }
    };
    let sql =
        "SELECT * FROM audit_records WHERE (occurred_at, id) > ($1, $2) ORDER BY occurred_at, id LIMIT $3";
    let mut transaction = pool.begin_with(LONG_READ).await.map_err(unavailable)?;
    let query = sqlx::query(sql).bind(time).bind(id).bind(i64::from(limit));
    let rows = query.fetch_all(&mut *transaction).await.map_err(unavailable)?;
    transaction.rollback().await.map_err(unavailable)?;
    let placed = |row| {
        let found = read::chained(row)?;
        let place = found.record.occurred_at.timestamp_micros();
        Ok((AuditCursor::Behind { place, id: found.record.id }, found))
    };
    rows.iter().map(placed).collect()
}
