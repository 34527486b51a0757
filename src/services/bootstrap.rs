//! The first principal of a deployment: Owner of everything, made once.

use super::client_secrets::MadeSecret;
use super::{Core, Refusal};
use crate::domain::audit::Actor;
use crate::domain::credential_method::AllowedMethods;
use crate::domain::ids::{ClientId, ObjectId, RoleAssignmentId, TenantId};
use crate::domain::principal::{SecretSlot, ServicePrincipal};
use crate::domain::resource::Scope;
use crate::domain::role::{self, RoleAssignment};
use crate::domain::workspace::{Subscription, Tenant};
use crate::storage::{Mutation, Page};

/// What is made once.
pub struct Bootstrapped {
    pub tenant_id: TenantId,
    pub subscription: String,
    pub principal: ServicePrincipal,
    pub secret: MadeSecret,
}

impl Core {
    /// Makes a tenant and a subscription where they are not there, and a principal that is Owner at the root.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] when there is any principal already: whoever may run this may also apply a registry file,
    /// which is how a lost secret is replaced.
    pub async fn bootstrap(
        &self,
        tenant_id: TenantId,
        subscription: String,
    ) -> Result<Bootstrapped, Refusal> {
        let tenants = self.store.tenants().await?;
        for tenant in &tenants {
            let page = Page { after: "", limit: 1 };
            if let Some(found) = self.store.principals(tenant.id, page).await?.first() {
                return Err(Refusal::Conflict(format!(
                    "the deployment has principals, such as `{}` ({}): bootstrap makes the first one only. For another Owner, or a new secret, use `wsts apply`",
                    found.display_name, found.client_id
                )));
            }
        }
        // Kept by the database the first time, so two runs at once make the same principal, and its place for a secret can
        // be taken once.
        let object_id = self.store.remember("bootstrap", self.new_uuid().as_bytes()).await?;
        let object_id = uuid::Uuid::from_slice(&object_id)
            .map(ObjectId::from_uuid)
            .map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let principal = ServicePrincipal {
            object_id,
            client_id: ClientId::from_uuid(self.new_uuid()),
            tenant_id,
            display_name: "bootstrap".to_owned(),
            enabled: true,
            allowed_methods: AllowedMethods::default(),
            created_at: self.clock.now(),
        };
        let secret = self.make_secret(object_id, SecretSlot::First, Some("bootstrap".to_owned()), None)?;
        let assignment = RoleAssignment {
            id: RoleAssignmentId::from_uuid(self.new_uuid()),
            object_id,
            role_id: role::OWNER,
            scope: Scope::root(),
        };
        let mut mutations = Vec::new();
        if tenants.iter().all(|tenant| tenant.id != tenant_id) {
            mutations.push(Mutation::PutTenant(Tenant { id: tenant_id, display_name: "default".to_owned() }));
        }
        let found = self.store.subscriptions().await?;
        let found = found.iter().find(|found| found.id.eq_ignore_ascii_case(&subscription));
        match found {
            Some(found) if found.tenant_id != tenant_id => {
                return Err(Refusal::Conflict(format!(
                    "subscription {subscription} belongs to tenant {}",
                    found.tenant_id
                )));
            }
            Some(_) => {}
            None => mutations.push(Mutation::PutSubscription(Subscription {
                id: subscription.clone(),
                tenant_id,
                display_name: "default".to_owned(),
            })),
        }
        mutations.extend([
            Mutation::PutPrincipal(principal.clone()),
            Mutation::AddSecret(secret.secret.clone()),
            Mutation::PutAssignment(assignment),
        ]);
        let actor = Actor { method: Some("bootstrap".into()), ..Actor::default() };
        self.change_as(&actor, &mutations, &self.local_context()).await?;
        Ok(Bootstrapped { tenant_id, subscription, principal, secret })
    }
}
