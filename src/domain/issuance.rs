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
use super::region::Region;
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
    /// Life of management tokens, and of webservice tokens whose webservice names none.
    pub default_lifetime: TokenLifetime,
    /// Leeway that gateways grant: a signing key stays published this long after the last `exp`.
    pub gateway_leeway: Duration,
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
/// No such webservice, a webservice of another tenant and a missing role are told apart for the audit only.
pub fn authorize<'r>(
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
        AuthMode::Token => Ok(()),
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
