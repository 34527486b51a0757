//! May this credential open that webservice: the question of a gateway, answered from memory.
//!
//! name → facts → the way of the webservice's auth mode → measure. A check leaves no audit record; of those that are
//! refused a few in a second do.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{Core, Refusal, RequestContext};
use crate::directory::verified::VerifiedToken;
use crate::domain::access_key::{self, AccessKey, KeyName};
use crate::domain::audit::{Actor, AuditRecord, Event, Outcome};
use crate::domain::denial::Denial;
use crate::domain::ids::AuditRecordId;
use crate::domain::resource::WebserviceId;
use crate::domain::role::{self, action};
use crate::domain::webservice::AuthMode;
use crate::entropy;
use crate::metrics::ALLOWED;
use crate::storage::WebserviceFacts;

/// What a gateway asks.
pub struct AccessCheck<'a> {
    /// Which webservice the caller wants, or why that can't be told.
    pub webservice: Result<WebserviceId, Denial>,
    /// What stands behind `Bearer`, be it a token or an access key; `None` when nothing does.
    pub credential: Option<&'a str>,
}

/// The caller may come in.
pub struct Access {
    pub webservice: Arc<WebserviceFacts>,
    pub proof: Proof,
}

/// How the caller proved that it may.
pub enum Proof {
    /// The webservice asks for nothing.
    Open,
    Key(KeyName),
    Token(Arc<VerifiedToken>),
}

/// How many refused checks are recorded: each caller can make any number of them.
pub struct CheckRecords(Option<DefaultDirectRateLimiter>);

impl CheckRecords {
    /// With 0 none is recorded.
    pub fn new(per_second: u32) -> Self {
        Self(NonZeroU32::new(per_second).map(|rate| RateLimiter::direct(Quota::per_second(rate))))
    }

    fn takes_one_more(&self) -> bool {
        self.0.as_ref().is_some_and(|rate| rate.check().is_ok())
    }
}

/// What becomes known on the way, for whoever counts and records.
#[derive(Default)]
struct Trail {
    webservice: Option<Arc<WebserviceFacts>>,
    /// Live and ours, whether or not it opens this webservice.
    token: Option<Arc<VerifiedToken>>,
}

impl Core {
    /// Whether the credential opens the webservice. Any region answers for every webservice.
    pub async fn check_access(
        &self,
        asked: &AccessCheck<'_>,
        context: &RequestContext,
    ) -> Result<Access, Refusal> {
        let mut trail = Trail::default();
        let judged = self.judge_access(asked, &mut trail).await;
        let mode = trail.webservice.as_ref().map_or("unknown", |facts| facts.webservice.auth_mode.as_str());
        let result = match &judged {
            Ok(_) => ALLOWED,
            Err(Refusal::Denied(denial)) => metric_result(*denial),
            Err(_) => "error",
        };
        self.metrics.access_checks.observe(mode, result, context.started.elapsed());
        if let Err(Refusal::Denied(denial)) = &judged
            && self.check_records.takes_one_more()
        {
            self.record_refused_check(*denial, asked, &trail, context);
        }
        judged
    }

    async fn judge_access(&self, asked: &AccessCheck<'_>, trail: &mut Trail) -> Result<Access, Refusal> {
        let id = asked.webservice.as_ref().map_err(|denial| Refusal::Denied(*denial))?;
        // Everything below rests on facts in memory.
        self.directory.confirm()?;
        let key = id.key();
        let Some(webservice) = self.directory.webservice(&key).await? else {
            return Err(self.refuse_unknown(asked.credential, trail));
        };
        trail.webservice = Some(Arc::clone(&webservice));
        let proof = match webservice.webservice.auth_mode {
            AuthMode::None => Proof::Open,
            AuthMode::Key => {
                let shown = asked.credential.ok_or(Refusal::Denied(Denial::MissingToken))?;
                Proof::Key(self.which_key(shown, &webservice.access_keys).map_err(Refusal::Denied)?)
            }
            AuthMode::Token => {
                let shown = asked.credential.ok_or(Refusal::Denied(Denial::MissingToken))?;
                Proof::Token(self.judge_token(shown, &key, &webservice, trail).await?)
            }
        };
        Ok(Access { webservice, proof })
    }

