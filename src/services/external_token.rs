//! Phase 1 by another issuer's access token, shown as Bearer in place of a management token: in the form in which Entra
//! gives one to an application, of an issuer whose entry in the configuration says so.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value};

use super::authenticate::{Authenticated, is_open};
use super::client_assertion::{LEEWAY, LONGEST_FEDERATED, check_time};
use super::{Core, Refusal};
use crate::directory::verified::VerifiedToken;
use crate::domain::credential_method::CredentialMethod;
use crate::domain::denial::Denial;
use crate::domain::ids::{ClientId, ObjectId, TenantId};
use crate::signing::assertion::{Assertion, Claims};
use crate::signing::compact::Kind;

/// How the audit calls it.
const METHOD: &str = "external_token";
/// As long as the issuer's keys are used without asking anew, in seconds: one that it took back ends what it signed.
const REMEMBERED_FOR: i64 = 600;

impl Core {
    /// `None` for a token that is of no such issuer, and so another door's matter.
    pub(super) async fn by_external_token(
        &self,
        now: DateTime<Utc>,
        token: &str,
        proven: &mut Option<Authenticated>,
    ) -> Result<Option<Authenticated>, Refusal> {
        let verified = match self.verified_elsewhere.get(token, now) {
            Some(known) => known,
            None => {
                // By its exact `iss` alone, before anybody is asked for anything.
                let Ok(parsed) = Assertion::parse(Kind::ForeignAccessToken, token) else { return Ok(None) };
                let Some(lawful) = self.federation.bearers_of(&parsed.claims.issuer) else {
                    return Ok(None);
                };
                let verified = Arc::new(self.verify_external(now, &parsed, lawful).await?);
                self.verified_elsewhere.remember(token, Arc::clone(&verified));
                verified
            }
        };
        // Looked up every time: its disabling or deletion must not wait for the token's end.
        let facts = self.directory.principal(verified.client_id).await?;
        let facts = facts.filter(|facts| {
            facts.principal.object_id == verified.object_id
                && Some(facts.principal.tenant_id) == verified.tenant_id
        });
        let facts = facts.ok_or(Refusal::Denied(Denial::InvalidToken))?;
        let caller = proven.insert(Authenticated { facts, credential_id: None, method: METHOD, note: None });
        is_open(caller, None, Some(CredentialMethod::FederatedCredential)).map_err(Refusal::Denied)?;
        Ok(Some(caller.clone()))
    }

    async fn verify_external(
        &self,
        now: DateTime<Utc>,
        token: &Assertion<'_>,
        lawful: (&str, TenantId),
    ) -> Result<VerifiedToken, Refusal> {
        let invalid = || Refusal::Denied(Denial::InvalidToken);
        // What can't let anybody in costs nobody a look at the issuer.
        let claimed = claimed(&token.claims, lawful).ok_or_else(invalid)?;
        let kid = token.key.kid.as_deref().ok_or_else(invalid)?;
        let key = self.federation.key(&token.claims.issuer, kid).await;
        let key = key.map_err(|error| Refusal::Unavailable(error.to_string()))?.ok_or_else(invalid)?;
        if !token.is_signed_by(&key) {
            return Err(invalid());
        }
        check_time(&token.claims, LONGEST_FEDERATED, now).map_err(|_| {
            let has_ended = token.claims.expires_at + LEEWAY <= now.timestamp() as f64;
            Refusal::Denied(if has_ended { Denial::TokenExpired } else { Denial::InvalidToken })
        })?;
        let ends_at = DateTime::from_timestamp(token.claims.expires_at as i64, 0).ok_or_else(invalid)?;
        let expires_at = ends_at.min(now + Duration::seconds(REMEMBERED_FOR));
        Ok(VerifiedToken { expires_at, ..claimed })
    }
}

/// Whom an access token of Entra's names (v1 and v2), if it is one of an application for this audience, of the tenant that
/// the issuer speaks for.
fn claimed(claims: &Claims, (audience, tenant): (&str, TenantId)) -> Option<VerifiedToken> {
    let all = &claims.all;
    if claims.audience != [audience] || claims.issued_at.is_none() {
        return None;
    }
    // A user's token is no proof of the application: `scp` is in those alone, `idtyp` says it where it is there, and
    // where it is not an application's subject is its own object.
    let object_id = text(all, "oid")??;
    let is_of_application = match text(all, "idtyp")? {
        Some(kind) => kind == "app",
        None => claims.subject == object_id,
    };
    if !is_of_application || all.contains_key("scp") {
        return None;
    }
    let client_id = match (text(all, "appid")?, text(all, "azp")?) {
        (Some(v1), Some(v2)) if v1 != v2 => return None,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    Some(VerifiedToken {
        token_id: claims.id().unwrap_or_default().into(),
        object_id: ObjectId::parse(object_id).ok()?,
        client_id: ClientId::parse(client_id).ok()?,
        tenant_id: Some(TenantId::parse(text(all, "tid")??).ok().filter(|tid| *tid == tenant)?),
        audience: audience.into(),
        expires_at: DateTime::UNIX_EPOCH,
    })
}

/// A claim that is a text, or is not there; `None` for any other.
fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<Option<&'a str>> {
    match claims.get(name) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    }
}
