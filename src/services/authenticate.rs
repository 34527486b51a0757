//! Phase 1: who is calling. Every grant and every API route comes through here.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::client_assertion::ClientAssertion;
use super::{Core, Limited, Refusal, RequestContext};
use crate::directory::verified::VerifiedToken;
use crate::domain::client_secret::{self, SecretDigest};
use crate::domain::credential_method::CredentialMethod;
use crate::domain::denial::Denial;
use crate::domain::ids::{ClientId, CredentialId, ObjectId, TenantId};
use crate::signing::verifier::{Expected, KeySet, VerifyError};
use crate::storage::PrincipalFacts;

/// Longest secret that is hashed, in bytes: ours have 54.
const MAX_SECRET_BYTES: usize = 256;

/// What a caller shows, parsed but not believed.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    ClientSecret {
        tenant: Option<TenantId>,
        client_id: &'a str,
        secret: &'a str,
    },
    ClientAssertion(ClientAssertion<'a>),
    /// `Authorization: Bearer`, which may also be another issuer's access token; `None` when the header is missing.
    ManagementToken(Option<&'a str>),
}

impl Credentials<'_> {
    pub const fn method(&self) -> &'static str {
        match self {
            Self::ClientSecret { .. } => "client_secret",
            Self::ClientAssertion(_) => "client_assertion",
            Self::ManagementToken(_) => "management_token",
        }
    }
}

/// A proven caller.
#[derive(Clone)]
pub struct Authenticated {
    pub facts: Arc<PrincipalFacts>,
    pub credential_id: Option<CredentialId>,
    pub method: &'static str,
    /// What its record is to say of the proof, if anything.
    pub note: Option<&'static str>,
}

impl Core {
    /// Proves the caller, and counts the attempt. `proven` is for the record alone: who it was stands there even when the
    /// caller is refused after its proof, for what is expired, disabled or of another tenant.
    pub async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        proven: &mut Option<Authenticated>,
        context: &RequestContext,
    ) -> Result<Authenticated, Refusal> {
        // Before anything is looked up or hashed: one answer, whether the client exists or not.
        let pair = self.guessing.pair(credentials, context.address);
        self.guessing.check(pair, self.clock.steady()).map_err(|limited| self.too_many(limited))?;
        // Everything below rests on the time and on facts in memory.
        let now = self.clock.confirmed()?;
        self.directory.confirm()?;
        let outcome = match credentials {
            Credentials::ClientSecret { tenant, client_id, secret } => {
                self.by_client_secret(now, *tenant, client_id, secret, proven).await
            }
            Credentials::ClientAssertion(shown) => self.by_client_assertion(now, shown, proven).await,
            Credentials::ManagementToken(token) => self.by_management_token(now, *token, proven).await,
        };
        let result = match &outcome {
            Ok(_) => "ok",
            Err(Refusal::Denied(denial)) => metric_result(*denial),
            // Not an attempt that failed but one that could not be judged.
            Err(_) => return outcome,
        };
        self.metrics.client_authentications.with_label_values(&[credentials.method(), result]).inc();
        // Who is refused after its proof (an expired secret, a disabled principal) guesses nothing.
        if outcome.is_err() && proven.is_none() {
            self.guessing.failed(pair, self.clock.steady()).map_err(|limited| self.too_many(limited))?;
        }
        outcome
    }

    /// Counts what was turned away.
    pub(super) fn too_many(&self, limited: Limited) -> Refusal {
        self.metrics.rate_limited.with_label_values(&[limited.limit.as_str()]).inc();
        Refusal::TooMany(limited)
    }

    async fn by_client_secret(
        &self,
        now: DateTime<Utc>,
        tenant: Option<TenantId>,
        client_id: &str,
        secret: &str,
        proven: &mut Option<Authenticated>,
    ) -> Result<Authenticated, Refusal> {
        let facts = match ClientId::parse(client_id) {
            Ok(client_id) => self.directory.principal(client_id).await?,
            Err(_) => None,
        };
        let Some(facts) = facts else {
            // As much work as for a known client, so that time tells nothing.
            self.pepper.matches(bounded(secret), &SecretDigest([0; 32]));
            return Err(Refusal::Denied(Denial::UnknownClient));
        };
        let matched = facts.secrets.iter().find(|kept| self.pepper.matches(bounded(secret), &kept.digest));
        let Some(matched) = matched else {
            let denial = if client_secret::is_well_formed(secret) {
                Denial::WrongSecret
            } else {
                Denial::MalformedSecret
            };
            return Err(Refusal::Denied(denial));
        };
        let (credential_id, is_live) = (Some(matched.id), matched.is_live(now));
        let method = CredentialMethod::ClientSecret.as_str();
        let caller = proven.insert(Authenticated { facts, credential_id, method, note: None });
        if !is_live {
            return Err(Refusal::Denied(Denial::SecretExpired));
        }
        is_open(caller, tenant, Some(CredentialMethod::ClientSecret)).map_err(Refusal::Denied)?;
        Ok(caller.clone())
    }

    async fn by_management_token(
        &self,
        now: DateTime<Utc>,
        token: Option<&str>,
        proven: &mut Option<Authenticated>,
    ) -> Result<Authenticated, Refusal> {
        let token = token.ok_or(Refusal::Denied(Denial::MissingToken))?;
        if self.federation.takes_bearers()
            && let Some(caller) = self.by_external_token(now, token, proven).await?
        {
            return Ok(caller);
        }
        let verified = self.verified_token(now, token).map_err(Refusal::Denied)?;
        // A webservice's token never opens the API.
        if *verified.audience != *self.settings.policy.issuer {
            return Err(Refusal::Denied(Denial::InvalidToken));
        }
        // The principal is looked up every time: its disabling or deletion must not wait for the token's end.
        let facts = self.directory.principal(verified.client_id).await?;
        match facts {
            Some(facts) if facts.principal.object_id == verified.object_id => {
                let method = "management_token";
                let caller = proven.insert(Authenticated { facts, credential_id: None, method, note: None });
                // However it was proven when the token was issued.
                is_open(caller, None, None).map_err(Refusal::Denied)?;
                Ok(caller.clone())
            }
            _ => Err(Refusal::Denied(Denial::InvalidToken)),
        }
    }

    /// A live token of this service, whatever it is for: its audience is the caller's to compare.
    pub(super) fn verified_token(
        &self,
        now: DateTime<Utc>,
        token: &str,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        let verified = match self.verified.get(token, now) {
            Some(known) => known,
            None => self.verify_anew(now, token)?,
        };
        // Asked every time: it may have been revoked since it was verified.
        if self.directory.revoked.contains(&verified.token_id) {
            return Err(Denial::TokenRevoked);
        }
        Ok(verified)
    }

    fn verify_anew(&self, now: DateTime<Utc>, token: &str) -> Result<Arc<VerifiedToken>, Denial> {
        let published = self.published.load();
        let verified = Arc::new(self.verify_token(&published.verifier, now, token)?);
        self.verified.remember(token, Arc::clone(&verified));
        // A key that was withdrawn meanwhile: what it signed is forgotten by whoever comes second, they or we.
        if !Arc::ptr_eq(&published, &self.published.load()) {
            self.verified.forget(token);
        }
        Ok(verified)
    }

    fn verify_token(&self, keys: &KeySet, now: DateTime<Utc>, token: &str) -> Result<VerifiedToken, Denial> {
        let issuer = self.settings.policy.issuer.as_str();
        // Our own clock minted it, so no leeway is owed.
        let expected = Expected { issuer: Some(issuer), audience: None, now, leeway_seconds: 0 };
        let claims = keys.verify(token, &expected).map_err(|error| match error {
            VerifyError::Expired(_) => Denial::TokenExpired,
            _ => Denial::InvalidToken,
        })?;
        Ok(VerifiedToken {
            token_id: claims.jti.into(),
            object_id: ObjectId::parse(&claims.oid).map_err(|_| Denial::InvalidToken)?,
            client_id: ClientId::parse(&claims.client_id).map_err(|_| Denial::InvalidToken)?,
            tenant_id: None,
            audience: claims.aud.into(),
            expires_at: DateTime::from_timestamp(claims.exp, 0).ok_or(Denial::InvalidToken)?,
        })
    }
}

