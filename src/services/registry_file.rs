//! The registry as a file: parsed strictly, compared with what is stored, and turned into mutations.
//!
//! Comparing is pure; `Core::apply` commits the outcome in one transaction, so a file is applied whole or not at all.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;

use super::client_secrets::MAX_SECRET_DAYS;
use super::{Core, Refusal, RequestContext};
use crate::domain::audit::Actor;
use crate::domain::client_secret::PlainSecret;
use crate::domain::ids::{ClientId, ObjectId, RoleAssignmentId, RoleDefinitionId, TenantId};
use crate::domain::lifetime::TokenLifetime;
use crate::domain::principal::{SecretSlot, ServicePrincipal};
use crate::domain::region::Region;
use crate::domain::resource::{Scope, WebserviceId, WorkspaceId};
use crate::domain::role::{ActionPattern, RoleAssignment, RoleDefinition, built_in_roles};
use crate::domain::webservice::{AuthMode, ComputeType, Webservice};
use crate::domain::workspace::{Subscription, Tenant, Workspace};
use crate::entropy::{self, Entropy};
use crate::storage::{Mutation, RegistrySnapshot};

/// A registry file. Unknown keys are errors.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryFile {
    pub tenants: Vec<TenantEntry>,
    pub subscriptions: Vec<SubscriptionEntry>,
    pub workspaces: Vec<WorkspaceEntry>,
    pub webservices: Vec<WebserviceEntry>,
    pub principals: Vec<PrincipalEntry>,
    pub role_definitions: Vec<RoleEntry>,
    pub role_assignments: Vec<AssignmentEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantEntry {
    pub id: TenantId,
    pub name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionEntry {
    pub id: String,
    pub tenant: TenantId,
    pub name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceEntry {
    pub id: WorkspaceId,
    pub home_region: Region,
    #[serde(default)]
    pub failover_regions: Vec<Region>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebserviceEntry {
    pub workspace: WorkspaceId,
    pub name: String,
    pub compute_type: ComputeType,
    /// The default of the compute type when absent.
    pub auth_mode: Option<AuthMode>,
    /// The home region of the workspace when absent.
    pub compute_region: Option<Region>,
    pub scoring_uri: Option<String>,
    pub token_lifetime_seconds: Option<TokenLifetime>,
    pub description: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalEntry {
    pub client_id: ClientId,
    pub tenant: TenantId,
    pub name: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Made by the service when absent.
    pub object_id: Option<ObjectId>,
    /// Makes a client secret of this life when the principal has none, and shows it once.
    pub secret_lifetime_days: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    pub id: RoleDefinitionId,
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub actions: Vec<ActionPattern>,
    #[serde(default)]
    pub not_actions: Vec<ActionPattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssignmentEntry {
    /// Client id of the principal.
    pub principal: ClientId,
    /// Name of a role.
    pub role: String,
    pub scope: Scope,
}

const fn yes() -> bool {
    true
}

/// One line of the difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `+` new, `~` changed, `-` removed, `!` a warning.
    pub sign: char,
    pub text: String,
}

/// What applying a file would do.
#[derive(Debug, Default)]
pub struct Difference {
    pub lines: Vec<Line>,
    pub mutations: Vec<Mutation>,
    /// Principals that get a secret, with its life in days.
    pub secrets: Vec<(ClientId, ObjectId, u32)>,
}

/// A secret made by an application of a file: shown once.
pub struct ShownSecret {
    pub client_id: ClientId,
    pub plain: PlainSecret,
    pub expires_at: DateTime<Utc>,
}

impl Core {
    /// Commits a difference, and returns the secrets that were made for it.
    pub async fn apply(
        &self,
        difference: Difference,
        context: &RequestContext,
    ) -> Result<Vec<ShownSecret>, Refusal> {
        let Difference {
            mut mutations,
            secrets,
            ..
        } = difference;
        let mut shown = Vec::with_capacity(secrets.len());
        for (client_id, object_id, days) in secrets {
            let expires_at = self.clock.now() + Duration::days(i64::from(days));
            let name = Some("registry file".to_owned());
            let made = self.make_secret(object_id, SecretSlot::First, name, Some(expires_at))?;
            mutations.push(Mutation::AddSecret(made.secret));
            shown.push(ShownSecret {
                client_id,
                plain: made.plain,
                expires_at,
            });
        }
        if !mutations.is_empty() {
            let actor = Actor {
                method: Some("command_line"),
                ..Actor::default()
            };
            self.change_as(&actor, &mutations, context).await?;
        }
        Ok(shown)
    }
}

/// Compares a file with what is stored.
///
/// # Errors
/// Every mistake found, each naming its entry: doubled entries, dangling references, rules that don't hold.
pub fn compare(
    file: &RegistryFile,
    stored: &RegistrySnapshot,
    prune: bool,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<Difference, Vec<String>> {
    let mut comparison = Comparison {
        now,
        entropy,
        stored,
        out: Difference::default(),
        mistakes: Vec::new(),
    };
    comparison.hierarchy(file);
    let workspaces = comparison.workspaces(file);
    let webservices = comparison.webservices(file, &workspaces);
    let roles = comparison.roles(file);
    let principals = comparison.principals(file);
    let assignments = comparison.assignments(file, &roles, &principals);
    if prune {
        comparison.prune(file, &webservices, &assignments);
    }
    if comparison.mistakes.is_empty() {
        Ok(comparison.out)
    } else {
        Err(comparison.mistakes)
    }
}

struct Comparison<'a> {
    now: DateTime<Utc>,
    entropy: &'a dyn Entropy,
    stored: &'a RegistrySnapshot,
    out: Difference,
    mistakes: Vec<String>,
}

impl Comparison<'_> {
    fn hierarchy(&mut self, file: &RegistryFile) {
        let stored = self.stored;
        let mut known: HashSet<TenantId> = stored.tenants.iter().map(|tenant| tenant.id).collect();
        self.refuse_doubles("tenant", file.tenants.iter().map(|entry| entry.id.to_string()));
        for entry in &file.tenants {
            known.insert(entry.id);
            let tenant = Tenant {
                id: entry.id,
                display_name: entry.name.clone(),
            };
            let before = stored.tenants.iter().find(|tenant| tenant.id == entry.id);
            self.put(before, tenant, Mutation::PutTenant, || {
                format!("tenant {} `{}`", entry.id, entry.name)
            });
        }
        self.refuse_doubles(
            "subscription",
            file.subscriptions
                .iter()
                .map(|entry| entry.id.to_ascii_lowercase()),
        );
        for entry in &file.subscriptions {
            if let Err(error) = crate::domain::resource::parse_subscription(&entry.id) {
                self.mistakes.push(error.to_string());
            }
            if !known.contains(&entry.tenant) {
                self.mistakes
                    .push(format!("subscription {}: no tenant {}", entry.id, entry.tenant));
            }
            let before = stored
                .subscriptions
                .iter()
                .find(|found| found.id.eq_ignore_ascii_case(&entry.id));
            if before.is_some_and(|found| found.tenant_id != entry.tenant) {
                self.mistakes
                    .push(format!("subscription {}: its tenant can't be changed", entry.id));
            }
            let id = before.map_or_else(|| entry.id.clone(), |found| found.id.clone());
            let subscription = Subscription {
                id,
                tenant_id: entry.tenant,
                display_name: entry.name.clone(),
            };
            self.put(before, subscription, Mutation::PutSubscription, || {
                format!("subscription {}", entry.id)
            });
        }
    }

    /// All workspaces after the application, by key.
    fn workspaces(&mut self, file: &RegistryFile) -> HashMap<String, Workspace> {
        let mut all: HashMap<String, Workspace> = self
            .stored
            .workspaces
            .iter()
            .map(|found| (found.id.key(), found.clone()))
            .collect();
        let mut tenant_of: HashMap<String, TenantId> = self
            .stored
            .subscriptions
            .iter()
            .map(|found| (found.id.to_ascii_lowercase(), found.tenant_id))
            .collect();
        tenant_of.extend(
            file.subscriptions
                .iter()
                .map(|entry| (entry.id.to_ascii_lowercase(), entry.tenant)),
        );
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
                id: before
                    .as_ref()
                    .map_or_else(|| entry.id.clone(), |found| found.id.clone()),
                tenant_id: *tenant_id,
                home_region: entry.home_region.clone(),
                failover_regions: entry.failover_regions.clone(),
                created_at: before.as_ref().map_or(self.now, |found| found.created_at),
                updated_at: self.now,
            };
            all.insert(entry.id.key(), workspace.clone());
            if before
                .as_ref()
                .is_some_and(|found| found.same_settings(&workspace))
            {
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
    fn webservices(
        &mut self,
        file: &RegistryFile,
        workspaces: &HashMap<String, Workspace>,
    ) -> HashSet<String> {
        let stored: HashMap<String, &Webservice> = self
            .stored
            .webservices
            .iter()
            .map(|found| (found.id.key(), found))
            .collect();
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
                compute_region: entry
                    .compute_region
                    .clone()
                    .unwrap_or_else(|| workspace.home_region.clone()),
                scoring_uri: entry.scoring_uri.clone(),
                token_lifetime: entry.token_lifetime_seconds,
                description: entry.description.clone(),
                tags: entry.tags.clone(),
                created_at: before.map_or(self.now, |found| found.created_at),
                updated_at: self.now,
            };
            if before.is_some_and(|found| found.same_settings(&webservice)) {
                continue;
            }
            let sign = if before.is_some() { '~' } else { '+' };
            self.line(
                sign,
                format!("webservice {id} ({}, auth mode {auth_mode})", entry.compute_type),
            );
            if let Some(warning) = workspace.distance_warning(&webservice.compute_region) {
                self.line('!', format!("webservice {id}: {warning}"));
            }
            self.out.mutations.push(Mutation::PutWebservice(webservice));
        }
        named
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

    /// Ids of all roles after the application, by lower-case name.
    fn roles(&mut self, file: &RegistryFile) -> HashMap<String, RoleDefinitionId> {
        let stored = self.stored;
        let mut all: HashMap<String, RoleDefinitionId> = stored
            .roles
            .iter()
            .map(|role| (role.name.to_ascii_lowercase(), role.id))
            .collect();
        for role in built_in_roles() {
            all.insert(role.name.to_ascii_lowercase(), role.id);
            let before = stored.roles.iter().find(|found| found.id == role.id);
            let name = role.name.clone();
            self.put(before, role, Mutation::PutRole, || {
                format!("built-in role {name}")
            });
        }
        self.refuse_doubles(
            "role",
            file.role_definitions
                .iter()
                .map(|entry| entry.name.to_ascii_lowercase()),
        );
        for entry in &file.role_definitions {
            if built_in_roles()
                .iter()
                .any(|role| role.id == entry.id || role.name.eq_ignore_ascii_case(&entry.name))
            {
                self.mistakes
                    .push(format!("role `{}`: built-in roles can't be changed", entry.name));
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
            self.put(before, role, Mutation::PutRole, || {
                format!("role `{}`", entry.name)
            });
        }
        all
    }

    /// Object id and tenant of all principals after the application.
    fn principals(&mut self, file: &RegistryFile) -> HashMap<ClientId, (ObjectId, TenantId)> {
        let stored: HashMap<ClientId, &ServicePrincipal> = self
            .stored
            .principals
            .iter()
            .map(|found| (found.client_id, found))
            .collect();
        let with_secret: HashSet<ObjectId> = self.stored.with_secret.iter().copied().collect();
        let mut tenants: HashSet<TenantId> = self.stored.tenants.iter().map(|tenant| tenant.id).collect();
        tenants.extend(file.tenants.iter().map(|entry| entry.id));
        let mut all: HashMap<ClientId, (ObjectId, TenantId)> = stored
            .iter()
            .map(|(client_id, found)| (*client_id, (found.object_id, found.tenant_id)))
            .collect();
        self.refuse_doubles(
            "principal",
            file.principals.iter().map(|entry| entry.client_id.to_string()),
        );
        for entry in &file.principals {
            let before = stored.get(&entry.client_id).copied();
            if let Some(mistake) = check_principal(entry, before, &tenants) {
                self.mistakes.push(format!(
                    "principal {} `{}`: {mistake}",
                    entry.client_id, entry.name
                ));
                continue;
            }
            let object_id = before.map(|found| found.object_id).or(entry.object_id);
            let object_id =
                object_id.unwrap_or_else(|| ObjectId::from_uuid(entropy::random_uuid(self.entropy)));
            let principal = ServicePrincipal {
                object_id,
                client_id: entry.client_id,
                tenant_id: entry.tenant,
                display_name: entry.name.clone(),
                enabled: entry.enabled,
                created_at: before.map_or(self.now, |found| found.created_at),
            };
            all.insert(entry.client_id, (object_id, entry.tenant));
            self.put(before, principal, Mutation::PutPrincipal, || {
                format!(
                    "principal {} `{}`{}",
                    entry.client_id,
                    entry.name,
                    if entry.enabled { "" } else { " (disabled)" }
                )
            });
            if let Some(days) = entry
                .secret_lifetime_days
                .filter(|_| !with_secret.contains(&object_id))
            {
                self.line(
                    '+',
                    format!("client secret of principal {} for {days} days", entry.client_id),
                );
                self.out.secrets.push((entry.client_id, object_id, days));
            }
        }
        all
    }

    /// The assignments that the file names, as (principal, role, scope key).
    fn assignments(
        &mut self,
        file: &RegistryFile,
        roles: &HashMap<String, RoleDefinitionId>,
        principals: &HashMap<ClientId, (ObjectId, TenantId)>,
    ) -> HashSet<(ObjectId, RoleDefinitionId, String)> {
        let held: HashSet<_> = self.stored.assignments.iter().map(assignment_key).collect();
        let mut tenant_of: HashMap<String, TenantId> = self
            .stored
            .subscriptions
            .iter()
            .map(|found| (found.id.to_ascii_lowercase(), found.tenant_id))
            .collect();
        tenant_of.extend(
            file.subscriptions
                .iter()
                .map(|entry| (entry.id.to_ascii_lowercase(), entry.tenant)),
        );
        let mut named = HashSet::with_capacity(file.role_assignments.len());
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
            let tenant = entry
                .scope
                .subscription()
                .map(|id| tenant_of.get(&id.to_ascii_lowercase()));
            if tenant.is_some_and(|tenant| tenant != Some(tenant_id)) {
                self.mistakes.push(format!(
                    "{what}: the scope's subscription does not exist in the principal's tenant"
                ));
                continue;
            }
            let assignment = RoleAssignment {
                id: RoleAssignmentId::from_uuid(entropy::random_uuid(self.entropy)),
                object_id: *object_id,
                role_id: *role_id,
                scope: entry.scope.clone(),
            };
            let key = assignment_key(&assignment);
            if named.insert(key.clone()) && !held.contains(&key) {
                self.line('+', what);
                self.out.mutations.push(Mutation::PutAssignment(assignment));
            }
        }
        named
    }

    /// Removes what the file does not name, from the leaves up. Built-in roles stay.
    fn prune(
        &mut self,
        file: &RegistryFile,
        webservices: &HashSet<String>,
        assignments: &HashSet<(ObjectId, RoleDefinitionId, String)>,
    ) {
        let stored = self.stored;
        let workspaces: HashSet<String> = file.workspaces.iter().map(|entry| entry.id.key()).collect();
        let clients: HashSet<ClientId> = file.principals.iter().map(|entry| entry.client_id).collect();
        let roles: HashSet<RoleDefinitionId> = file.role_definitions.iter().map(|entry| entry.id).collect();
        let tenants: HashSet<TenantId> = file.tenants.iter().map(|entry| entry.id).collect();
        for found in stored
            .assignments
            .iter()
            .filter(|found| !assignments.contains(&assignment_key(found)))
        {
            self.remove(
                format!("role assignment {} at {}", found.id, found.scope),
                Mutation::DeleteAssignment(found.id),
            );
        }
        for found in stored
            .webservices
            .iter()
            .filter(|found| !webservices.contains(&found.id.key()))
        {
            self.remove(
                format!("webservice {}", found.id),
                Mutation::DeleteWebservice(found.id.clone()),
            );
        }
        for found in stored
            .workspaces
            .iter()
            .filter(|found| !workspaces.contains(&found.id.key()))
        {
            self.remove(
                format!("workspace {}", found.id),
                Mutation::DeleteWorkspace(found.id.clone()),
            );
        }
        for found in stored
            .principals
            .iter()
            .filter(|found| !clients.contains(&found.client_id))
        {
            let text = format!("principal {} `{}`", found.client_id, found.display_name);
            self.remove(text, Mutation::DeletePrincipal(found.object_id));
        }
        for found in stored
            .roles
            .iter()
            .filter(|found| !found.built_in && !roles.contains(&found.id))
        {
            self.remove(format!("role `{}`", found.name), Mutation::DeleteRole(found.id));
        }
        for found in &stored.subscriptions {
            if !file
                .subscriptions
                .iter()
                .any(|entry| entry.id.eq_ignore_ascii_case(&found.id))
            {
                self.remove(
                    format!("subscription {}", found.id),
                    Mutation::DeleteSubscription(found.id.clone()),
                );
            }
        }
        for found in stored.tenants.iter().filter(|found| !tenants.contains(&found.id)) {
            self.remove(format!("tenant {}", found.id), Mutation::DeleteTenant(found.id));
        }
    }

    fn put<T: PartialEq>(
        &mut self,
        before: Option<&T>,
        after: T,
        mutation: impl FnOnce(T) -> Mutation,
        text: impl FnOnce() -> String,
    ) {
        if before == Some(&after) {
            return;
        }
        self.line(if before.is_some() { '~' } else { '+' }, text());
        self.out.mutations.push(mutation(after));
    }

    fn remove(&mut self, text: String, mutation: Mutation) {
        self.line('-', text);
        self.out.mutations.push(mutation);
    }

    fn line(&mut self, sign: char, text: String) {
        self.out.lines.push(Line { sign, text });
    }

    fn refuse_doubles(&mut self, kind: &str, keys: impl Iterator<Item = String>) {
        let mut seen = HashSet::new();
        for key in keys {
            if !seen.insert(key.clone()) {
                self.mistakes.push(format!("{kind} {key}: named twice"));
            }
        }
    }
}

fn assignment_key(assignment: &RoleAssignment) -> (ObjectId, RoleDefinitionId, String) {
    (
        assignment.object_id,
        assignment.role_id,
        assignment.scope.key().to_owned(),
    )
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
    None
}
