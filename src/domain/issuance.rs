//! Who may have a token, and what stands in it. The two rules that everything else serves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use super::claims::{BACKDATE_SECONDS, Claims};
use super::denial::Denial;
use super::ids::{ClientId, ObjectId, RoleDefinitionId, TenantId};
use super::lifetime::{TokenLifetime, refresh_after};
use super::principal::ServicePrincipal;
use super::region::{Region, RegionAddress, Regions};
use super::role::{self, RoleAssignment, RoleDefinition};
use super::webservice::{AuthMode, Webservice};
use super::workspace::Workspace;

/// What a token is to open.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// The API of this service. Any enabled principal may have it: what it may *do* is asked of its roles on each call.
    Management,
    /// One webservice, with its lower-case key and its workspace; `None` when there is no such webservice.
    Webservice { key: &'a str, found: Option<(&'a Webservice, &'a Workspace)> },
}

/// The deployment's part in every token.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `iss`: https, no trailing slash, configured and never derived from a request.
    pub issuer: String,
    pub region: Region,
    /// All regions of the deployment; empty when this is the only one.
    pub regions: Regions,
    /// Life of management tokens, and of webservice tokens whose webservice names none.
    pub default_lifetime: TokenLifetime,
    /// Leeway that gateways grant: a signing key stays published this long after the last `exp`.
    pub gateway_leeway: Duration,
}

impl Policy {
    /// Whether this region issues tokens for the workspace: it stands in the workspace's list, or there is no other one.
    pub fn issues_for(&self, workspace: &Workspace) -> bool {
        self.regions.is_empty() || workspace.serving_regions().any(|region| *region == self.region)
    }

    /// The regions that issue for the workspace, in order, and where they answer.
    pub fn serving(&self, workspace: &Workspace) -> Vec<RegionAddress> {
        let address = |region: &Region| RegionAddress {
            name: region.clone(),
            url: self.regions.url_of(region).map(str::to_owned),
        };
        workspace.serving_regions().map(address).collect()
    }

    /// What stands behind the issuer, or behind the address of a region: callers of a region know it by its address.
    pub fn behind_base<'t>(&self, audience: &'t str) -> Option<&'t str> {
        let bases = std::iter::once(self.issuer.as_str()).chain(self.regions.urls());
        // The longest, so that of https://sts.example and https://sts.example:8444 the right one is taken.
        let rests = bases.filter_map(|base| audience.strip_prefix(base));
        rests.filter(|rest| rest.is_empty() || rest.starts_with('/')).min_by_key(|rest| rest.len())
    }
}

/// Random values of one token.
#[derive(Debug, Clone, Copy)]
pub struct TokenRandom {
    pub token_id: [u8; 16],
    /// Uniform in [0, 1).
    pub refresh_spread: f64,
}

/// `exp` plus the leeway of gateways would outlive the publication of the signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token would outlive the publication of its signing key")]
pub struct KeyEndsTooSoon;

/// Decides whether the principal may have the token.
///
/// No such webservice, a webservice of another tenant and a missing role are told apart for the audit only. Which region
/// serves the workspace is told last, to who may have the token.
pub fn authorize<'r>(
    policy: &Policy,
    principal: &ServicePrincipal,
    assignments: &[RoleAssignment],
    role_of: impl Fn(RoleDefinitionId) -> Option<&'r RoleDefinition>,
    target: &Target<'_>,
) -> Result<(), Denial> {
    let Target::Webservice { key, found } = target else {
        return Ok(());
    };
    let Some((webservice, workspace)) = found else {
        return Err(Denial::NoSuchWebservice);
    };
    if workspace.tenant_id != principal.tenant_id
        || !role::is_allowed(assignments, role_of, role::action::TOKEN, key)
    {
        return Err(Denial::NoRole);
    }
    match webservice.auth_mode {
        AuthMode::Token if policy.issues_for(workspace) => Ok(()),
        AuthMode::Token => Err(Denial::Misdirected),
        mode @ (AuthMode::Key | AuthMode::None) => Err(Denial::NotTokenAuth(mode)),
    }
}

