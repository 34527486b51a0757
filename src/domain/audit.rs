//! What an audit record says. It never holds a token, a secret or a key.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{AuditRecordId, ChainId, ClientId, CredentialId, ObjectId, TenantId};

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
    /// A change of the registry, of roles, principals or credentials.
    Change,
    /// The access keys of a webservice were read.
    KeyReading,
    /// A regeneration that was refused; one that was made is a change.
    KeyRegeneration,
    /// A signing key was made, imported or destroyed.
    SigningKey,
    /// A writer of records began a chain; the detail names the end of the one before.
    ChainStart,
}

impl Event {
    pub const ALL: [Self; 8] = [
        Self::WebserviceToken,
        Self::ManagementToken,
        Self::ApiCall,
        Self::Change,
        Self::KeyReading,
        Self::KeyRegeneration,
        Self::SigningKey,
        Self::ChainStart,
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
            Self::ChainStart => "chain_start",
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
/// Its JSON form is what a chain's codes are made over and what a spool holds, so it never changes for a record that
/// exists: absent fields are left out, and a field that is added later is an optional one.
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
    /// For changes: what was changed, as one line of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub request: RequestFacts,
    /// From the request's first byte in the handler to this record.
    pub latency_micros: i64,
}

impl AuditRecord {
    /// As every database can hold it: PostgreSQL has no text with NUL in it. Before the record is linked, so that its
    /// code is over what is stored.
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
    /// `management_token`, or `command_line`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Word>,
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
    /// `oauth`, `v1`, `v2`, `api` or `command_line`.
    pub endpoint: Word,
    /// Shared by every record of the process.
    pub region: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    pub request_id: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// Where a record stands in its writer's chain: the next number, and a code over the record and the link before. Whoever
/// alters, removes or slips in a row without the key of the codes breaks the chain there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub chain: ChainId,
    /// From 0, without a gap.
    pub number: i64,
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

/// A record in its chain; borrowed on its way to the database, owned when it is read back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chained<R> {
    pub record: R,
    pub link: Link,
}

/// A record as it is shown to people and given to other programs: flat, every column there, in text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    pub chain: String,
    pub link: i64,
    pub code: String,
}

impl From<&Chained<AuditRecord>> for AuditEntry {
    fn from(Chained { record, link }: &Chained<AuditRecord>) -> Self {
        let (actor, token, request) = (&record.actor, record.token.as_ref(), &record.request);
        Self {
            id: record.id.to_string(),
            occurred_at: record.occurred_at,
            event: record.event.as_str().to_owned(),
            outcome: record.outcome.as_str().to_owned(),
            reason: record.reason.as_deref().map(str::to_owned),
            object_id: actor.object_id.map(|id| id.to_string()),
            client_id: actor.client_id.map(|id| id.to_string()),
            tenant_id: actor.tenant_id.map(|id| id.to_string()),
            credential_id: actor.credential_id.map(|id| id.to_string()),
            method: actor.method.as_deref().map(str::to_owned),
            resource: record.resource.as_deref().map(str::to_owned),
            token_id: token.map(|token| token.token_id.to_string()),
            kid: token.map(|token| token.kid.clone()),
            expires_at: token.map(|token| token.expires_at),
            detail: record.detail.clone(),
            endpoint: request.endpoint.to_string(),
            region: request.region.to_string(),
            address: request.address.map(|address| address.to_string()),
            request_id: request.request_id.to_string(),
            trace_id: request.trace_id.clone(),
            latency_micros: record.latency_micros,
            chain: link.chain.to_string(),
            link: link.number,
            code: link.code.to_string(),
        }
    }
}

/// Where a reading of the whole audit, oldest first, goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditCursor {
    /// With the first record of this time or later (to the millisecond).
    From(DateTime<Utc>),
    /// Behind a record; the place is the database's own measure of time.
    Behind { place: i64, id: AuditRecordId },
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
