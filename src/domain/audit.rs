//! What an audit record says. It never holds a token, a secret or a key.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::ids::{AuditRecordId, ClientId, CredentialId, ObjectId, TenantId};

/// What was attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A token for a webservice.
    WebserviceToken,
    /// A token for the API of this service.
    ManagementToken,
    /// A call of the API that was refused for its bearer token or for want of a role.
    ApiCall,
    /// A change of the registry, of roles, principals or credentials.
    Change,
    /// The access keys of a webservice were read.
    KeyReading,
    /// A regeneration that was refused; one that was made is a change.
    KeyRegeneration,
    /// A signing key was made, imported or destroyed.
    SigningKey,
}

impl Event {
    pub const ALL: [Self; 7] = [
        Self::WebserviceToken,
        Self::ManagementToken,
        Self::ApiCall,
        Self::Change,
        Self::KeyReading,
        Self::KeyRegeneration,
        Self::SigningKey,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebserviceToken => "webservice_token",
            Self::ManagementToken => "management_token",
            Self::ApiCall => "api_call",
            Self::Change => "change",
            Self::KeyReading => "key_reading",
            Self::KeyRegeneration => "key_regeneration",
            Self::SigningKey => "signing_key",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Version 7: sorts by time, and makes a second delivery of the same record harmless.
    pub id: AuditRecordId,
    pub occurred_at: DateTime<Utc>,
    pub event: Event,
    pub outcome: Outcome,
    /// `Denial::reason`, or why a change was made.
    pub reason: Option<&'static str>,
    pub actor: Actor,
    /// ARM id (or other name) of what was asked for, in the caller's spelling where it is unknown. Bounded.
    pub resource: Option<Arc<str>>,
    pub token: Option<TokenFacts>,
    /// For changes: what was changed, as one line of text.
    pub detail: Option<String>,
    pub request: RequestFacts,
    /// From the request's first byte in the handler to this record.
    pub latency_micros: i64,
}

/// Who asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    pub object_id: Option<ObjectId>,
    /// As claimed; proved only when `object_id` is there too.
    pub client_id: Option<ClientId>,
    pub tenant_id: Option<TenantId>,
    pub credential_id: Option<CredentialId>,
    /// `client_secret`, `private_key_jwt`, `federated_credential` (or `client_assertion`, not proven to be either),
    /// `management_token`, or `command_line`.
    pub method: Option<&'static str>,
}

/// What identifies an issued token without being it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// `jti`.
    pub token_id: Arc<str>,
    pub kid: String,
    pub expires_at: DateTime<Utc>,
}

/// Where the request came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// `oauth`, `v1`, `v2`, `api` or `command_line`.
    pub endpoint: &'static str,
    /// Shared by every record of the process.
    pub region: Arc<str>,
    pub address: Option<IpAddr>,
    pub request_id: Arc<str>,
    pub trace_id: Option<String>,
}

/// A record as it is read back for people; texts as stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AuditEntry {
    pub id: String,
    pub occurred_at: DateTime<Utc>,
    pub event: String,
    pub outcome: String,
    pub reason: Option<String>,
    pub object_id: Option<String>,
    pub client_id: Option<String>,
    pub tenant_id: Option<String>,
    pub credential_id: Option<String>,
    pub method: Option<String>,
    pub resource: Option<String>,
    pub token_id: Option<String>,
    pub kid: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
    pub detail: Option<String>,
    pub endpoint: String,
    pub region: String,
    pub address: Option<String>,
    pub request_id: String,
    pub trace_id: Option<String>,
    pub latency_micros: i64,
}

/// Which records to list; every field narrows.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Object id or client id.
    pub principal: Option<uuid::Uuid>,
    /// ARM id of a webservice (either view) or a part of one.
    pub webservice: Option<String>,
    pub outcome: Option<Outcome>,
    pub event: Option<Event>,
    /// Newest first, at most this many.
    pub limit: u32,
}
