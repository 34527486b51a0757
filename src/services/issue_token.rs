//! The one way to a token: eight phases that no dialect can skip (docs/issuance.md).
//!
//! admit → authenticate → load facts → authorize → mint → sign → record → release → measure

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::authenticate::{Authenticated, Credentials};
use super::{Core, Refusal, RequestContext};
use crate::domain::audit::{Actor, AuditRecord, Event, Outcome, TokenFacts};
use crate::domain::denial::Denial;
use crate::domain::ids::{AuditRecordId, ClientId};
use crate::domain::issuance::{self, Target, TokenRandom};
use crate::domain::lifetime::TokenLifetime;
use crate::domain::resource::WebserviceId;
use crate::entropy;
use crate::storage::WebserviceFacts;

/// What is asked for.
pub struct TokenRequest<'a> {
    pub credentials: Credentials<'a>,
    pub target: RequestedTarget,
    /// Seconds, to shorten the life.
    pub lifetime_seconds: Option<u32>,
}

/// What the token is to open.
#[derive(Debug, Clone)]
pub enum RequestedTarget {
    Management,
    Webservice(WebserviceId),
}

/// A token that has its durable record and may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    pub token: String,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub refresh_by: DateTime<Utc>,
}

/// What becomes known on the way, kept for the record whether the end is good or bad.
#[derive(Default)]
struct Trail {
    caller: Option<Authenticated>,
    webservice: Option<Arc<WebserviceFacts>>,
    token: Option<TokenFacts>,
    /// The time in the token, and then that of its record.
    minted_at: Option<DateTime<Utc>>,
    algorithm: &'static str,
}

impl Core {
    /// Issues a token, or says why not. Either way the record is durable before this returns, but for requests beyond what
    /// can be answered, and of callers that are limited.
    pub async fn issue_token(
        &self,
        request: &TokenRequest<'_>,
        context: &RequestContext,
    ) -> Result<IssuedToken, Refusal> {
        // 0. Admit. Who is turned away here was not looked at, and leaves no record.
        let _place = self.admit(context)?;
        let mut trail = Trail::default();
        let decided = self.decide(request, context, &mut trail).await;
        // 6. Record. A refusal leaves the same durable row as a token.
        let recorded = match &decided {
            // One row says that a caller is limited; one for each of its requests would let it fill the audit.
            Err(refusal) if !refusal.is_recorded() => Ok(()),
            _ => self.recorder.record(self.record_of(request, context, &trail, &decided)).await,
        };
        // 7. Release: only what is recorded leaves.
        let released = match (decided, recorded) {
            (Err(refusal @ Refusal::Unavailable(_)), _) => Err(refusal),
            (_, Err(not_recorded)) => Err(not_recorded.into()),
            (decided, Ok(())) => decided,
        };
        // 8. Measure.
        self.measure(context, &trail, &released);
        released
    }

    /// Phases 1 to 5.
    async fn decide(
        &self,
        request: &TokenRequest<'_>,
        context: &RequestContext,
        trail: &mut Trail,
    ) -> Result<IssuedToken, Refusal> {
        // 1. Authenticate.
        let caller = self.authenticate(&request.credentials, &mut trail.caller, context).await?;
        self.quotas.take(caller.facts.principal.object_id).map_err(|limited| self.too_many(limited))?;
        // 2. Load facts.
        let key = match &request.target {
            RequestedTarget::Management => None,
            RequestedTarget::Webservice(id) => Some(id.key()),
        };
        if let Some(key) = &key {
            trail.webservice = self.directory.webservice(key).await?;
        }
        let found = trail.webservice.as_deref().map(|facts| (&facts.webservice, &facts.workspace));
        let target = key.as_deref().map_or(Target::Management, |key| Target::Webservice { key, found });
        // 3. Authorize.
        let roles = self.directory.roles();
        let (principal, assignments) = (&caller.facts.principal, &caller.facts.assignments);
        let policy = &self.settings.policy;
        issuance::authorize(policy, principal, assignments, |id| roles.get(&id), &target).map_err(
            |denial| match (denial, found) {
                (Denial::Misdirected, Some((_, workspace))) => {
                    Refusal::Misdirected(policy.serving(workspace))
                }
                _ => Refusal::Denied(denial),
            },
        )?;
        // 4. Mint. Looked at anew: facts may have been waited for.
        let now = self.clock.confirmed()?;
        trail.minted_at = Some(now);
        let lifetime =
            found.and_then(|(webservice, _)| webservice.token_lifetime).unwrap_or(policy.default_lifetime);
        let life = lifetime
            .shortened(request.lifetime_seconds)
            .map_err(|_| Refusal::Denied(Denial::LifetimeTooShort))?;
        let ring = self.confirmed_keys()?;
        let key =
            ring.active(now).ok_or_else(|| Refusal::Unavailable("no signing key is active".to_owned()))?;
        let random = TokenRandom {
            token_id: context.random.token_id,
            refresh_spread: entropy::unit_interval(context.random.refresh_spread),
        };
        let claims = issuance::mint(policy, principal, &target, life, (now, random), key.key.life.remove_at)
            .map_err(|error| Refusal::Unavailable(error.to_string()))?;
        // 5. Sign.
        let started = Instant::now();
        let token = key.sign(&claims).map_err(|error| Refusal::Unavailable(error.to_string()))?;
        trail.algorithm = key.key.algorithm.as_str();
        self.metrics
            .signing_duration
            .with_label_values(&[trail.algorithm])
            .observe(started.elapsed().as_secs_f64());
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(now);
        let expires_at = instant(claims.exp);
        trail.token = Some(TokenFacts { token_id: claims.jti, kid: key.key.kid.clone(), expires_at });
        Ok(IssuedToken {
            token,
            issued_at: instant(claims.iat),
            expires_at,
            refresh_by: instant(claims.refresh_by),
        })
    }

