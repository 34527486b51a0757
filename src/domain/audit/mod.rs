//! What an audit record says. It never holds a token, a secret or a key.

mod entry;
mod link;
mod search;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::entry::AuditEntry;
pub use self::link::{Chained, LATEST_LINK, Link, LinkCode, RecordText};
pub use self::search::{AuditCursor, AuditFilter, Order};
use super::ids::{AuditRecordId, ClientId, CredentialId, ObjectId, TenantId};

/// A word of the program's own, or one that was read back.
pub type Word = Cow<'static, str>;

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A token for a webservice.
    WebserviceToken,
    /// A token for the API of this service.
    ManagementToken,
    /// A call of the API that was refused for its bearer token or for want of a role.
    ApiCall,
    /// A gateway's question that was refused; of these only some are recorded.
    AccessCheck,
    /// A change of the registry, of roles, principals or credentials.
    Change,
    /// The access keys of a webservice were read.
    KeyReading,
    /// A regeneration that was refused; one that was made is a change.
    KeyRegeneration,
    /// A signing key was made, imported or destroyed.
    SigningKey,
    /// Data keys were put under another KEK; the detail tells from which to which.
    Rewrap,
    /// A writer of records began a chain; the detail names the end of the one before.
    ChainStart,
    /// Old records of one chain were removed; the detail names the last of them.
    AuditRemoval,
}

impl Event {
    pub const ALL: [Self; 11] = [
        Self::WebserviceToken,
        Self::ManagementToken,
        Self::ApiCall,
        Self::AccessCheck,
        Self::Change,
        Self::KeyReading,
        Self::KeyRegeneration,
        Self::SigningKey,
        Self::Rewrap,
        Self::ChainStart,
        Self::AuditRemoval,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebserviceToken => "webservice_token",
            Self::ManagementToken => "management_token",
            Self::ApiCall => "api_call",
            Self::AccessCheck => "access_check",
            Self::Change => "change",
            Self::KeyReading => "key_reading",
            Self::KeyRegeneration => "key_regeneration",
            Self::SigningKey => "signing_key",
            Self::Rewrap => "rewrap",
            Self::ChainStart => "chain_start",
            Self::AuditRemoval => "audit_removal",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A token was issued.
    Issued,
    /// The caller was refused.
    Refused,
    /// The service could not answer for a reason of its own.
    Failed,
    /// A change was made.
    Done,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Issued, Self::Refused, Self::Failed, Self::Done];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// One row: who, by which credential, what, decision, reason.
///
/// Kept as JSON ([`RecordText`]), so what was written by an earlier version must stay readable: absent fields are left
/// out, and a field that is added later is an optional one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Version 7: sorts by time, and makes a second delivery of the same record harmless.
    pub id: AuditRecordId,
    /// To the microsecond, as databases keep it.
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub occurred_at: DateTime<Utc>,
    pub event: Event,
    pub outcome: Outcome,
    /// `Denial::reason`, or why a change was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Word>,
    pub actor: Actor,
    /// ARM id (or other name) of what was asked for, in the caller's spelling where it is unknown. Bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenFacts>,
    /// For changes: what was changed, as one line of text; for a gateway's question: the token by its `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub request: RequestFacts,
    /// From the request's first byte in the handler to this record.
    pub latency_micros: i64,
}

impl AuditRecord {
    /// As every database can read it: PostgreSQL has no text with NUL in it, not even in the members of JSON.
    #[must_use]
    pub fn storable(mut self) -> Self {
        let clean = |text: &str| text.contains('\0').then(|| text.replace('\0', "\u{fffd}"));
        if let Some(cleaned) = self.resource.as_deref().and_then(clean) {
            self.resource = Some(cleaned.into());
        }
        if let Some(cleaned) = self.detail.as_deref().and_then(clean) {
            self.detail = Some(cleaned);
        }
        self
    }
}

/// Who asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<ObjectId>,
    /// As claimed; proved only when `object_id` is there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
    /// `client_secret`, `private_key_jwt`, `federated_credential` (or `client_assertion`, not proven to be either),
    /// `management_token`, `external_token`, `webservice_token` (at a gateway), or `command_line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Word>,
}

impl Actor {
    /// By object id or client id.
    fn is(&self, id: uuid::Uuid) -> bool {
        self.object_id.is_some_and(|own| own.uuid() == id)
            || self.client_id.is_some_and(|own| own.uuid() == id)
    }
}

/// What identifies an issued token without being it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// `jti`.
    pub token_id: Arc<str>,
    pub kid: String,
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub expires_at: DateTime<Utc>,
}

/// Where the request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFacts {
    /// `oauth`, `v1`, `v2`, `api`, `gateway` or `command_line`.
    pub endpoint: Word,
    /// Shared by every record of the process.
    pub region: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    pub request_id: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
