//! Audit rows. A batch is one statement, so its commit is one round trip to the database's thread.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Duration, Utc};
use sqlx::query::QueryScalar;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, Encode, FromRow, QueryBuilder, Sqlite, Type};

use super::codec::{micros, unavailable};
use crate::domain::audit::{AuditCursor, AuditFilter, AuditRecord, Chained};
use crate::domain::ids::AuditRecordId;
use crate::domain::resource::WebserviceId;
use crate::storage::read::{self, Columns as _};
use crate::storage::{Result, StorageError};

/// Rows in the largest statement. SQLite takes 32,766 parameters; beyond this size nothing is gained.
pub const ROWS_PER_STATEMENT: usize = 64;

const COLUMNS: [&str; 25] = [
    "position",
    "id",
    "occurred_at",
    "event",
    "outcome",
    "reason",
    "object_id",
    "client_id",
    "tenant_id",
    "credential_id",
    "method",
    "resource",
    "token_id",
    "kid",
    "expires_at",
    "detail",
    "endpoint",
    "region",
    "address",
    "request_id",
    "trace_id",
    "latency_micros",
    "chain",
    "link",
    "code",
];

/// A record on its way in.
type Given<'r> = Chained<&'r AuditRecord>;

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
    let mut placed: Vec<_> = records.iter().map(|given| (position(given.record.id), *given)).collect();
    // Records of two workers arrive a little out of order; only what lies behind the last row is cheap to append.
    placed.sort_unstable_by_key(|(position, _)| *position);
    for chunk in placed.chunks(ROWS_PER_STATEMENT) {
        if insert_rows(connection, chunk).await? < chunk.len() as u64 {
            for (position, given) in chunk {
                insert_beside(connection, *position, *given).await?;
            }
        }
    }
    Ok(())
}

/// Where a record stands: 42 bits of milliseconds, 12 of their fraction, 9 of randomness, all from its id.
fn position(id: AuditRecordId) -> i64 {
    let id = id.uuid().as_u128();
    let (millis, fraction, random) = ((id >> 80) & 0x3ff_ffff_ffff, (id >> 64) & 0xfff, id & 0x1ff);
    // 63 bits, so never negative.
    (millis << 21 | fraction << 9 | random) as i64
}

/// How far a record may stand behind its time, having gone beside others or come in a long list (such as a registry file
/// of a hundred thousand principals), whose records follow one another by a quarter of a microsecond.
const FARTHEST: Duration = Duration::seconds(10);

/// The first position of a millisecond.
fn first_position(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis().max(0) << 21
}

