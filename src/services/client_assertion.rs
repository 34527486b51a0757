//! Phase 1 by assertion: a token that the principal signed itself (`private_key_jwt`, RFC 7523, section 3), or one of
//! another issuer that it is trusted by (a federated credential).
//!
//! Which of the two it is, its `iss` says. Another issuer's token may be shown again until it expires (Kubernetes
//! mounts one for an hour), and so may a principal's own (MSAL shows one for nine minutes) unless the operator wants it once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use super::authenticate::{Authenticated, is_open};
use super::{Core, Refusal};
use crate::domain::credential_method::CredentialMethod;
use crate::domain::denial::Denial;
use crate::domain::ids::{ClientId, CredentialId, TenantId};
use crate::domain::principal::{KeyCredential, KeyNames};
use crate::signing::assertion::{Assertion, Claims, KeyName};
use crate::signing::compact::Kind;
use crate::signing::public_key::PublicKey;
use crate::storage::PrincipalFacts;

pub use crate::signing::assertion::MAX_ASSERTION_BYTES;

/// Algorithms of assertions, as discovery names them.
pub const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

/// How far a caller's clock may be off, in seconds.
pub(super) const LEEWAY: f64 = 60.0;
/// Longest life of what a principal signs itself, in seconds. RFC 7523 leaves it open; `azure.identity.aio` asks for
/// half an hour.
const LONGEST_OWN: f64 = 1800.0;
/// Longest `jti`, in bytes: a UUID has 36.
const MAX_ID_BYTES: usize = 256;
/// Longest life of another issuer's token, in seconds.
pub(super) const LONGEST_FEDERATED: f64 = 24.0 * 3600.0;

/// How an assertion was sent, which says what may stand in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentAs {
    /// `client_assertion` (RFC 7523, section 2.2).
    ClientAssertion,
    /// `subject_token` of the type `jwt` or `id_token` (RFC 8693, section 3).
    SubjectToken,
    /// `subject_token` of the type `access_token`.
    SubjectAccessToken,
}

impl SentAs {
    const fn kind(self) -> Kind {
        match self {
            Self::ClientAssertion => Kind::ClientAssertion,
            Self::SubjectToken => Kind::SubjectToken,
            Self::SubjectAccessToken => Kind::ForeignAccessToken,
        }
    }
}

/// An assertion as it came.
#[derive(Debug, Clone, Copy)]
pub struct ClientAssertion<'a> {
    pub tenant: Option<TenantId>,
    /// May be absent beside an assertion that says it itself (RFC 7521, section 4.2).
    pub client_id: Option<&'a str>,
    pub assertion: &'a str,
    pub sent_as: SentAs,
    /// The token endpoint that was called, by its configured address.
    pub endpoint: &'a str,
}

impl ClientAssertion<'_> {
    /// Whom the caller says to be, by the form or else by the assertion; not proven.
    pub(super) fn claimed_client(&self) -> Option<ClientId> {
        match self.client_id {
            Some(text) => ClientId::parse(text).ok(),
            None => {
                ClientId::parse(&Assertion::parse(self.sent_as.kind(), self.assertion).ok()?.claims.issuer)
                    .ok()
            }
        }
    }
}

impl Core {
    pub(super) async fn by_client_assertion(
        &self,
        now: DateTime<Utc>,
        shown: &ClientAssertion<'_>,
        proven: &mut Option<Authenticated>,
    ) -> Result<Authenticated, Refusal> {
        let assertion = Assertion::parse(shown.sent_as.kind(), shown.assertion)
            .map_err(|malformed| Refusal::Denied(Denial::MalformedAssertion(malformed.0)))?;
        let outcome = self.judge(now, shown, &assertion, proven).await;
        if let Err(Refusal::Denied(denial)) = &outcome
            && has_no_key(*denial)
        {
            // As much work as for a known client and key, so that time tells nothing.
            assertion.is_signed_by(&PublicKey::decoy(assertion.algorithm));
        }
        outcome
    }

    async fn judge(
        &self,
        now: DateTime<Utc>,
        shown: &ClientAssertion<'_>,
        assertion: &Assertion<'_>,
        proven: &mut Option<Authenticated>,
    ) -> Result<Authenticated, Refusal> {
        let issuer = assertion.claims.issuer.as_str();
        // Told apart by `iss`, which names the client itself or another issuer, never both.
        let own = ClientId::parse(issuer).ok();
        // What a principal signs itself is an assertion, and no token that another one could be exchanged for.
        let own = own.filter(|_| shown.sent_as == SentAs::ClientAssertion);
        let named = match (shown.client_id, own) {
            (Some(text), Some(own)) if ClientId::parse(text) != Ok(own) => None,
            (Some(text), _) => ClientId::parse(text).ok(),
            (None, own) => own,
        };
        let facts = match named {
            Some(client_id) => self.directory.principal(client_id).await?,
            None => None,
        };
        let unknown = match own {
            Some(_) => Denial::AssertionOfUnknownClient,
            None => Denial::FederationOfUnknownClient,
        };
        let facts = facts.ok_or(Refusal::Denied(unknown))?;
        // Who it is; then, said to who holds the key alone, what else is wrong.
        let (credential_id, method, checked) = match own {
            Some(_) => {
                let credential = own_key(&facts, assertion).map_err(Refusal::Denied)?;
                let checked = if credential.is_live(now) {
                    check_own(&assertion.claims, shown.endpoint, &self.settings.policy.issuer, now)
                } else {
                    Err(Denial::CertificateExpired)
                };
                (credential.id, CredentialMethod::PrivateKeyJwt, checked)
            }
            None => {
                let credential_id = self.federated(&facts, assertion).await?;
                let checked = check_time(&assertion.claims, LONGEST_FEDERATED, now);
                (credential_id, CredentialMethod::FederatedCredential, checked)
            }
        };
        let credential_id = Some(credential_id);
        let caller =
            proven.insert(Authenticated { facts, credential_id, method: method.as_str(), note: None });
        checked.and_then(|()| is_open(caller, shown.tenant, Some(method))).map_err(Refusal::Denied)?;
        if method == CredentialMethod::PrivateKeyJwt {
            caller.note = self.use_once(&assertion.claims, now).await?;
        }
        Ok(caller.clone())
    }

