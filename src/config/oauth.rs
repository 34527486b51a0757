//! `[oauth]`: what is taken at the token endpoint.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth {
    /// How often one client assertion may be shown.
    pub client_assertion_jti: AssertionUse,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertionUse {
    /// Until its `exp`: MSAL shows one for nine minutes.
    #[default]
    UntilExp,
    /// A second time it is refused, by every replica.
    Once,
}
