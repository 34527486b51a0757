//! `[limits]`: what a caller may send, how often, and what is turned away when more is asked for than can be answered.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::Deserialize;

use super::ConfigError;
use crate::audit;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Token requests under way; of those beyond it some are turned away.
    pub max_waiting_tokens: usize,
    /// So many are turned away in a second; the others wait. A refusal costs CPU, too.
    pub max_refusals_per_second: u32,
    /// Of the gateways' questions that are refused so many in a second leave an audit record; 0: none.
    pub max_recorded_checks_per_second: u32,
    /// Most tokens that are revoked and have not expired.
    pub max_revoked_tokens: usize,
    /// Failures to prove a client, from one address; beyond them it is turned away for the rest of the minute. 0: off.
    pub max_failures_per_minute: u32,
    /// Failures of all callers; those beyond them are turned away and not recorded. 0: off.
    pub max_failures_per_second_in_all: u32,
    /// Tokens of one principal. 0: off.
    pub max_tokens_per_principal_per_minute: u32,
    pub max_body_bytes: usize,
    /// Request line and header fields together.
    pub max_head_bytes: usize,
    pub max_uri_bytes: usize,
    /// From the connection's beginning to the end of its first head.
    pub head_deadline_seconds: u32,
    /// From the end of a head to the end of its body.
    pub body_deadline_seconds: u32,
    /// How long a connection may be without a request.
    pub keep_alive_seconds: u32,
    pub tls_handshake_seconds: u32,
    /// Of the public listener; beyond it new ones wait to be accepted.
    pub max_connections: usize,
    /// From one address, proxies that are trusted excepted. 0: off.
    pub max_connections_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_waiting_tokens: 1024,
            max_refusals_per_second: 2000,
            max_recorded_checks_per_second: 1,
            max_revoked_tokens: 100_000,
            max_failures_per_minute: 20,
            max_failures_per_second_in_all: 1000,
            max_tokens_per_principal_per_minute: 60_000,
            max_body_bytes: 32 * 1024,
            max_head_bytes: 16 * 1024,
            max_uri_bytes: 8 * 1024,
            head_deadline_seconds: 10,
            body_deadline_seconds: 10,
            keep_alive_seconds: 5,
            tls_handshake_seconds: 3,
            max_connections: 20_000,
            max_connections_per_address: 4096,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("max_waiting_tokens", self.max_waiting_tokens, 1..=audit::QUEUE)?;
        // None at all would switch the limit off unseen.
        if self.max_refusals_per_second == 0 {
            return Err(ConfigError("limits.max_refusals_per_second must be at least 1".to_owned()));
        }
        // A body is whole in memory; the least has room for any registered thing and a short assertion.
        within("max_body_bytes", self.max_body_bytes, 4096..=1 << 20)?;
        // actix itself takes no head beyond 128 KiB.
        within("max_head_bytes", self.max_head_bytes, 4096..=64 * 1024)?;
        // ARM ids alone have several hundred.
        within("max_uri_bytes", self.max_uri_bytes, 1024..=self.max_head_bytes)?;
        within("head_deadline_seconds", self.head_deadline_seconds, 1..=60)?;
        within("body_deadline_seconds", self.body_deadline_seconds, 1..=60)?;
        within("keep_alive_seconds", self.keep_alive_seconds, 1..=300)?;
        within("tls_handshake_seconds", self.tls_handshake_seconds, 1..=60)?;
        // actix reckons with 32 bits.
        within("max_connections", self.max_connections, 1..=1 << 20)
    }
}

fn within<T: PartialOrd + Display>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError(format!("limits.{name} must be {} to {}", range.start(), range.end())))
}
