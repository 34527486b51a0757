//! `[limits]`: what is turned away when more is asked for than can be answered.

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
    /// Failures to prove a client, from one address; beyond them it is turned away for the rest of the minute. 0: off.
    pub max_failures_per_minute: u32,
    /// Failures of all callers; those beyond them are turned away and not recorded. 0: off.
    pub max_failures_per_second_in_all: u32,
    /// Tokens of one principal. 0: off.
    pub max_tokens_per_principal_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_waiting_tokens: 1024,
            max_refusals_per_second: 2000,
            max_recorded_checks_per_second: 1,
            max_failures_per_minute: 20,
            max_failures_per_second_in_all: 1000,
            max_tokens_per_principal_per_minute: 60_000,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(1..=audit::QUEUE).contains(&self.max_waiting_tokens) {
            return Err(ConfigError(format!("limits.max_waiting_tokens must be 1 to {}", audit::QUEUE)));
        }
        // None at all would switch the limit off unseen.
        if self.max_refusals_per_second == 0 {
            return Err(ConfigError("limits.max_refusals_per_second must be at least 1".to_owned()));
        }
        Ok(())
    }
}