    /// Whoever shows no live token of this service is answered as at a webservice that exists.
    fn refuse_unknown(&self, credential: Option<&str>, trail: &mut Trail) -> Refusal {
        let Some(shown) = credential else {
            return Refusal::Denied(Denial::MissingToken);
        };
        let now = match self.clock.confirmed() {
            Ok(now) => now,
            Err(wrong_clock) => return wrong_clock.into(),
        };
        trail.token = self.verified_token(now, shown).ok();
        Refusal::Denied(match trail.token {
            Some(_) => Denial::NoSuchWebservice,
            None => Denial::UnprovenAtUnknownWebservice,
        })
    }

    /// Both keys are compared, whichever it is.
    fn which_key(&self, shown: &str, keys: &[AccessKey]) -> Result<KeyName, Denial> {
        // Never hashes more than a key can be; a longer text matches nothing anyway.
        let shown = if shown.len() > access_key::MAX_CHARS { "" } else { shown };
        let compare = |found: Option<KeyName>, key: &AccessKey| {
            let matches = self.pepper.matches(shown, &key.digest);
            found.or(matches.then_some(key.name))
        };
        keys.iter().fold(None, compare).ok_or(Denial::WrongAccessKey)
    }

    /// A live token for exactly this webservice, whose bearer could still get one.
    async fn judge_token(
        &self,
        shown: &str,
        key: &str,
        facts: &WebserviceFacts,
        trail: &mut Trail,
    ) -> Result<Arc<VerifiedToken>, Refusal> {
        let denied = |denial| Err(Refusal::Denied(denial));
        let now = self.clock.confirmed()?;
        let token = self.verified_token(now, shown).map_err(Refusal::Denied)?;
        trail.token = Some(Arc::clone(&token));
        // A management token has the issuer alone.
        if *token.audience != *facts.webservice.id.audience(&self.settings.policy.issuer) {
            return denied(Denial::WrongAudience);
        }
        // Looked up every time: what was taken from it since must not wait for the token's end.
        let holder = self.directory.principal(token.client_id).await?;
        let Some(holder) = holder.filter(|holder| holder.principal.object_id == token.object_id) else {
            return denied(Denial::UnknownClient);
        };
        if !holder.principal.enabled {
            return denied(Denial::PrincipalDisabled);
        }
        let roles = self.directory.roles();
        let may = role::is_allowed(&holder.assignments, |id| roles.get(&id), action::TOKEN, key);
        if !may || holder.principal.tenant_id != facts.workspace.tenant_id {
            return denied(Denial::NoRole);
        }
        Ok(token)
    }

    /// Beside the answer, which does not wait for it.
    fn record_refused_check(
        &self,
        denial: Denial,
        asked: &AccessCheck<'_>,
        trail: &Trail,
        context: &RequestContext,
    ) {
        let now = self.clock.now();
        let token = trail.token.as_ref();
        let record = AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event: Event::AccessCheck,
            outcome: Outcome::Refused,
            reason: Some(denial.reason().into()),
            actor: Actor {
                object_id: token.map(|token| token.object_id),
                client_id: token.map(|token| token.client_id),
                method: token.map(|_| "webservice_token".into()),
                ..Actor::default()
            },
            resource: asked.webservice.as_ref().ok().map(|id| id.text().into()),
            token: None,
            detail: token.map(|token| format!("token {}", token.token_id)),
            request: self.request_facts(context),
            latency_micros: i64::try_from(context.started.elapsed().as_micros()).unwrap_or(i64::MAX),
        };
        let recorder = self.recorder.clone();
        // One that can't be made durable is counted by the recorder.
        tokio::spawn(async move {
            let _ = recorder.record(record).await;
        });
    }
}

/// The closed set of `metrics::CHECK_RESULTS`.
const fn metric_result(denial: Denial) -> &'static str {
    match denial {
        Denial::MissingToken => "missing",
        Denial::TokenExpired => "expired",
        Denial::TokenRevoked => "revoked",
        Denial::WrongAudience => "wrong_audience",
        Denial::NoRole | Denial::PrincipalDisabled | Denial::UnknownClient => "no_role",
        Denial::WebserviceNotNamed | Denial::WebserviceNamedTwice => "not_named",
        Denial::NoSuchWebservice => "unknown_webservice",
        _ => "invalid",
    }
}