    fn record_of(
        &self,
        request: &TokenRequest<'_>,
        context: &RequestContext,
        trail: &Trail,
        decided: &Result<IssuedToken, Refusal>,
    ) -> AuditRecord {
        let now = trail.minted_at.unwrap_or_else(|| self.clock.now());
        let (event, resource) = match &request.target {
            RequestedTarget::Management => (Event::ManagementToken, None),
            RequestedTarget::Webservice(id) => (Event::WebserviceToken, Some(id.text().into())),
        };
        let (outcome, reason) = match decided {
            Ok(_) => (Outcome::Issued, None),
            Err(Refusal::Denied(denial)) => (Outcome::Refused, Some(denial.reason())),
            Err(Refusal::Misdirected(_)) => (Outcome::Refused, Some(Denial::Misdirected.reason())),
            Err(Refusal::TooMany(limited)) => (Outcome::Refused, Some(limited.limit.reason())),
            Err(_) => (Outcome::Failed, Some("unavailable")),
        };
        AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event,
            outcome,
            reason: reason.map(Into::into),
            actor: actor(trail.caller.as_ref(), &request.credentials),
            resource,
            token: trail.token.clone(),
            detail: trail.caller.as_ref().and_then(|caller| caller.note).map(str::to_owned),
            request: self.request_facts(context),
            latency_micros: i64::try_from(context.started.elapsed().as_micros()).unwrap_or(i64::MAX),
        }
    }

    fn measure(&self, context: &RequestContext, trail: &Trail, released: &Result<IssuedToken, Refusal>) {
        let took = context.started.elapsed();
        let endpoint = context.endpoint.as_str();
        let (outcome, class) = match released {
            Ok(_) => ("issued", "issued"),
            Err(Refusal::Denied(denial)) if denial.is_of_credentials() => ("invalid_client", "refused"),
            Err(Refusal::Denied(Denial::LifetimeTooShort)) => ("invalid_request", "refused"),
            Err(Refusal::Denied(_)) => ("access_denied", "refused"),
            Err(Refusal::Misdirected(_)) => ("misdirected", "refused"),
            Err(Refusal::TooMany(_)) => ("rate_limited", "refused"),
            Err(_) => ("error", "failed"),
        };
        let pair = trail.webservice.as_deref().map_or(("", ""), |facts| {
            self.metrics.pair(facts.workspace.home_region.as_str(), facts.webservice.compute_region.as_str())
        });
        self.metrics.token_requests.with_label_values(&[endpoint, outcome]).inc();
        self.metrics
            .token_request_duration
            .with_label_values(&[endpoint, class, pair.0, pair.1])
            .observe(took.as_secs_f64());
        if released.is_ok() {
            self.latencies.observe(pair.1, took);
            self.metrics.tokens_issued.with_label_values(&[trail.algorithm, endpoint, pair.0, pair.1]).inc();
        }
    }

    /// The life of a webservice's tokens when it names none.
    pub fn default_lifetime(&self) -> TokenLifetime {
        self.settings.policy.default_lifetime
    }
}

/// Who asked, proven.
pub(super) fn actor_of(caller: &Authenticated) -> Actor {
    let principal = &caller.facts.principal;
    Actor {
        object_id: Some(principal.object_id),
        client_id: Some(principal.client_id),
        tenant_id: Some(principal.tenant_id),
        credential_id: caller.credential_id,
        method: Some(caller.method.into()),
    }
}

/// Who asked: proven where it was proven, else as claimed.
pub(super) fn actor(caller: Option<&Authenticated>, credentials: &Credentials<'_>) -> Actor {
    match (caller, credentials) {
        (Some(caller), _) => actor_of(caller),
        (None, Credentials::ClientSecret { tenant, client_id, .. }) => Actor {
            client_id: ClientId::parse(client_id).ok(),
            tenant_id: *tenant,
            method: Some(credentials.method().into()),
            ..Actor::default()
        },
        (None, Credentials::ClientAssertion(shown)) => Actor {
            client_id: shown.claimed_client(),
            tenant_id: shown.tenant,
            method: Some(credentials.method().into()),
            ..Actor::default()
        },
        (None, Credentials::ManagementToken(_)) => {
            Actor { method: Some(credentials.method().into()), ..Actor::default() }
        }
    }
}
