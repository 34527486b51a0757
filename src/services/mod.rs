//! The use cases, a verb a file. They take parsed values, so each runs in a test without HTTP.

pub mod access_keys;
pub mod admit;
pub mod authenticate;
pub mod authorize_call;
pub mod bootstrap;
pub mod change_registry;
pub mod check_access;
pub mod client_assertion;
pub mod client_secrets;
pub mod compare_clock;
pub mod credentials;
pub mod edit_webservice;
mod external_token;
pub mod guessing;
pub mod intervene_in_signing_keys;
mod introspect_token;
pub mod issue_token;
pub mod keep_latencies;
pub mod publish_keys;
pub mod quota;
pub mod read_registry;
pub mod registry_file;
pub mod remove_audit;
pub mod replicas;
pub mod report_regions;
pub mod revoke_token;
pub mod rewrap;
pub mod rotate_signing_keys;
pub mod use_assertion_once;
pub mod watch_signing_keys;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use uuid::Uuid;

use self::admit::Admission;
use self::check_access::CheckRecords;
use self::guessing::Guessing;
use self::quota::Quotas;
use crate::audit::{NotRecorded, Recorder};
use crate::clock::{WatchedClock, WrongClock};
use crate::directory::Directory;
use crate::directory::verified::VerifiedTokens;
use crate::domain::audit::RequestFacts;
use crate::domain::denial::Denial;
use crate::domain::ids::ReplicaId;
use crate::domain::issuance::Policy;
use crate::domain::region::RegionAddress;
use crate::domain::signing_key::{KeyPolicy, SigningAlgorithm};
use crate::entropy::{self, Entropy};
use crate::federation::Federation;
use crate::metrics::Metrics;
use crate::signing::sealing::{KekList, Pepper};
use crate::signing::signer::KeyRing;
use crate::storage::{StorageError, Store};

/// What the operator decided.
pub struct Settings {
    pub policy: Policy,
    pub keys: KeyPolicy,
    /// How long after their reading keys may still sign.
    pub keys_grace: Duration,
    pub algorithm: SigningAlgorithm,
    /// Whether a principal's own assertion is taken once, and not until it expires.
    pub single_use_assertions: bool,
    /// Audiences for which a management token is given, without trailing slashes; the issuer is always one.
    pub management_audiences: Vec<String>,
    /// Most tokens on the deny-list.
    pub max_revoked_tokens: usize,
}

/// Everything the use cases share.
pub struct Core {
    pub settings: Settings,
    pub admission: Admission,
    pub check_records: CheckRecords,
    pub guessing: Guessing,
    pub quotas: Quotas,
    pub store: Arc<dyn Store>,
    pub directory: Directory,
    pub verified: VerifiedTokens,
    /// Access tokens of other issuers: apart, so that no door takes one for the other kind.
    pub verified_elsewhere: VerifiedTokens,
    pub used_assertions: use_assertion_once::UsedAssertions,
    pub federation: Federation,
    pub recorder: Recorder,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<WatchedClock>,
    pub entropy: Arc<dyn Entropy>,
    pub pepper: Pepper,
    pub keks: KekList,
    /// Random: no two processes share one, nor do two runs of one.
    pub replica_id: ReplicaId,
    pub key_ring: ArcSwap<KeyRing>,
    /// Why the signing keys in the database can't be used, if they can't.
    pub key_trouble: ArcSwapOption<String>,
    pub published: ArcSwap<publish_keys::Published>,
    pub latencies: keep_latencies::LatencyBook,
    pub regions: report_regions::RegionsKept,
    pub revocation_feed: revoke_token::Feed,
}

/// Which door a request came through; a label and an audit column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    OAuth,
    V1,
    V2,
    /// Registry, roles and principals.
    Api,
    /// Questions of gateways.
    Gateway,
    CommandLine,
}

impl Endpoint {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Api => "api",
            Self::Gateway => "gateway",
            Self::CommandLine => "command_line",
        }
    }
}

