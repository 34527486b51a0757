//! Who may call a route of the API: a management token, and the route's action at the route's scope.

use std::sync::Arc;

use super::authenticate::{Authenticated, Credentials};
use super::issue_token::{actor, actor_of};
use super::{Core, Refusal, RequestContext};
use crate::domain::audit::{Actor, AuditRecord, Event, Outcome};
use crate::domain::denial::Denial;
use crate::domain::ids::AuditRecordId;
use crate::domain::resource::Scope;
use crate::domain::role;
use crate::entropy;

/// A demand of a route: this action, and what shows that the caller may know of the thing at all.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    pub action: &'static str,
    /// A caller without this one is told that nothing is there.
    pub visible_by: &'static str,
}

impl Demand {
    pub const fn new(action: &'static str, visible_by: &'static str) -> Self {
        Self { action, visible_by }
    }
}

impl Core {
    /// Proves the caller, for what any principal of the tenant may see. A refusal is recorded before it is told.
    pub async fn authenticate_call(
        &self,
        bearer: Option<&str>,
        context: &RequestContext,
    ) -> Result<Authenticated, Refusal> {
        self.prove(&Credentials::ManagementToken(bearer), context).await
    }

    /// The same by whatever the caller shows.
    pub(super) async fn prove(
        &self,
        credentials: &Credentials<'_>,
        context: &RequestContext,
    ) -> Result<Authenticated, Refusal> {
        let mut proven = None;
        match self.authenticate(credentials, &mut proven, context).await {
            Err(refusal @ (Refusal::Denied(_) | Refusal::TooMany(_))) => {
                let actor = actor(proven.as_ref(), credentials);
                self.record_refused_call(&refusal, actor, (None, None), context).await?;
                Err(refusal)
            }
            other => other,
        }
    }

    /// The refusal of a proven caller, once it is on record.
    pub(super) async fn refuse_call(
        &self,
        caller: &Authenticated,
        denial: Denial,
        resource: &str,
        context: &RequestContext,
    ) -> Refusal {
        let refusal = Refusal::Denied(denial);
        let asked = (Some(resource.to_owned()), None);
        match self.record_refused_call(&refusal, actor_of(caller), asked, context).await {
            Ok(()) => refusal,
            Err(not_recorded) => not_recorded,
        }
    }

    /// Proves the caller and checks the demand at the scope. A refusal is recorded before it is told.
    pub async fn authorize_call(
        &self,
        bearer: Option<&str>,
        demand: Demand,
        scope: &Scope,
        context: &RequestContext,
    ) -> Result<Authenticated, Refusal> {
        let credentials = Credentials::ManagementToken(bearer);
        let mut proven = None;
        let refusal = match self.authenticate(&credentials, &mut proven, context).await {
            Ok(caller) => match self.check(&caller, demand, scope) {
                Ok(()) => return Ok(caller),
                Err(refusal) => refusal,
            },
            Err(refusal @ (Refusal::Denied(_) | Refusal::TooMany(_))) => refusal,
            Err(unavailable) => return Err(unavailable),
        };
        let actor = actor(proven.as_ref(), &credentials);
        let asked = (Some(scope.to_string()), Some(demand.action));
        self.record_refused_call(&refusal, actor, asked, context).await?;
        Err(refusal)
    }

    async fn record_refused_call(
        &self,
        refusal: &Refusal,
        actor: Actor,
        (scope, action): (Option<String>, Option<&'static str>),
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        if !refusal.is_recorded() {
            return Ok(());
        }
        let now = self.clock.now();
        let record = AuditRecord {
            id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(now, &context.random.record_id)),
            occurred_at: now,
            event: Event::ApiCall,
            outcome: Outcome::Refused,
            reason: Some(reason(refusal).into()),
            actor,
            resource: scope.map(Arc::from),
            token: None,
            detail: action.map(str::to_owned),
            request: self.request_facts(context),
            latency_micros: i64::try_from(context.started.elapsed().as_micros()).unwrap_or(i64::MAX),
        };
        Ok(self.recorder.record(record).await?)
    }

    /// Whether the caller holds the action at the scope.
    pub fn allows(&self, caller: &Authenticated, action: &str, scope: &Scope) -> bool {
        let roles = self.directory.roles();
        self.same_tenant(caller, scope)
            && role::is_allowed(&caller.facts.assignments, |id| roles.get(&id), action, scope.key())
    }

    fn check(&self, caller: &Authenticated, demand: Demand, scope: &Scope) -> Result<(), Refusal> {
        if self.allows(caller, demand.action, scope) {
            Ok(())
        } else if self.allows(caller, demand.visible_by, scope) {
            Err(Refusal::Forbidden(demand.action))
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// No role reaches into another tenant, not even one at the root.
    fn same_tenant(&self, caller: &Authenticated, scope: &Scope) -> bool {
        let Some(subscription) = scope.subscription() else {
            return true;
        };
        let hierarchy = self.directory.hierarchy();
        hierarchy
            .subscriptions
            .get(&subscription.to_ascii_lowercase())
            .is_some_and(|found| found.tenant_id == caller.facts.principal.tenant_id)
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Denied(denial) => denial.reason(),
        Refusal::TooMany(limited) => limited.limit.reason(),
        Refusal::Forbidden(_) => "no_role_for_action",
        _ => "no_role",
    }
}
