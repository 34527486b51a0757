//! Removing what a file does not name: first of all, so that the file may give a name or an id to somebody else.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::RegistryFile;
use super::compare::Comparison;
use crate::domain::ids::{ClientId, ObjectId, RoleDefinitionId};
use crate::domain::resource::WebserviceId;
use crate::domain::role::RoleAssignment;
use crate::storage::{Mutation, RegistrySnapshot};

/// What is left of the stored when all is removed that the file does not name. Built-in roles stay, and of a principal
/// that stays its credentials.
pub(super) fn kept(file: &RegistryFile, stored: &RegistrySnapshot) -> RegistrySnapshot {
    let mut left = stored.clone();
    let tenants: HashSet<_> = file.tenants.iter().map(|entry| entry.id).collect();
    left.tenants.retain(|found| tenants.contains(&found.id));
    let subscriptions: HashSet<_> =
        file.subscriptions.iter().map(|entry| entry.id.to_ascii_lowercase()).collect();
    left.subscriptions.retain(|found| subscriptions.contains(&found.id.to_ascii_lowercase()));
    let workspaces: HashSet<_> = file.workspaces.iter().map(|entry| entry.id.key()).collect();
    left.workspaces.retain(|found| workspaces.contains(&found.id.key()));
    let ids = file.webservices.iter().map(|entry| WebserviceId::new(entry.workspace.clone(), &entry.name));
    // One that is no id has its own mistake, and no row.
    let webservices: HashSet<_> = ids.flatten().map(|id| id.key()).collect();
    left.webservices.retain(|found| webservices.contains(&found.id.key()));
    let clients: HashSet<_> = file.principals.iter().map(|entry| entry.client_id).collect();
    left.principals.retain(|found| clients.contains(&found.client_id));
    let principals: HashSet<_> = left.principals.iter().map(|found| found.object_id).collect();
    left.with_secret.retain(|id| principals.contains(id));
    left.key_credentials.retain(|found| principals.contains(&found.object_id));
    left.federated_credentials.retain(|found| principals.contains(&found.object_id));
    let roles: HashSet<_> = file.role_definitions.iter().map(|entry| entry.id).collect();
    left.roles.retain(|found| found.built_in || roles.contains(&found.id));
    left.assignments = kept_assignments(file, &left);
    left
}

/// Those of principals and roles that stay, under the names that the file gives them.
fn kept_assignments(file: &RegistryFile, left: &RegistrySnapshot) -> Vec<RoleAssignment> {
    let named: HashSet<(ClientId, String, &str)> = file
        .role_assignments
        .iter()
        .map(|entry| (entry.principal, entry.role.to_ascii_lowercase(), entry.scope.key()))
        .collect();
    let clients: HashMap<ObjectId, ClientId> =
        left.principals.iter().map(|found| (found.object_id, found.client_id)).collect();
    let mut names: HashMap<RoleDefinitionId, String> =
        left.roles.iter().map(|role| (role.id, role.name.to_ascii_lowercase())).collect();
    names.extend(file.role_definitions.iter().map(|entry| (entry.id, entry.name.to_ascii_lowercase())));
    let is_named = |found: &&RoleAssignment| match (clients.get(&found.object_id), names.get(&found.role_id))
    {
        // A role that is new to the file may have the id of no stored one.
        (Some(client), Some(role)) => named.contains(&(*client, role.clone(), found.scope.key())),
        _ => false,
    };
    left.assignments.iter().filter(is_named).cloned().collect()
}

impl Comparison<'_> {
    /// Removes what is stored and not kept, from the leaves up, so that nothing is removed while something refers to it.
    pub fn prune(&mut self, stored: &RegistrySnapshot) {
        let kept = self.stored;
        for found in without(&stored.assignments, &kept.assignments, |one| one.id) {
            let text = format!("role assignment {} at {}", found.id, found.scope);
            self.remove(text, Mutation::DeleteAssignment(found.id));
        }
        for found in without(&stored.webservices, &kept.webservices, |one| one.id.key()) {
            let text = format!("webservice {}", found.id);
            self.remove(text, Mutation::DeleteWebservice(found.id.clone()));
        }
        for found in without(&stored.workspaces, &kept.workspaces, |one| one.id.key()) {
            let text = format!("workspace {}", found.id);
            self.remove(text, Mutation::DeleteWorkspace(found.id.clone()));
        }
        for found in without(&stored.principals, &kept.principals, |one| one.client_id) {
            let text = format!("principal {} `{}`", found.client_id, found.display_name);
            self.remove(text, Mutation::DeletePrincipal(found.object_id));
        }
        for found in without(&stored.roles, &kept.roles, |one| one.id) {
            self.remove(format!("role `{}`", found.name), Mutation::DeleteRole(found.id));
        }
        for found in without(&stored.subscriptions, &kept.subscriptions, |one| one.id.clone()) {
            let text = format!("subscription {}", found.id);
            self.remove(text, Mutation::DeleteSubscription(found.id.clone()));
        }
        for found in without(&stored.tenants, &kept.tenants, |one| one.id) {
            self.remove(format!("tenant {}", found.id), Mutation::DeleteTenant(found.id));
        }
    }
}

fn without<'s, T, K: Eq + Hash>(all: &'s [T], kept: &[T], key: impl Fn(&T) -> K) -> Vec<&'s T> {
    let kept: HashSet<K> = kept.iter().map(&key).collect();
    all.iter().filter(|found| !kept.contains(&key(found))).collect()
}