/// Who and where, for the audit; and the request's random bytes, drawn in one call.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub endpoint: Endpoint,
    pub address: Option<IpAddr>,
    pub request_id: Arc<str>,
    pub trace_id: Option<String>,
    pub started: Instant,
    pub random: RequestRandom,
}

/// Random bytes and where they go.
#[derive(Debug, Clone, Copy)]
pub struct RequestRandom {
    pub token_id: [u8; 16],
    pub refresh_spread: [u8; 8],
    pub record_id: [u8; 8],
}

/// Which limit a caller came up against; a label and a reason in the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Failures for this client from this address.
    Client,
    /// Failures in all.
    Global,
    /// Tokens of this principal.
    Principal,
}

impl Limit {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Global => "global",
            Self::Principal => "principal",
        }
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Client => "too_many_failures",
            Self::Global => "too_many_failures_in_all",
            Self::Principal => "quota_spent",
        }
    }
}

/// A caller asks too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    pub limit: Limit,
    pub retry_after_seconds: u32,
    /// Such refusals may come by the thousand: only some leave a record, the metric counts them all.
    pub is_recorded: bool,
}

/// Why a use case did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("refused: {}", .0.reason())]
    Denied(Denial),
    /// [`Denial::Misdirected`], with the regions that issue for the workspace, in order.
    #[error("refused: misdirected")]
    Misdirected(Vec<RegionAddress>),
    /// The caller may not take this action on something that it may see.
    #[error("the action `{0}` is not granted")]
    Forbidden(&'static str),
    /// No such thing, or nothing that this caller may see.
    #[error("not found")]
    NotFound,
    /// The request contradicts a rule or what is registered; the text is for the caller.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Conflict(String),
    /// Somebody else changed the same thing meanwhile.
    #[error("{0}")]
    Stale(String),
    /// The service's own trouble: the same request may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// More token requests than the service can answer; this one was not looked at.
    #[error("more requests than can be answered")]
    Overloaded,
    /// This caller asks too often, or proves itself wrongly too often.
    #[error("too many requests: {}", .0.limit.as_str())]
    TooMany(Limited),
}

impl Refusal {
    /// Whether it leaves a row in the audit.
    const fn is_recorded(&self) -> bool {
        !matches!(self, Self::TooMany(Limited { is_recorded: false, .. }))
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Conflict(what) => Self::Conflict(what),
            StorageError::Stale(what) => Self::Stale(what),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<WrongClock> for Refusal {
    fn from(error: WrongClock) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<NotRecorded> for Refusal {
    fn from(error: NotRecorded) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Core {
    /// What the audit keeps of a request.
    pub fn request_facts(&self, context: &RequestContext) -> RequestFacts {
        RequestFacts {
            endpoint: context.endpoint.as_str().into(),
            region: self.settings.policy.region.shared(),
            address: context.address,
            request_id: context.request_id.clone(),
            trace_id: context.trace_id.clone(),
        }
    }

    /// A random UUID for something new.
    pub fn new_uuid(&self) -> Uuid {
        entropy::random_uuid(self.entropy.as_ref())
    }

    /// A context for a request that did not come over HTTP.
    pub fn local_context(&self) -> RequestContext {
        self.draw_context(Endpoint::CommandLine)
    }

    /// A context with the request's random bytes, drawn in one call.
    pub fn draw_context(&self, endpoint: Endpoint) -> RequestContext {
        let bytes = entropy::bytes::<48>(self.entropy.as_ref());
        let (token_id, rest) = bytes.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let (refresh_spread, rest) = rest.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let (record_id, rest) = rest.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let request_id = rest.first_chunk().copied().unwrap_or_default();
        RequestContext {
            endpoint,
            address: None,
            request_id: Uuid::from_bytes(request_id)
                .simple()
                .encode_lower(&mut Uuid::encode_buffer())
                .to_owned()
                .into(),
            trace_id: None,
            started: Instant::now(),
            random: RequestRandom {
                token_id: *token_id,
                refresh_spread: *refresh_spread,
                record_id: *record_id,
            },
        }
    }
}