/// Whether a proven principal may come in by this door, and by this credential if it showed one.
pub(super) fn is_open(
    caller: &Authenticated,
    tenant: Option<TenantId>,
    method: Option<CredentialMethod>,
) -> Result<(), Denial> {
    let principal = &caller.facts.principal;
    if tenant.is_some_and(|tenant| tenant != principal.tenant_id) {
        return Err(Denial::WrongTenant);
    }
    if !principal.enabled {
        return Err(Denial::PrincipalDisabled);
    }
    match method {
        Some(method) if !principal.allowed_methods.has(method) => Err(Denial::MethodNotAllowed(method)),
        _ => Ok(()),
    }
}

/// Never hashes more than a secret can be; a longer text matches nothing anyway.
fn bounded(secret: &str) -> &str {
    if secret.len() > MAX_SECRET_BYTES { "" } else { secret }
}

const fn metric_result(denial: Denial) -> &'static str {
    match denial {
        Denial::UnknownClient | Denial::AssertionOfUnknownClient | Denial::FederationOfUnknownClient => {
            "unknown_client"
        }
        Denial::SecretExpired | Denial::TokenExpired | Denial::AssertionTime | Denial::CertificateExpired => {
            "expired"
        }
        Denial::PrincipalDisabled => "disabled",
        Denial::MethodNotAllowed(_) => "not_allowed",
        Denial::MalformedSecret
        | Denial::MissingToken
        | Denial::InvalidToken
        | Denial::TokenRevoked
        | Denial::MalformedAssertion(_) => "malformed",
        Denial::UnknownCertificate
        | Denial::WrongSignature
        | Denial::WrongIssuerSignature
        | Denial::AssertionAudience
        | Denial::AssertionUsed
        | Denial::NoFederatedCredential
        | Denial::UntrustedIssuer
        | Denial::UnknownIssuerKey => "bad_assertion",
        _ => "bad_secret",
    }
}
