//! Records as people and other programs see them.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{AuditRecord, Chained};

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
    pub linked_at: DateTime<Utc>,
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
            linked_at: link.at,
            code: link.code.to_string(),
        }
    }
}
