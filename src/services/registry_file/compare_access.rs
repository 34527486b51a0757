//! Comparing who may do what: roles, principals, assignments.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::compare::Comparison;
use super::{PrincipalEntry, RegistryFile};
use crate::domain::credential_method::{AllowedMethods, CredentialMethod};
use crate::domain::ids::{ClientId, ObjectId, RoleAssignmentId, RoleDefinitionId, TenantId};
use crate::domain::principal::ServicePrincipal;
use crate::domain::role::{RoleAssignment, RoleDefinition, built_in_roles};
use crate::domain::workspace::Workspace;
use crate::entropy;
use crate::services::client_secrets::MAX_SECRET_DAYS;
use crate::storage::Mutation;

/// What makes two assignments the same: principal, role and scope key.
type AssignmentKey = (ObjectId, RoleDefinitionId, String);

impl Comparison<'_> {
    /// Ids of all roles after the application, by lower-case name.
    pub fn roles(&mut self, file: &RegistryFile) -> HashMap<String, RoleDefinitionId> {
        let stored = self.stored;
        let mut all: HashMap<String, RoleDefinitionId> =
            stored.roles.iter().map(|role| (role.name.to_ascii_lowercase(), role.id)).collect();
        for role in built_in_roles() {
            all.insert(role.name.to_ascii_lowercase(), role.id);
            let before = stored.roles.iter().find(|found| found.id == role.id);
            let name = role.name.clone();
            self.put(before, role, Mutation::PutRole, || format!("built-in role {name}"));
        }
        self.refuse_doubles(
            "role",
            file.role_definitions.iter().map(|entry| entry.name.to_ascii_lowercase()),
        );
        // Two under one id would take turns at each application.
        let ids = file.role_definitions.iter().map(|entry| entry.id.to_string());
        self.refuse_doubles("role id", ids);
        for (place, entry) in file.role_definitions.iter().enumerate() {
            if built_in_roles()
                .iter()
                .any(|role| role.id == entry.id || role.name.eq_ignore_ascii_case(&entry.name))
            {
                self.mistakes.push(format!("role `{}`: built-in roles can't be changed", entry.name));
                continue;
            }
            let holder = stored
                .roles
                .iter()
                .find(|found| found.id != entry.id && found.name.eq_ignore_ascii_case(&entry.name));
            // Unless an earlier entry has given that one another name.
            let mut earlier = file.role_definitions.iter().take(place);
            if let Some(holder) = holder.filter(|holder| !earlier.any(|one| one.id == holder.id)) {
                self.mistakes.push(format!(
                    "role `{}`: its name is that of the stored role {}, and its id another",
                    entry.name, holder.id
                ));
                continue;
            }
            let role = RoleDefinition {
                id: entry.id,
                name: entry.name.clone(),
                description: entry.description.clone(),
                actions: entry.actions.clone(),
                not_actions: entry.not_actions.clone(),
                built_in: false,
            };
            all.insert(entry.name.to_ascii_lowercase(), entry.id);
            let before = stored.roles.iter().find(|found| found.id == entry.id);
            self.put(before, role, Mutation::PutRole, || format!("role `{}`", entry.name));
        }
        all
    }

    /// Object id and tenant of all principals after the application.
    pub fn principals(&mut self, file: &RegistryFile) -> HashMap<ClientId, (ObjectId, TenantId)> {
        let stored: HashMap<ClientId, &ServicePrincipal> =
            self.stored.principals.iter().map(|found| (found.client_id, found)).collect();
        let with_secret: HashSet<ObjectId> = self.stored.with_secret.iter().copied().collect();
        let tenants = self.all_tenants(file);
        let mut all: HashMap<ClientId, (ObjectId, TenantId)> = stored
            .iter()
            .map(|(client_id, found)| (*client_id, (found.object_id, found.tenant_id)))
            .collect();
        self.refuse_doubles("principal", file.principals.iter().map(|entry| entry.client_id.to_string()));
        let ids = file.principals.iter().filter_map(|entry| entry.object_id);
        self.refuse_doubles("object id", ids.map(|id| id.to_string()));
        let holders: HashMap<ObjectId, &ServicePrincipal> =
            self.stored.principals.iter().map(|found| (found.object_id, found)).collect();
        let is_new =
            |entry: &&PrincipalEntry| entry.object_id.is_none() && !stored.contains_key(&entry.client_id);
        let new = file.principals.iter().filter(is_new).count();
        let mut new_ids = entropy::ascending_uuids(self.entropy, new).into_iter().map(ObjectId::from_uuid);
        for entry in &file.principals {
            let before = stored.get(&entry.client_id).copied();
            let taken = entry
                .object_id
                .and_then(|id| holders.get(&id))
                .filter(|found| found.client_id != entry.client_id)
                .map(|found| format!("its object_id is that of the stored principal {}", found.client_id));
            if let Some(mistake) = check_principal(entry, before, &tenants).or(taken) {
                self.mistakes.push(format!("principal {} `{}`: {mistake}", entry.client_id, entry.name));
                continue;
            }
            let object_id =
                before.map(|found| found.object_id).or(entry.object_id).or_else(|| new_ids.next());
            // There is one for each that is new.
            let Some(object_id) = object_id else { continue };
            let principal = ServicePrincipal {
                object_id,
                client_id: entry.client_id,
                tenant_id: entry.tenant,
                display_name: entry.name.clone(),
                enabled: entry.enabled,
                allowed_methods: entry.methods,
                created_at: before.map_or(self.now, |found| found.created_at),
            };
            all.insert(entry.client_id, (object_id, entry.tenant));
            self.put(before, principal, Mutation::PutPrincipal, || {
                format!(
                    "principal {} `{}`{}{}",
                    entry.client_id,
                    entry.name,
                    if entry.enabled { "" } else { " (disabled)" },
                    only(entry.methods)
                )
            });
            if let Some(days) = entry.secret_lifetime_days.filter(|_| !with_secret.contains(&object_id)) {
                self.line('+', format!("client secret of principal {} for {days} days", entry.client_id));
                self.out.secrets.push((entry.client_id, object_id, days));
            }
        }
        all
    }

    /// Keys of the workspaces and webservices after the application.
    pub fn places(
        &self,
        workspaces: &HashMap<String, Workspace>,
        webservices: &HashSet<String>,
    ) -> HashSet<String> {
        let stored = self.stored.webservices.iter().map(|found| found.id.key());
        stored.chain(workspaces.keys().cloned()).chain(webservices.iter().cloned()).collect()
    }

    /// Puts the assignments that the file names and nobody holds yet.
    pub fn assignments(
        &mut self,
        file: &RegistryFile,
        roles: &HashMap<String, RoleDefinitionId>,
        principals: &HashMap<ClientId, (ObjectId, TenantId)>,
        places: &HashSet<String>,
    ) {
        let held: HashSet<_> = self.stored.assignments.iter().map(assignment_key).collect();
        let tenant_of = self.tenants_of_subscriptions(file);
        let mut named = HashSet::with_capacity(file.role_assignments.len());
        let mut new = Vec::new();
        for entry in &file.role_assignments {
            let what = format!(
                "role assignment `{}` of principal {} at {}",
                entry.role, entry.principal, entry.scope
            );
            let Some((object_id, tenant_id)) = principals.get(&entry.principal) else {
                self.mistakes.push(format!("{what}: no such principal"));
                continue;
            };
            let Some(role_id) = roles.get(&entry.role.to_ascii_lowercase()) else {
                self.mistakes.push(format!("{what}: no such role"));
                continue;
            };
            let tenant = entry.scope.subscription().map(|id| tenant_of.get(&id.to_ascii_lowercase()));
            if tenant.is_some_and(|tenant| tenant != Some(tenant_id)) {
                self.mistakes.push(format!(
                    "{what}: the scope's subscription does not exist in the principal's tenant"
                ));
                continue;
            }
            if entry.scope.is_resource() && !places.contains(entry.scope.key()) {
                self.mistakes.push(format!("{what}: no such workspace or webservice"));
                continue;
            }
            let assignment = RoleAssignment {
                // Until it is known how many there are.
                id: RoleAssignmentId::from_uuid(Uuid::nil()),
                object_id: *object_id,
                role_id: *role_id,
                scope: entry.scope.clone(),
            };
            let key = assignment_key(&assignment);
            if named.insert(key.clone()) && !held.contains(&key) {
                self.line('+', what);
                new.push(assignment);
            }
        }
        let ids = entropy::ascending_uuids(self.entropy, new.len());
        self.out.mutations.extend(new.into_iter().zip(ids).map(|(assignment, id)| {
            Mutation::PutAssignment(RoleAssignment { id: RoleAssignmentId::from_uuid(id), ..assignment })
        }));
    }
}

