//! What a file would change: a pure comparison with what is stored.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::prune::kept;
use super::{Difference, LINES_KEPT, Line, RegistryFile};
use crate::domain::ids::TenantId;
use crate::domain::text;
use crate::entropy::Entropy;
use crate::storage::{Mutation, RegistrySnapshot};

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
    let kept = if prune { Cow::Owned(kept(file, stored)) } else { Cow::Borrowed(stored) };
    let mut comparison =
        Comparison { now, entropy, stored: &kept, out: Difference::default(), mistakes: Vec::new() };
    if prune {
        comparison.prune(stored);
    }
    comparison.names(file);
    comparison.tenants(file);
    comparison.subscriptions(file);
    let workspaces = comparison.workspaces(file);
    let webservices = comparison.webservices(file, &workspaces);
    let roles = comparison.roles(file);
    let principals = comparison.principals(file);
    comparison.credentials(file, |client_id| principals.get(&client_id).map(|(id, _)| *id), prune);
    let places = comparison.places(&workspaces, &webservices);
    comparison.assignments(file, &roles, &principals, &places);
    if comparison.mistakes.is_empty() { Ok(comparison.out) } else { Err(comparison.mistakes) }
}

/// A comparison under way: what was found so far, and what is wrong with the file.
pub(super) struct Comparison<'a> {
    pub now: DateTime<Utc>,
    pub entropy: &'a dyn Entropy,
    /// What is there and stays.
    pub stored: &'a RegistrySnapshot,
    pub out: Difference,
    pub mistakes: Vec<String>,
}

impl Comparison<'_> {
    /// All tenants after the application.
    pub fn all_tenants(&self, file: &RegistryFile) -> HashSet<TenantId> {
        let stored = self.stored.tenants.iter().map(|tenant| tenant.id);
        stored.chain(file.tenants.iter().map(|entry| entry.id)).collect()
    }

    /// Tenants of all subscriptions after the application, by lower-case subscription id.
    pub fn tenants_of_subscriptions(&self, file: &RegistryFile) -> HashMap<String, TenantId> {
        let stored =
            self.stored.subscriptions.iter().map(|found| (found.id.to_ascii_lowercase(), found.tenant_id));
        let named = file.subscriptions.iter().map(|entry| (entry.id.to_ascii_lowercase(), entry.tenant));
        stored.chain(named).collect()
    }

    /// Puts what is new or differs.
    pub fn put<T: PartialEq>(
        &mut self,
        before: Option<&T>,
        after: T,
        mutation: impl FnOnce(T) -> Mutation,
        text: impl FnOnce() -> String,
    ) {
        if before == Some(&after) {
            return;
        }
        self.line_of(if before.is_some() { '~' } else { '+' }, text);
        self.out.mutations.push(mutation(after));
    }

    pub fn remove(&mut self, text: String, mutation: Mutation) {
        self.line('-', text);
        self.out.mutations.push(mutation);
    }

    pub fn line(&mut self, sign: char, text: String) {
        self.line_of(sign, || text);
    }

    fn line_of(&mut self, sign: char, text: impl FnOnce() -> String) {
        if self.out.lines.len() < LINES_KEPT {
            self.out.lines.push(Line { sign, text: text() });
        } else {
            self.out.further_lines += 1;
        }
    }

    /// Refuses names that are no lawful texts, wherever they would be stored.
    pub fn names(&mut self, file: &RegistryFile) {
        let tenants = file.tenants.iter().map(|one| (format!("tenant {}", one.id), &one.name));
        let subscriptions =
            file.subscriptions.iter().map(|one| (format!("subscription {}", one.id), &one.name));
        let principals =
            file.principals.iter().map(|one| (format!("principal {}", one.client_id), &one.name));
        let roles = file.role_definitions.iter().map(|one| (format!("role {}", one.id), &one.name));
        for (what, name) in tenants.chain(subscriptions).chain(principals).chain(roles) {
            if let Err(rule) = text::check_name(name) {
                self.mistakes.push(format!("{what}: its name must have {rule}"));
            }
        }
        for one in &file.role_definitions {
            if let Err(rule) = text::check_description(&one.description) {
                self.mistakes.push(format!("role {}: its description must have {rule}", one.id));
            }
        }
    }

    pub fn refuse_doubles(&mut self, kind: &str, keys: impl Iterator<Item = String>) {
        let mut seen = HashSet::new();
        for key in keys {
            if !seen.insert(key.clone()) {
                self.mistakes.push(format!("{kind} {key}: named twice"));
            }
        }
    }
}
