//! Comparing what there is: tenants, subscriptions, workspaces, webservices.

use std::collections::{HashMap, HashSet};

use super::compare::Comparison;
use super::{RegistryFile, SubscriptionEntry, WebserviceEntry};
use crate::domain::ids::TenantId;
use crate::domain::resource::{WebserviceId, parse_subscription};
use crate::domain::webservice::ScoringUri;
use crate::domain::webservice::{AuthMode, Webservice};
use crate::domain::workspace::{Subscription, Tenant, Workspace};
use crate::storage::Mutation;

impl Comparison<'_> {
    pub fn tenants(&mut self, file: &RegistryFile) {
        let stored: HashMap<TenantId, &Tenant> =
            self.stored.tenants.iter().map(|found| (found.id, found)).collect();
        self.refuse_doubles("tenant", file.tenants.iter().map(|entry| entry.id.to_string()));
        for entry in &file.tenants {
            let tenant = Tenant { id: entry.id, display_name: entry.name.clone() };
            let before = stored.get(&entry.id).copied();
            self.put(before, tenant, Mutation::PutTenant, || format!("tenant {} `{}`", entry.id, entry.name));
        }
    }

    pub fn subscriptions(&mut self, file: &RegistryFile) {
        let tenants = self.all_tenants(file);
        let stored: HashMap<String, &Subscription> =
            self.stored.subscriptions.iter().map(|found| (found.id.to_ascii_lowercase(), found)).collect();
        self.refuse_doubles(
            "subscription",
            file.subscriptions.iter().map(|entry| entry.id.to_ascii_lowercase()),
        );
        for entry in &file.subscriptions {
            let before = stored.get(&entry.id.to_ascii_lowercase()).copied();
            self.check_subscription(entry, before, &tenants);
            let subscription = Subscription {
                id: before.map_or_else(|| entry.id.clone(), |found| found.id.clone()),
                tenant_id: entry.tenant,
                display_name: entry.name.clone(),
            };
            self.put(before, subscription, Mutation::PutSubscription, || {
                format!("subscription {}", entry.id)
            });
        }
    }

    fn check_subscription(
        &mut self,
        entry: &SubscriptionEntry,
        before: Option<&Subscription>,
        tenants: &HashSet<TenantId>,
    ) {
        if let Err(error) = parse_subscription(&entry.id) {
            self.mistakes.push(error.to_string());
        }
        if !tenants.contains(&entry.tenant) {
            self.mistakes.push(format!("subscription {}: no tenant {}", entry.id, entry.tenant));
        }
        if before.is_some_and(|found| found.tenant_id != entry.tenant) {
            self.mistakes.push(format!("subscription {}: its tenant can't be changed", entry.id));
        }
    }

    /// All workspaces after the application, by key.
    pub fn workspaces(&mut self, file: &RegistryFile) -> HashMap<String, Workspace> {
        let mut all: HashMap<String, Workspace> =
            self.stored.workspaces.iter().map(|found| (found.id.key(), found.clone())).collect();
        let tenant_of = self.tenants_of_subscriptions(file);
        self.refuse_doubles("workspace", file.workspaces.iter().map(|entry| entry.id.key()));
        for entry in &file.workspaces {
            let Some(tenant_id) = tenant_of.get(&entry.id.subscription().to_ascii_lowercase()) else {
                self.mistakes.push(format!(
                    "workspace {}: no subscription {}",
                    entry.id,
                    entry.id.subscription()
                ));
                continue;
            };
            let before = all.get(&entry.id.key()).cloned();
            let workspace = Workspace {
                id: before.as_ref().map_or_else(|| entry.id.clone(), |found| found.id.clone()),
                tenant_id: *tenant_id,
                home_region: entry.home_region.clone(),
                failover_regions: entry.failover_regions.clone(),
                created_at: before.as_ref().map_or(self.now, |found| found.created_at),
                updated_at: self.now,
            };
            all.insert(entry.id.key(), workspace.clone());
            if before.as_ref().is_some_and(|found| found.same_settings(&workspace)) {
                continue;
            }
            self.line(
                if before.is_some() { '~' } else { '+' },
                format!("workspace {} in {}", entry.id, entry.home_region),
            );
            self.out.mutations.push(Mutation::PutWorkspace(workspace));
        }
        all
    }

    /// Keys of the webservices that the file names.
    pub fn webservices(
        &mut self,
        file: &RegistryFile,
        workspaces: &HashMap<String, Workspace>,
    ) -> HashSet<String> {
        let stored: HashMap<String, &Webservice> =
            self.stored.webservices.iter().map(|found| (found.id.key(), found)).collect();
        let moved = self.moved_workspaces();
        let mut named = HashSet::with_capacity(file.webservices.len());
        for entry in &file.webservices {
            let (id, workspace, auth_mode) = match self.check_webservice(entry, workspaces) {
                Ok(checked) => checked,
                Err(mistake) => {
                    self.mistakes.push(mistake);
                    continue;
                }
            };
            if !named.insert(id.key()) {
                self.mistakes.push(format!("webservice {id}: named twice"));
                continue;
            }
            let before = stored.get(&id.key());
            let webservice = Webservice {
                id: before.map_or_else(|| id.clone(), |found| found.id.clone()),
                compute_type: entry.compute_type,
                auth_mode,
                compute_region: entry.compute_region.clone().unwrap_or_else(|| workspace.home_region.clone()),
                scoring_uri: entry.scoring_uri.clone().map(ScoringUri::into_text),
                token_lifetime: entry.token_lifetime_seconds,
                description: entry.description.clone(),
                tags: entry.tags.clone(),
                created_at: before.map_or(self.now, |found| found.created_at),
                updated_at: self.now,
            };
            if let Err(mistake) = webservice.check_texts() {
                self.mistakes.push(format!("webservice {id}: {mistake}"));
            }
            let unchanged = before.is_some_and(|found| found.same_settings(&webservice));
            if !unchanged {
                let sign = if before.is_some() { '~' } else { '+' };
                self.line(sign, format!("webservice {id} ({}, auth mode {auth_mode})", entry.compute_type));
            }
            // Whichever of the two moves, the distance between them is new.
            if let Some(warning) = workspace.distance_warning(&webservice.compute_region)
                && (!unchanged || moved.contains(&workspace.id.key()))
            {
                self.line('!', format!("webservice {id}: {warning}"));
            }
            if !unchanged {
                self.out.mutations.push(Mutation::PutWebservice(webservice));
            }
        }
        named
    }

    /// Keys of the workspaces that the file changes.
    fn moved_workspaces(&self) -> HashSet<String> {
        let key = |change: &Mutation| match change {
            Mutation::PutWorkspace(put) => Some(put.id.key()),
            _ => None,
        };
        self.out.mutations.iter().filter_map(key).collect()
    }

    fn check_webservice<'w>(
        &self,
        entry: &WebserviceEntry,
        workspaces: &'w HashMap<String, Workspace>,
    ) -> Result<(WebserviceId, &'w Workspace, AuthMode), String> {
        let id =
            WebserviceId::new(entry.workspace.clone(), &entry.name).map_err(|error| error.to_string())?;
        let workspace = workspaces
            .get(&entry.workspace.key())
            .ok_or_else(|| format!("webservice {}: no workspace {}", entry.name, entry.workspace))?;
        let auth_mode = AuthMode::resolve(entry.compute_type, entry.auth_mode)
            .map_err(|error| format!("webservice {id}: {error}"))?;
        Ok((id, workspace, auth_mode))
    }
}
