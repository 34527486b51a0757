//! The registry in ARM's words, both ways.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::lifetime::TokenLifetime;
use crate::domain::region::Region;
use crate::domain::resource::PROVIDER;
use crate::domain::webservice::{AuthMode, ScoringUri, Webservice};
use crate::domain::workspace::Workspace;

/// Body of a workspace PUT. Members that are not ours are ignored, as ARM clients send many.
#[derive(Deserialize)]
pub struct WorkspaceBody {
    pub location: Region,
    #[serde(default)]
    pub properties: WorkspaceProperties,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceProperties {
    /// What is there stays when this is absent.
    pub failover_regions: Option<Vec<Region>>,
}

/// Body of an online endpoint PUT.
#[derive(Deserialize)]
pub struct EndpointBody {
    /// Where the cluster runs; the workspace's home region when absent.
    pub location: Option<Region>,
    pub tags: Option<BTreeMap<String, String>>,
    pub properties: EndpointProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointProperties {
    pub auth_mode: Option<String>,
    /// `AKS`, `ACI` or `Kubernetes`; ours, ARM has no such member. `Kubernetes` when absent.
    pub compute_type: Option<String>,
    pub scoring_uri: Option<ScoringUri>,
    pub description: Option<String>,
    pub token_lifetime_seconds: Option<TokenLifetime>,
}

/// ARM's word for an auth mode (matched without case).
pub fn parse_auth_mode(text: &str) -> Option<AuthMode> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    match () {
        () if is("Key") => Some(AuthMode::Key),
        () if is("AMLToken") => Some(AuthMode::Token),
        () if is("None") => Some(AuthMode::None),
        () => None,
    }
}

const fn auth_mode(mode: AuthMode) -> &'static str {
    match mode {
        AuthMode::Key => "Key",
        AuthMode::Token => "AMLToken",
        AuthMode::None => "None",
    }
}

/// `discoveryUrl` leads the v1 SDK to this service; `workspaceId` is made from the ARM id, so it is the same everywhere
/// and for ever.
pub fn workspace(workspace: &Workspace, issuer: &str) -> Value {
    let workspace_id = Uuid::new_v5(&Uuid::NAMESPACE_URL, workspace.id.key().as_bytes());
    json!({
        "id": workspace.id.to_string(),
        "name": workspace.id.name(),
        "type": format!("{PROVIDER}/workspaces"),
        "location": workspace.home_region,
        "tags": {},
        "sku": { "name": "Basic", "tier": "Basic" },
        "properties": {
            "workspaceId": workspace_id,
            "discoveryUrl": format!("{issuer}/discovery"),
            "provisioningState": "Succeeded",
            "failoverRegions": workspace.failover_regions,
            "creationTime": workspace.created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        },
    })
}

/// `warnings` is ours: what whoever registered it should know.
pub fn endpoint(webservice: &Webservice, warnings: &[String]) -> Value {
    let mut properties = json!({
        "authMode": auth_mode(webservice.auth_mode),
        "scoringUri": webservice.scoring_uri,
        "description": webservice.description,
        "provisioningState": "Succeeded",
        "computeType": webservice.compute_type,
        "tokenLifetimeSeconds": webservice.token_lifetime,
        "properties": {},
        "traffic": {},
    });
    if !warnings.is_empty()
        && let Some(members) = properties.as_object_mut()
    {
        members.insert("warnings".to_owned(), json!(warnings));
    }
    json!({
        "id": webservice.id.to_string(),
        "name": webservice.id.name(),
        "type": format!("{PROVIDER}/workspaces/onlineEndpoints"),
        "location": webservice.compute_region,
        "kind": "Managed",
        "tags": webservice.tags,
        "properties": properties,
    })
}