/// Inserts what finds its position free; how many did.
async fn insert_rows(connection: &mut SqliteConnection, rows: &[(i64, Given<'_>)]) -> Result<u64> {
    let mut writer = RowWriter::new(rows.len());
    for (position, given) in rows {
        writer.write(*position, given)?;
    }
    let query = sqlx::query_with(AssertSqlSafe(statement(rows.len())), writer.arguments);
    Ok(query.execute(connection).await.map_err(unavailable)?.rows_affected())
}

/// Inserts a record whose position may be taken: by itself, delivered before, or by another one of the same quarter of
/// a microsecond, beside which it then goes. Nothing is ever taken out from between, so whoever looks again finds it.
async fn insert_beside(connection: &mut SqliteConnection, wanted: i64, given: Given<'_>) -> Result<()> {
    const FREE: &str = "WITH RECURSIVE taken (place) AS (SELECT ? UNION ALL SELECT place + 1 FROM taken WHERE EXISTS \
                        (SELECT 1 FROM audit_records WHERE position = place)) SELECT max(place) FROM taken";
    const IS_THERE: &str =
        "SELECT EXISTS (SELECT 1 FROM audit_records WHERE position >= ? AND position < ? AND id = ?)";
    loop {
        let free: i64 = scalar(connection, sqlx::query_scalar(FREE).bind(wanted)).await?;
        let look = sqlx::query_scalar(IS_THERE).bind(wanted).bind(free).bind(given.record.id.uuid());
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

/// Writes rows into a statement's arguments. Words that come again in a batch (events, kids) are made
/// once: the driver would otherwise copy each of them twice for every row.
struct RowWriter {
    arguments: SqliteArguments,
    words: Vec<Arc<str>>,
    /// Behind a proxy all requests have the same one.
    last_address: Option<(IpAddr, Arc<str>)>,
}

/// Distinct words that are looked through before a text is simply copied.
const WORDS: usize = 24;

impl RowWriter {
    fn new(rows: usize) -> Self {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows * COLUMNS.len(), 0);
        Self { arguments, words: Vec::with_capacity(WORDS), last_address: None }
    }

    /// In the order of [`COLUMNS`].
    fn write(&mut self, position: i64, Chained { record, link }: &Given<'_>) -> Result<()> {
        let (actor, request, token) = (&record.actor, &record.request, record.token.as_ref());
        self.value(position)?;
        self.value(record.id.uuid())?;
        self.value(micros(record.occurred_at))?;
        self.word(Some(record.event.as_str()))?;
        self.word(Some(record.outcome.as_str()))?;
        self.word(record.reason.as_deref())?;
        self.value(actor.object_id.map(|id| id.uuid()))?;
        self.value(actor.client_id.map(|id| id.uuid()))?;
        self.value(actor.tenant_id.map(|id| id.uuid()))?;
        self.value(actor.credential_id.map(|id| id.uuid()))?;
        self.word(actor.method.as_deref())?;
        self.value(record.resource.clone())?;
        self.value(token.map(|token| Arc::clone(&token.token_id)))?;
        self.word(token.map(|token| token.kid.as_str()))?;
        self.value(token.map(|token| micros(token.expires_at)))?;
        self.value(record.detail.as_deref())?;
        self.word(Some(&request.endpoint))?;
        self.value(Arc::clone(&request.region))?;
        self.address(request.address)?;
        self.value(Arc::clone(&request.request_id))?;
        self.value(request.trace_id.as_deref())?;
        self.value(record.latency_micros)?;
        self.value(link.chain.uuid())?;
        self.value(link.number)?;
        self.value(link.code.0.to_vec())
    }

    fn address(&mut self, address: Option<IpAddr>) -> Result<()> {
        let Some(address) = address else { return self.value(None::<i64>) };
        match &self.last_address {
            Some((last, text)) if *last == address => self.value(Arc::clone(text)),
            _ => {
                let text: Arc<str> = address.to_string().into();
                self.last_address = Some((address, Arc::clone(&text)));
                self.value(text)
            }
        }
    }

    fn value<'t>(&mut self, value: impl Encode<'t, Sqlite> + Type<Sqlite>) -> Result<()> {
        self.arguments.add(value).map_err(|error| StorageError::Unavailable(error.to_string()))
    }

    fn word(&mut self, text: Option<&str>) -> Result<()> {
        let Some(text) = text else { return self.value(None::<i64>) };
        if let Some(known) = self.words.iter().find(|word| &***word == text) {
            let known = Arc::clone(known);
            return self.value(known);
        }
        let word: Arc<str> = Arc::from(text);
        if self.words.len() < WORDS {
            self.words.push(Arc::clone(&word));
        }
        self.value(word)
    }
}

pub async fn by_id(pool: &SqlitePool, id: AuditRecordId) -> Result<Option<Chained<AuditRecord>>> {
    let first = position(id);
    let row = sqlx::query("SELECT * FROM audit_records WHERE position BETWEEN ? AND ? AND id = ?")
        .bind(first)
        .bind(first.saturating_add(FARTHEST.num_milliseconds() << 21))
        .bind(id.uuid())
        .fetch_optional(pool)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(read::chained).transpose()
}

pub async fn list(pool: &SqlitePool, filter: &AuditFilter) -> Result<Vec<Chained<AuditRecord>>> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM audit_records WHERE 1 = 1");
    // Positions bound the time to the millisecond; the exact bound is checked on the column.
    if let Some(since) = filter.since {
        query.push(" AND position >= ").push_bind(first_position(since));
        query.push(" AND occurred_at >= ").push_bind(micros(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND position < ").push_bind(first_position(until + FARTHEST));
        query.push(" AND occurred_at < ").push_bind(micros(until));
    }
    if let Some(principal) = filter.principal {
        query
            .push(" AND (object_id = ")
            .push_bind(principal)
            .push(" OR client_id = ")
            .push_bind(principal)
            .push(")");
    }
    if let Some(webservice) = &filter.webservice {
        // A whole id is compared in its canonical view, so `…/churn` does not list `…/churn-2`; anything else is
        // looked for as a part.
        match WebserviceId::parse(webservice) {
            Ok(id) => query.push(" AND lower(resource) = ").push_bind(id.key()),
            Err(_) => query
                .push(" AND instr(lower(resource), ")
                .push_bind(webservice.to_ascii_lowercase())
                .push(") > 0"),
        };
    }
    if let Some(outcome) = filter.outcome {
        query.push(" AND outcome = ").push_bind(outcome.as_str());
    }
    if let Some(event) = filter.event {
        query.push(" AND event = ").push_bind(event.as_str());
    }
    query.push(" ORDER BY position DESC LIMIT ").push_bind(filter.limit);
    let rows = query.build().fetch_all(pool).await.map_err(unavailable)?;
    rows.iter().map(read::chained).collect()
}

/// Rows behind the cursor, whose place is a position.
pub async fn after(
    pool: &SqlitePool,
    cursor: AuditCursor,
    limit: u32,
) -> Result<Vec<(AuditCursor, Chained<AuditRecord>)>> {
    let first = match cursor {
        AuditCursor::From(time) => first_position(time),
        AuditCursor::Behind { place, .. } => place.saturating_add(1),
    };
    let rows = sqlx::query("SELECT * FROM audit_records WHERE position >= ? ORDER BY position LIMIT ?")
        .bind(first)
        .bind(limit)
        .fetch_all(pool)
        .await
        .map_err(unavailable)?;
    let placed = |row: &SqliteRow| {
        let found = read::chained(row)?;
        Ok((AuditCursor::Behind { place: row.int("position")?, id: found.record.id }, found))
    };
    rows.iter().map(placed).collect()
}
