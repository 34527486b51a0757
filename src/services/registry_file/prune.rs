//! Removing what a file does not name.

use std::collections::HashSet;

use super::RegistryFile;
use super::compare::Comparison;
use super::compare_access::{AssignmentKey, assignment_key};
use crate::domain::ids::{ClientId, RoleDefinitionId, TenantId};
use crate::storage::Mutation;

impl Comparison<'_> {
    /// Removes what the file does not name, from the leaves up, so that nothing is removed while something refers
    /// to it. Built-in roles stay.
    pub fn prune(
        &mut self,
        file: &RegistryFile,
        webservices: &HashSet<String>,
        assignments: &HashSet<AssignmentKey>,
    ) {
        self.prune_assignments(assignments);
        self.prune_webservices(webservices);
        self.prune_workspaces(file);
        self.prune_principals(file);
        self.prune_roles(file);
        self.prune_hierarchy(file);
    }

    fn prune_assignments(&mut self, named: &HashSet<AssignmentKey>) {
        for found in &self.stored.assignments {
            if !named.contains(&assignment_key(found)) {
                let text = format!("role assignment {} at {}", found.id, found.scope);
                self.remove(text, Mutation::DeleteAssignment(found.id));
            }
        }
    }

    fn prune_webservices(&mut self, named: &HashSet<String>) {
        for found in &self.stored.webservices {
            if !named.contains(&found.id.key()) {
                let text = format!("webservice {}", found.id);
                self.remove(text, Mutation::DeleteWebservice(found.id.clone()));
            }
        }
    }

    fn prune_workspaces(&mut self, file: &RegistryFile) {
        let named: HashSet<String> = file.workspaces.iter().map(|entry| entry.id.key()).collect();
        for found in &self.stored.workspaces {
            if !named.contains(&found.id.key()) {
                let text = format!("workspace {}", found.id);
                self.remove(text, Mutation::DeleteWorkspace(found.id.clone()));
            }
        }
    }

    fn prune_principals(&mut self, file: &RegistryFile) {
        let named: HashSet<ClientId> = file.principals.iter().map(|entry| entry.client_id).collect();
        for found in &self.stored.principals {
            if !named.contains(&found.client_id) {
                let text = format!("principal {} `{}`", found.client_id, found.display_name);
                self.remove(text, Mutation::DeletePrincipal(found.object_id));
            }
        }
    }

    fn prune_roles(&mut self, file: &RegistryFile) {
        let named: HashSet<RoleDefinitionId> = file.role_definitions.iter().map(|entry| entry.id).collect();
        for found in &self.stored.roles {
            if !found.built_in && !named.contains(&found.id) {
                let text = format!("role `{}`", found.name);
                self.remove(text, Mutation::DeleteRole(found.id));
            }
        }
    }

    fn prune_hierarchy(&mut self, file: &RegistryFile) {
        let named = file.subscriptions.iter().map(|entry| entry.id.to_ascii_lowercase());
        let named: HashSet<String> = named.collect();
        for found in &self.stored.subscriptions {
            if !named.contains(&found.id.to_ascii_lowercase()) {
                let text = format!("subscription {}", found.id);
                self.remove(text, Mutation::DeleteSubscription(found.id.clone()));
            }
        }
        let named: HashSet<TenantId> = file.tenants.iter().map(|entry| entry.id).collect();
        for found in &self.stored.tenants {
            if !named.contains(&found.id) {
                self.remove(format!("tenant {}", found.id), Mutation::DeleteTenant(found.id));
            }
        }
    }
}
