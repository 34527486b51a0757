//! The registry as a file: its format, parsed strictly, and its application.
//!
//! Comparing it with what is stored is pure and stands in `compare`; `apply` commits the outcome.
//!
//! To add a kind of entry: its struct here, a method in `compare_*.rs`, its removal in `prune.rs`, and a case in
//! `tests.rs`.

mod apply;
mod compare;
mod compare_access;
mod compare_credentials;
mod compare_resources;
mod prune;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::domain::client_secret::PlainSecret;
use crate::domain::credential_method::AllowedMethods;
use crate::domain::ids::{ClientId, ObjectId, RoleDefinitionId, TenantId};
use crate::domain::lifetime::TokenLifetime;
use crate::domain::region::Region;
use crate::domain::resource::{Scope, WorkspaceId};
use crate::domain::role::ActionPattern;
use crate::domain::webservice::{AuthMode, ComputeType, ScoringUri};
use crate::storage::Mutation;

pub use apply::{CHANGES_AT_ONCE, Unfinished, Written};
pub use compare::compare;

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
    pub scoring_uri: Option<ScoringUri>,
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
    /// How it may prove itself; every way when absent.
    #[serde(default)]
    pub methods: AllowedMethods,
    /// Makes a client secret of this life when the principal has none, and shows it once.
    pub secret_lifetime_days: Option<u32>,
    /// In PEM, one certificate each.
    #[serde(default)]
    pub certificates: Vec<String>,
    #[serde(default)]
    pub public_keys: Vec<PublicKeyEntry>,
    #[serde(default)]
    pub federated_credentials: Vec<FederatedEntry>,
}

/// A public key without a certificate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyEntry {
    /// In PEM or as a JWK.
    pub key: String,
    /// A key says no end of its own.
    pub expires_at: DateTime<Utc>,
}

/// Trust in tokens of another issuer, which `federation.issuers` of the configuration must name too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedEntry {
    pub name: String,
    pub issuer: String,
    pub subject: String,
    pub audience: String,
    /// Further members of the token that must be equal.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
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

/// More lines than this are counted and not kept.
pub const LINES_KEPT: usize = 200;

/// A principal that gets a secret, with its life in days.
pub type NewSecret = (ClientId, ObjectId, u32);

/// What applying a file would do.
#[derive(Debug, Default)]
pub struct Difference {
    /// The first ones.
    pub lines: Vec<Line>,
    /// How many more there would be.
    pub further_lines: usize,
    pub mutations: Vec<Mutation>,
    pub secrets: Vec<NewSecret>,
}

impl Difference {
    /// How many changes it makes.
    pub fn changes(&self) -> usize {
        self.mutations.len() + self.secrets.len()
    }
}

/// A secret made by an application of a file: shown once.
pub struct ShownSecret {
    pub client_id: ClientId,
    pub plain: PlainSecret,
    pub expires_at: DateTime<Utc>,
}
