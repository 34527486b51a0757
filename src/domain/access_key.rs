//! Access keys: two for each webservice, so that its callers can move from one to the other without an outage.

use chrono::{DateTime, Utc};

use super::client_secret::SecretDigest;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyName {
    Primary,
    Secondary,
}

impl KeyName {
    pub const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "Primary",
            Self::Secondary => "Secondary",
        }
    }

    /// As it is told to gateways.
    pub const fn lower_case(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }

    /// Matched without case: the SDKs send it in several spellings.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str().eq_ignore_ascii_case(text))
    }
}

/// What a request needs to know of a key to check it. The value itself lies sealed in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub name: KeyName,
    /// Counts up with each regeneration; of two at once one wins.
    pub generation: i64,
    pub digest: SecretDigest,
    pub created_at: DateTime<Utc>,
}

/// Least length of a value that a caller brings.
pub const MIN_CHARS: usize = 32;
/// Longest value that a caller may bring: it travels in a header.
pub const MAX_CHARS: usize = 256;
/// Least number of different characters; keeps out what somebody typed by holding down a key.
const MIN_DISTINCT: usize = 8;

/// The value can't be an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key of your own has {MIN_CHARS} to {MAX_CHARS} characters, at least {MIN_DISTINCT} different ones, all of them visible ASCII: send null to have one made"
)]
pub struct WeakKey;

/// Checks a value that a caller brings, such as one moved over from Azure ML.
pub fn check_own_value(value: &str) -> Result<(), WeakKey> {
    let mut seen = [false; 128];
    for byte in value.bytes() {
        match seen.get_mut(usize::from(byte)) {
            Some(place) if byte.is_ascii_graphic() => *place = true,
            _ => return Err(WeakKey),
        }
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    if (MIN_CHARS..=MAX_CHARS).contains(&value.len()) && distinct >= MIN_DISTINCT {
        Ok(())
    } else {
        Err(WeakKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_azure_are_taken_and_weak_ones_are_not() {
        assert!(check_own_value("0123456789abcdefABCDEF0123456789").is_ok());
        assert!(check_own_value(&"aB3-_.~+/=".repeat(25)).is_ok());
        for weak in [
            "",
            "0123456789abcdefABCDEF012345678",
            &"a".repeat(40),
            &"abcdefgh ".repeat(5),
            &"äbcdefghi".repeat(5),
            &"abcdefgh\n".repeat(5),
            &"abcdefgh".repeat(33),
        ] {
            assert!(check_own_value(weak).is_err(), "{weak}");
        }
    }
}
