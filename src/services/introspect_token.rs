//! What a token is good for now (RFC 7662): for gateways that prove themselves and may read the webservice.
//!
//! From memory; a question leaves no audit record, but one whose client proves nothing does.

use super::authenticate::{Authenticated, Credentials};
use super::{Core, Refusal, RequestContext};
use crate::domain::claims::ReadClaims;
use crate::domain::ids::{ClientId, ObjectId};
use crate::domain::resource::{Scope, WebserviceId};
use crate::domain::role::{self, action};
use crate::signing::verifier::Expected;

impl Core {
    /// The claims of a token that would be let in now; `None` for every other text, and for what this caller may not know
    /// of: no reason is told (RFC 7662, section 2.2).
    pub async fn introspect_token(
        &self,
        credentials: &Credentials<'_>,
        token: &str,
        context: &RequestContext,
    ) -> Result<Option<ReadClaims>, Refusal> {
        let caller = self.prove(credentials, context).await?;
        let now = self.clock.confirmed()?;
        let expected =
            Expected { issuer: Some(&self.settings.policy.issuer), audience: None, now, leeway_seconds: 0 };
        let verified = self.published.load().verifier.verify(token, &expected).ok();
        let active = match verified {
            Some(claims) if self.is_active_for(&caller, &claims).await? => Some(claims),
            _ => None,
        };
        let label = if active.is_some() { "true" } else { "false" };
        self.metrics.introspections.with_label_values(&[label]).inc();
        Ok(active)
    }

    /// Whether the token's bearer would be let in, and the caller may know it.
    async fn is_active_for(&self, caller: &Authenticated, claims: &ReadClaims) -> Result<bool, Refusal> {
        let (Ok(client_id), Ok(object_id)) =
            (ClientId::parse(&claims.client_id), ObjectId::parse(&claims.oid))
        else {
            return Ok(false);
        };
        if self.directory.revoked.contains(&claims.jti) {
            return Ok(false);
        }
        let holder = self.directory.principal(client_id).await?;
        let holder =
            holder.filter(|holder| holder.principal.object_id == object_id && holder.principal.enabled);
        let Some(holder) = holder else { return Ok(false) };
        let is_own = caller.facts.principal.object_id == object_id;
        let behind = self.settings.policy.behind_base(&claims.aud).unwrap_or_default();
        let Ok(id) = WebserviceId::parse(behind) else {
            // A management token, of which nobody else is told.
            return Ok(is_own);
        };
        let key = id.key();
        let Some(found) = self.directory.webservice(&key).await? else { return Ok(false) };
        let roles = self.directory.roles();
        let opens = found.workspace.tenant_id == holder.principal.tenant_id
            && role::is_allowed(&holder.assignments, |id| roles.get(&id), action::TOKEN, &key);
        let sees = is_own
            || Scope::parse(&id.text())
                .is_ok_and(|scope| self.allows(caller, action::WEBSERVICE_READ, &scope));
        Ok(opens && sees)
    }
}