/// Said only of a principal that is held to some of the ways.
fn only(methods: AllowedMethods) -> String {
    if methods == AllowedMethods::ALL { String::new() } else { format!(" (by {methods} only)") }
}

fn assignment_key(assignment: &RoleAssignment) -> AssignmentKey {
    (assignment.object_id, assignment.role_id, assignment.scope.key().to_owned())
}

fn check_principal(
    entry: &PrincipalEntry,
    before: Option<&ServicePrincipal>,
    tenants: &HashSet<TenantId>,
) -> Option<String> {
    if !tenants.contains(&entry.tenant) {
        return Some(format!("no tenant {}", entry.tenant));
    }
    if before.is_some_and(|found| found.tenant_id != entry.tenant) {
        return Some("its tenant can't be changed".to_owned());
    }
    if before.is_some_and(|found| entry.object_id.is_some_and(|id| id != found.object_id)) {
        return Some("its object id can't be changed".to_owned());
    }
    let lawful = |days: u32| (1..=MAX_SECRET_DAYS).contains(&i64::from(days));
    if entry.secret_lifetime_days.is_some_and(|days| !lawful(days)) {
        return Some(format!("secret_lifetime_days must be 1 to {MAX_SECRET_DAYS}"));
    }
    for (name, is_named, method) in [
        ("secret_lifetime_days", entry.secret_lifetime_days.is_some(), CredentialMethod::ClientSecret),
        ("public_keys", !entry.public_keys.is_empty(), CredentialMethod::PrivateKeyJwt),
        ("certificates", !entry.certificates.is_empty(), CredentialMethod::PrivateKeyJwt),
        (
            "federated_credentials",
            !entry.federated_credentials.is_empty(),
            CredentialMethod::FederatedCredential,
        ),
    ] {
        if is_named && !entry.methods.has(method) {
            return Some(format!("{name} beside methods without `{}`", method.as_str()));
        }
    }
    None
}
