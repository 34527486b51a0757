//! A token that is called back before its end (RFC 7009).

use chrono::{DateTime, Utc};

/// On the deny-list until nobody would take the token any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedToken {
    /// `jti`.
    pub token_id: String,
    /// Its `exp`, a whole second.
    pub expires_at: DateTime<Utc>,
}

/// Longest `jti` that is listed: ours have 22 characters.
const MAX_ID_CHARS: usize = 64;

/// Whether the text has the form of a `jti` of this service: base64url.
pub fn is_token_id(text: &str) -> bool {
    (1..=MAX_ID_CHARS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