    /// The federated credential that the token matches.
    async fn federated(
        &self,
        facts: &PrincipalFacts,
        assertion: &Assertion<'_>,
    ) -> Result<CredentialId, Refusal> {
        let claims = &assertion.claims;
        // Before any key is asked for: a token that can't match costs nobody a look at the issuer.
        let matching = facts.federated_credentials.iter().find(|credential| {
            credential.issuer == claims.issuer
                && credential.subject == claims.subject
                && claims.audience.contains(&credential.audience)
                && credential.claims.iter().all(|(name, value)| {
                    claims.all.get(name).and_then(serde_json::Value::as_str) == Some(value)
                })
        });
        let matching = matching.ok_or(Refusal::Denied(Denial::NoFederatedCredential))?;
        if !self.federation.trusts(&claims.issuer) {
            return Err(Refusal::Denied(Denial::UntrustedIssuer));
        }
        let kid = assertion.key.kid.as_deref().ok_or(Refusal::Denied(Denial::UnknownIssuerKey))?;
        let key = self
            .federation
            .key(&claims.issuer, kid)
            .await
            .map_err(|error| Refusal::Unavailable(error.to_string()))?
            .ok_or(Refusal::Denied(Denial::UnknownIssuerKey))?;
        if !assertion.is_signed_by(&key) {
            return Err(Refusal::Denied(Denial::WrongIssuerSignature));
        }
        Ok(matching.id)
    }
}

/// The principal's certificate or public key that made the assertion.
fn own_key<'a>(facts: &'a PrincipalFacts, assertion: &Assertion<'_>) -> Result<&'a KeyCredential, Denial> {
    let credential = facts
        .key_credentials
        .iter()
        .find(|credential| is_named(credential, &assertion.key))
        .ok_or(Denial::UnknownCertificate)?;
    // It was parsed when it was registered.
    let key = serde_json::from_str(&credential.public_jwk)
        .ok()
        .and_then(|jwk| PublicKey::from_foreign(&jwk).ok())
        .ok_or(Denial::UnknownCertificate)?;
    if assertion.is_signed_by(&key) { Ok(credential) } else { Err(Denial::WrongSignature) }
}

/// Whether the refusal came before any signature was looked at.
const fn has_no_key(denial: Denial) -> bool {
    matches!(
        denial,
        Denial::AssertionOfUnknownClient
            | Denial::FederationOfUnknownClient
            | Denial::UnknownCertificate
            | Denial::NoFederatedCredential
            | Denial::UntrustedIssuer
            | Denial::UnknownIssuerKey
    )
}

/// Every name that the header gives must be the credential's.
fn is_named(credential: &KeyCredential, name: &KeyName) -> bool {
    match (&name.x5t, &name.x5t_s256, &credential.names) {
        (None, None, names) => name.kid.as_deref().is_some_and(|kid| {
            let is_thumbprint = || {
                let named = URL_SAFE_NO_PAD.decode(kid).unwrap_or_default();
                matches!(names, KeyNames::Bare { thumbprint } if thumbprint.as_slice() == named)
            };
            kid == credential.id.to_string() || is_thumbprint()
        }),
        // A `kid` beside a thumbprint is the client's own word for the key.
        (x5t, x5t_s256, KeyNames::Certificate { sha1, sha256 }) => {
            x5t.as_deref().is_none_or(|named| named == sha1)
                && x5t_s256.as_deref().is_none_or(|named| named == sha256)
        }
        // It has no certificate whose thumbprint this could be.
        (_, _, KeyNames::Bare { .. }) => false,
    }
}

/// RFC 7523, section 3: `sub` is `iss`, `aud` is this service by its issuer or the endpoint that was called, and `jti` is
/// there. Only after the signature, so that nobody else learns what is wrong.
fn check_own(claims: &Claims, endpoint: &str, issuer: &str, now: DateTime<Utc>) -> Result<(), Denial> {
    if claims.subject != claims.issuer {
        return Err(Denial::MalformedAssertion("sub is not the client id that iss is"));
    }
    match claims.id() {
        None => return Err(Denial::MalformedAssertion("jti is missing")),
        Some(id) if id.len() > MAX_ID_BYTES => {
            return Err(Denial::MalformedAssertion("jti is longer than 256 bytes"));
        }
        Some(_) => {}
    }
    // One audience alone: an assertion that is also for someone else can be shown by them.
    match claims.audience.as_slice() {
        [one] if one == endpoint || one == issuer => check_time(claims, LONGEST_OWN, now),
        _ => Err(Denial::AssertionAudience),
    }
}

pub(super) fn check_time(claims: &Claims, longest: f64, now: DateTime<Utc>) -> Result<(), Denial> {
    // Exact to a quarter of a microsecond in this century; leeways are a minute.
    let now = now.timestamp_micros() as f64 / 1e6;
    let begins = [claims.not_before, claims.issued_at].into_iter().flatten().fold(0.0, f64::max);
    let begun = begins <= now + LEEWAY;
    let ends = claims.expires_at > now - LEEWAY && claims.expires_at <= now + longest + LEEWAY;
    if begun && ends { Ok(()) } else { Err(Denial::AssertionTime) }
}