/// Writes the claims. `key_remove_at` is when the signing key leaves the JWKS.
pub fn mint<'a>(
    policy: &'a Policy,
    principal: &ServicePrincipal,
    target: &Target<'a>,
    life_seconds: u32,
    (now, random): (DateTime<Utc>, TokenRandom),
    key_remove_at: DateTime<Utc>,
) -> Result<Claims<'a>, KeyEndsTooSoon> {
    let iat = now.timestamp();
    let exp = iat + i64::from(life_seconds);
    // Invariant I9: refused, never clamped, so that a wrong key plan is noticed.
    if exp + policy.gateway_leeway.num_seconds() > key_remove_at.timestamp() {
        return Err(KeyEndsTooSoon);
    }
    let (aud, names) = match target {
        Target::Webservice { found: Some((webservice, _)), .. } => (
            webservice.id.audience(&policy.issuer),
            Some((webservice.id.workspace().name(), webservice.id.name())),
        ),
        Target::Management | Target::Webservice { found: None, .. } => (policy.issuer.clone(), None),
    };
    Ok(Claims {
        iss: &policy.issuer,
        aud,
        sub: principal.object_id,
        oid: principal.object_id,
        client_id: principal.client_id,
        azp: principal.client_id,
        tid: principal.tenant_id,
        iat,
        nbf: iat - BACKDATE_SECONDS,
        exp,
        jti: URL_SAFE_NO_PAD.encode(random.token_id).into(),
        refresh_by: iat + i64::from(refresh_after(life_seconds, random.refresh_spread)),
        workspace: names.map(|(workspace, _)| workspace),
        webservice: names.map(|(_, webservice)| webservice),
        region: policy.region.as_str(),
        scope: if names.is_some() { "score" } else { "management" },
    })
}

/// Seconds for which a preview of a standby can be looked at.
const PREVIEW_SECONDS: i64 = 300;

/// Claims of a token that opens nothing: its audience is no webservice's and not the API's.
pub fn mint_preview(policy: &Policy, token_id: [u8; 16], now: DateTime<Utc>) -> Claims<'_> {
    let iat = now.timestamp();
    let (nobody, client) = (ObjectId::from_uuid(Uuid::nil()), ClientId::from_uuid(Uuid::nil()));
    Claims {
        iss: &policy.issuer,
        aud: format!("{}/preview", policy.issuer),
        sub: nobody,
        oid: nobody,
        client_id: client,
        azp: client,
        tid: TenantId::from_uuid(Uuid::nil()),
        iat,
        nbf: iat - BACKDATE_SECONDS,
        exp: iat + PREVIEW_SECONDS,
        jti: URL_SAFE_NO_PAD.encode(token_id).into(),
        refresh_by: iat + PREVIEW_SECONDS / 2,
        workspace: None,
        webservice: None,
        region: policy.region.as_str(),
        scope: "preview",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::TenantId;
    use crate::domain::resource::WorkspaceId;

    fn region(name: &str) -> Region {
        Region::parse(name).expect("a region's name")
    }

    /// That of a region of a deployment of these regions.
    fn policy(own: &str, listed: &[&str]) -> Policy {
        let address = |name: &&str| RegionAddress {
            name: region(name),
            url: Some(format!("https://{name}.sts.example")),
        };
        Policy {
            issuer: "https://sts.example".to_owned(),
            region: region(own),
            regions: Regions::new(listed.iter().map(address).collect()),
            default_lifetime: TokenLifetime::DEFAULT,
            gateway_leeway: Duration::seconds(60),
        }
    }

    fn workspace(home: &str, failover: &[&str]) -> Workspace {
        Workspace {
            id: WorkspaceId::new("sub-1", "rg-1", "demo").expect("a lawful id"),
            tenant_id: TenantId::from_uuid(uuid::Uuid::nil()),
            home_region: region(home),
            failover_regions: failover.iter().map(|name| region(name)).collect(),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_region_issues_for_the_workspaces_that_name_it() {
        let all = ["west", "north", "east"];
        let workspace = workspace("west", &["north"]);
        for (own, issues) in [("west", true), ("north", true), ("east", false)] {
            assert_eq!(policy(own, &all).issues_for(&workspace), issues, "{own}");
        }
        assert!(policy("elsewhere", &[]).issues_for(&workspace), "the only region issues for all");
    }

    #[test]
    fn who_serves_a_workspace_is_told_in_its_order_and_with_addresses() {
        let serving =
            policy("east", &["north", "west", "east"]).serving(&workspace("west", &["north", "gone"]));
        let told: Vec<_> = serving.iter().map(|at| (at.name.as_str(), at.url.as_deref())).collect();
        let north = ("north", Some("https://north.sts.example"));
        assert_eq!(told, [("west", Some("https://west.sts.example")), north, ("gone", None)]);
    }

    #[test]
    fn an_audience_may_begin_with_the_issuer_or_the_address_of_a_region() {
        let policy = policy("west", &["west", "north"]);
        for (audience, rest) in [
            ("https://sts.example/subscriptions/s", Some("/subscriptions/s")),
            ("https://north.sts.example/subscriptions/s", Some("/subscriptions/s")),
            ("https://west.sts.example", Some("")),
            ("https://sts.example.evil/subscriptions/s", None),
            ("https://sts.example:8443/subscriptions/s", None),
            ("https://east.sts.example/subscriptions/s", None),
        ] {
            assert_eq!(policy.behind_base(audience), rest, "{audience}");
        }
    }
}
