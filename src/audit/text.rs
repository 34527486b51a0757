//! Records to the text that is kept, and back.

use crate::domain::audit::{AuditRecord, Chained, RecordText};
use crate::domain::ids::AuditRecordId;

/// Longer than most records, so that the text need not grow.
const USUAL_BYTES: usize = 1024;

/// A text is not a record: somebody altered it.
#[derive(Debug, thiserror::Error)]
#[error("the text of audit record {id} is not a record: {error}. Run `wsts audit verify`")]
pub struct Unreadable {
    id: AuditRecordId,
    error: serde_json::Error,
}

pub fn write(record: &AuditRecord) -> RecordText {
    let mut json = Vec::with_capacity(USUAL_BYTES);
    // Serialising our own plain fields into memory can't fail, and JSON is UTF-8.
    let _ = serde_json::to_writer(&mut json, record);
    RecordText { id: record.id, json: String::from_utf8(json).unwrap_or_default() }
}

/// # Errors
/// The text is no record.
pub fn read(text: &RecordText) -> Result<AuditRecord, Unreadable> {
    serde_json::from_str(&text.json).map_err(|error| Unreadable { id: text.id, error })
}

/// [`read`] of a record in its chain.
///
/// # Errors
/// The text is no record.
pub fn read_chained(found: &Chained<RecordText>) -> Result<Chained<AuditRecord>, Unreadable> {
    Ok(Chained { record: read(&found.record)?, link: found.link })
}
