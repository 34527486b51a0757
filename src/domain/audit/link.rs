//! Records as they are kept: texts, each linked to the one before.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::ids::{AuditRecordId, ChainId};

/// How long after its time (which its id holds, too) a record is linked at the latest: a request has its deadline, and so
/// has a change.
pub const LATEST_LINK: Duration = Duration::minutes(1);

/// A record as it is kept: one text, made once. The code of its link is over this very text, so no change of the form of
/// records can break a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordText {
    pub id: AuditRecordId,
    /// An [`AuditRecord`] as JSON, without blanks.
    pub json: String,
}

/// Where a record stands in its writer's chain: the next number, and a code over the record and the link before. Whoever
/// alters, removes or slips in a row without the key of the codes breaks the chain there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub chain: ChainId,
    /// From 0, without a gap.
    pub number: i64,
    /// To the microsecond, and later than that of the link before: what lies before a time is the beginning of a chain.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub at: DateTime<Utc>,
    pub code: LinkCode,
}

/// HMAC-SHA-256 of a link; hexadecimal in text.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCode(pub [u8; 32]);

impl std::fmt::Display for LinkCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for LinkCode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not 64 hexadecimal digits";
        let mut code = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        for (byte, digits) in code.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| WRONG)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| WRONG)?;
        }
        Ok(Self(code))
    }
}

impl Serialize for LinkCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LinkCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A record in its chain: as text on its way to the database (borrowed) and back (owned), and as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chained<R> {
    pub record: R,
    pub link: Link,
}

impl<R> Chained<R> {
    pub const fn as_ref(&self) -> Chained<&R> {
        Chained { record: &self.record, link: self.link }
    }
}
