//! Reads the audit page by page, in either direction.

use chrono::{DateTime, Utc};

use super::text;
use crate::domain::audit::{
    AuditCursor, AuditFilter, AuditRecord, Chained, LATEST_LINK, Link, Order, RecordText,
};
use crate::storage::{Result, StorageError, Store};

/// Records in one page.
const PAGE: u32 = 4096;

/// What a reader wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    More,
    Enough,
}

/// Hands over every record, as it is kept, until told to stop.
///
/// # Errors
/// The database can't be read, or `take` fails.
pub async fn each<E: From<StorageError>>(
    store: &dyn Store,
    order: Order,
    start: AuditCursor,
    mut take: impl FnMut(Chained<RecordText>) -> Result<Next, E>,
) -> Result<(), E> {
    let mut cursor = start;
    loop {
        let page = store.audit_page(order, cursor, PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        for (behind, found) in page {
            cursor = behind;
            if take(found)? == Next::Enough {
                return Ok(());
            }
        }
    }
}

/// Hands over the records that a filter lets through, until told to stop.
///
/// # Errors
/// The database can't be read, a record can't, or `take` fails.
pub async fn find<E: From<StorageError>>(
    store: &dyn Store,
    order: Order,
    filter: &AuditFilter,
    mut take: impl FnMut(Chained<AuditRecord>) -> Result<Next, E>,
) -> Result<(), E> {
    let last_link = |time: DateTime<Utc>| time.checked_add_signed(LATEST_LINK).unwrap_or(time);
    // A record is linked at its time or a little later.
    let start = match order {
        Order::OldestFirst => filter.since,
        Order::NewestFirst => filter.until.map(last_link),
    };
    let start = start.map_or_else(|| AuditCursor::start(order), AuditCursor::At);
    each(store, order, start, |found| {
        let past = match order {
            Order::OldestFirst => filter.until.is_some_and(|until| found.link.at > last_link(until)),
            Order::NewestFirst => filter.since.is_some_and(|since| found.link.at < since),
        };
        if past {
            return Ok(Next::Enough);
        }
        let read = text::read_chained(&found).map_err(|error| StorageError::Corrupt(error.to_string()))?;
        if filter.matches(&read.record) { take(read) } else { Ok(Next::More) }
    })
    .await
}

/// Up to `limit` records that a filter lets through, newest first.
///
/// # Errors
/// The database can't be read, or a record can't.
pub async fn newest(
    store: &dyn Store,
    filter: &AuditFilter,
    limit: usize,
) -> Result<Vec<Chained<AuditRecord>>> {
    let mut records = Vec::new();
    if limit > 0 {
        let take = |found| {
            records.push(found);
            Ok::<_, StorageError>(if records.len() < limit { Next::More } else { Next::Enough })
        };
        find(store, Order::NewestFirst, filter, take).await?;
    }
    Ok(records)
}

/// The newest link that is stored.
///
/// # Errors
/// The database can't be read.
pub async fn newest_link(store: &dyn Store) -> Result<Option<Link>> {
    let page = store.audit_page(Order::NewestFirst, AuditCursor::start(Order::NewestFirst), 1).await?;
    Ok(page.first().map(|(_, found)| found.link))
}
