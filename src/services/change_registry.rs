//! Every change of the registry: mutations and their audit records in one transaction, then the memory of them dropped.

use chrono::Duration;
use uuid::Uuid;

use super::authenticate::Authenticated;
use super::issue_token::actor_of;
use super::{Core, Refusal, RequestContext};
use crate::domain::audit::{Actor, AuditRecord, Event, Outcome};
use crate::domain::credential_method::AllowedMethods;
use crate::domain::ids::AuditRecordId;
use crate::entropy;
use crate::storage::Page;

pub use crate::storage::{Mutation, PrincipalUpdate};

/// Most webservices that one forced deletion of a workspace takes along.
const MOST_DELETED: u32 = 10_000;

impl Core {
    /// Commits changes made by a caller of the API. When this returns, the next request sees them. Returns the id of the
    /// first one's record.
    pub async fn change(
        &self,
        caller: &Authenticated,
        mutations: &[Mutation],
        context: &RequestContext,
    ) -> Result<AuditRecordId, Refusal> {
        self.change_as(&actor_of(caller), mutations, context).await
    }

    /// Commits changes made by whoever holds the command line. A webservice that is new gets its access keys with it.
    pub async fn change_as(
        &self,
        actor: &Actor,
        mutations: &[Mutation],
        context: &RequestContext,
    ) -> Result<AuditRecordId, Refusal> {
        let keys = self.first_access_keys(mutations).await?;
        let with_keys = if keys.is_empty() { Vec::new() } else { [mutations, &keys].concat() };
        let mutations = if keys.is_empty() { mutations } else { &with_keys };
        let now = self.clock.now();
        let facts = self.request_facts(context);
        let latency_micros = i64::try_from(context.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let records: Vec<AuditRecord> = mutations
            .iter()
            .filter(|mutation| !mutation.is_expectation())
            .zip(0_i64..)
            .map(|(mutation, place)| {
                let (resource, detail) = describe(mutation);
                let random = entropy::bytes(self.entropy.as_ref());
                // One step of the id's time each: so they sort in their order, and stand apart in the database.
                let at = now + Duration::nanoseconds(250 * place);
                AuditRecord {
                    id: AuditRecordId::from_uuid(entropy::time_ordered_uuid(at, &random)),
                    occurred_at: now,
                    event: Event::Change,
                    outcome: Outcome::Done,
                    reason: None,
                    actor: actor.clone(),
                    resource: Some(resource.into()),
                    token: None,
                    detail: Some(detail),
                    request: facts.clone(),
                    latency_micros,
                }
            })
            .collect();
        let first = records.first().map_or(AuditRecordId::from_uuid(Uuid::nil()), |record| record.id);
        let changes = self.recorder.commit(mutations, records).await?;
        self.directory.forget(&changes).await?;
        Ok(first)
    }

    /// Deletes a workspace. With webservices in it this is refused unless `with_webservices` asks for it.
    pub async fn delete_workspace(
        &self,
        caller: &Authenticated,
        id: &crate::domain::resource::WorkspaceId,
        with_webservices: bool,
        context: &RequestContext,
    ) -> Result<(), Refusal> {
        let page = Page { after: "", limit: MOST_DELETED };
        let webservices = self.store.webservices(&id.key(), page).await?;
        if !webservices.is_empty() && !with_webservices {
            return Err(Refusal::Conflict(format!(
                "the workspace has {} webservice(s): delete them first, or ask for `?forceToPurge=true`",
                webservices.len()
            )));
        }
        let mut mutations: Vec<Mutation> =
            webservices.into_iter().map(|webservice| Mutation::DeleteWebservice(webservice.id)).collect();
        mutations.push(Mutation::DeleteWorkspace(id.clone()));
        self.change(caller, &mutations, context).await.map(drop)
    }
}

/// What a mutation touches, and how, in one line without secrets.
pub fn describe(mutation: &Mutation) -> (String, String) {
    let (resource, verb) = match mutation {
        Mutation::ExpectWebservice(id, _) => (id.to_string(), "expect".to_owned()),
        Mutation::ExpectWorkspace(id, _) => (id.to_string(), "expect".to_owned()),
        Mutation::ExpectNoSigningKeys => ("signing keys".to_owned(), "expect".to_owned()),
        Mutation::PutTenant(tenant) => {
            (format!("tenant {}", tenant.id), format!("put `{}`", tenant.display_name))
        }
        Mutation::DeleteTenant(id) => (format!("tenant {id}"), "delete".to_owned()),
        Mutation::PutSubscription(put) => {
            (format!("/subscriptions/{}", put.id), format!("put in tenant {}", put.tenant_id))
        }
        Mutation::DeleteSubscription(id) => (format!("/subscriptions/{id}"), "delete".to_owned()),
        Mutation::PutWorkspace(put) => (put.id.to_string(), format!("put home_region={}", put.home_region)),
        Mutation::DeleteWorkspace(id) => (id.to_string(), "delete".to_owned()),
        Mutation::PutWebservice(put) => (
            put.id.to_string(),
            format!(
                "put compute={}/{} auth_mode={} scoring_uri={}",
                put.compute_type,
                put.compute_region,
                put.auth_mode,
                put.scoring_uri.as_deref().unwrap_or("none")
            ),
        ),
        Mutation::DeleteWebservice(id) => (id.to_string(), "delete".to_owned()),
        Mutation::PutAccessKey(id, stored) => (
            id.text(),
            format!("{} key, generation {}", stored.key.name.as_str().to_lowercase(), stored.key.generation),
        ),
        Mutation::PutPrincipal(_)
        | Mutation::UpdatePrincipal(..)
        | Mutation::DeletePrincipal(_)
        | Mutation::AddSecret(_)
        | Mutation::RemoveSecret(..)
        | Mutation::AddKeyCredential(_)
        | Mutation::RemoveKeyCredential(..)
        | Mutation::PutFederatedCredential(_)
        | Mutation::RemoveFederatedCredential(..) => describe_principal(mutation),
        Mutation::PutRole(role) => (format!("role {}", role.id), format!("put `{}`", role.name)),
        Mutation::DeleteRole(id) => (format!("role {id}"), "delete".to_owned()),
        Mutation::PutAssignment(put) => (
            put.scope.to_string(),
            format!("assign role {} to principal {} as {}", put.role_id, put.object_id, put.id),
        ),
        Mutation::DeleteAssignment(id) => (format!("role assignment {id}"), "delete".to_owned()),
        Mutation::RevokeToken(revoked) => {
            (format!("token {}", revoked.token_id), format!("revoke until {}", revoked.expires_at))
        }
        Mutation::CreateSigningKey(row) => (format!("signing key {}", row.key.kid), "create".to_owned()),
        Mutation::AmendSigningKey { kid, .. } => (format!("signing key {kid}"), "amend".to_owned()),
        Mutation::DestroySigningKey(kid) => {
            (format!("signing key {kid}"), "destroy private bytes".to_owned())
        }
        Mutation::RewrapSigningKey(kid, _) => (format!("signing key {kid}"), "re-wrap".to_owned()),
        Mutation::RewrapAccessKey(key, name, _) => (key.clone(), format!("re-wrap {} key", name.as_str())),
    };
    (resource, verb)
}

/// Of a principal or its credentials; `describe` hands over no other.
fn describe_principal(mutation: &Mutation) -> (String, String) {
    let (object_id, verb) = match mutation {
        Mutation::PutPrincipal(put) => {
            let text = format!(
                "put client_id={} enabled={}{}",
                put.client_id,
                put.enabled,
                methods(put.allowed_methods)
            );
            (put.object_id, text)
        }
        Mutation::UpdatePrincipal(id, update) => {
            let name = update.display_name.as_ref().map(|name| format!(" display_name=`{name}`"));
            let enabled = update.enabled.map(|enabled| format!(" enabled={enabled}"));
            let methods = update.allowed_methods.map(|methods| format!(" methods={methods}"));
            let [name, enabled, methods] = [name, enabled, methods].map(Option::unwrap_or_default);
            (*id, format!("update{name}{enabled}{methods}"))
        }
        Mutation::DeletePrincipal(id) => (*id, "delete".to_owned()),
        Mutation::AddSecret(secret) => {
            (secret.object_id, format!("add secret {} until {}", secret.id, secret.expires_at))
        }
        Mutation::RemoveSecret(object_id, id) => (*object_id, format!("remove secret {id}")),
        Mutation::AddKeyCredential(key) => {
            (key.object_id, format!("add {} {} until {}", key.names.kind(), key.id, key.expires_at))
        }
        Mutation::RemoveKeyCredential(object_id, id) => (*object_id, format!("remove certificate {id}")),
        Mutation::PutFederatedCredential(put) => (
            put.object_id,
            format!("put federated credential {} issuer={} subject={}", put.id, put.issuer, put.subject),
        ),
        Mutation::RemoveFederatedCredential(object_id, id) => {
            (*object_id, format!("remove federated credential {id}"))
        }
        _ => return Default::default(),
    };
    (format!("principal {object_id}"), verb)
}

/// Said only of a principal that is held to some of them.
fn methods(allowed: AllowedMethods) -> String {
    if allowed == AllowedMethods::ALL { String::new() } else { format!(" methods={allowed}") }
}
