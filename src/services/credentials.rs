//! Certificates, public keys and federated credentials of a principal: what is taken, and how many.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::authenticate::Authenticated;
use super::client_secrets::lawful_end;
use super::{Core, Refusal, RequestContext};
use crate::domain::credential_method::CredentialMethod;
use crate::domain::ids::{CredentialId, ObjectId};
use crate::domain::principal::{
    FederatedCredential, KeyCredential, KeyNames, MAX_FEDERATED_CREDENTIALS, MAX_KEY_CREDENTIALS,
};
use crate::federation::is_plain_loopback;
use crate::signing::bare_key::BareKey;
use crate::signing::certificate::Certificate;
use crate::storage::{Mutation, PrincipalFacts};

/// Longest text of a federated credential, in bytes (Entra's own limit).
const MAX_TEXT_BYTES: usize = 600;
/// Most further claims of one federated credential.
const MAX_CLAIMS: usize = 10;

/// A key that a caller wants to prove itself with.
pub enum WantedKey {
    /// In PEM or DER.
    Certificate(Vec<u8>),
    /// In PEM or as a JWK.
    Public { key: String, expires_at: DateTime<Utc> },
}

/// What a caller wants to trust.
pub struct WantedFederation {
    pub name: String,
    pub issuer: String,
    pub subject: String,
    pub audience: String,
    pub claims: BTreeMap<String, String>,
}

impl Core {
    /// Registers a certificate or a public key.
    pub async fn add_key(
        &self,
        caller: &Authenticated,
        facts: &PrincipalFacts,
        display_name: Option<String>,
        wanted: &WantedKey,
        context: &RequestContext,
    ) -> Result<KeyCredential, Refusal> {
        demand_allowed(facts, CredentialMethod::PrivateKeyJwt)?;
        let now = self.clock.now();
        let material = match wanted {
            WantedKey::Certificate(bytes) => certificate(bytes)?,
            WantedKey::Public { key, expires_at } => {
                let key = BareKey::parse(key).map_err(|error| Refusal::Invalid(format!("`key`: {error}")))?;
                KeyMaterial::of_key(key, now, lawful_end(Some(*expires_at), now)?)
            }
        };
        if facts.key_credentials.len() >= MAX_KEY_CREDENTIALS {
            return Err(Refusal::Conflict(format!(
                "the principal has {MAX_KEY_CREDENTIALS} certificates and keys: remove one first"
            )));
        }
        let id = CredentialId::from_uuid(self.new_uuid());
        let key = material.credential(id, facts.principal.object_id, display_name);
        self.change(caller, &[Mutation::AddKeyCredential(Box::new(key.clone()))], context).await?;
        Ok(key)
    }

    /// Registers a federated credential.
    pub async fn add_federated_credential(
        &self,
        caller: &Authenticated,
        facts: &PrincipalFacts,
        wanted: WantedFederation,
        context: &RequestContext,
    ) -> Result<FederatedCredential, Refusal> {
        demand_allowed(facts, CredentialMethod::FederatedCredential)?;
        let WantedFederation { name, issuer, subject, audience, claims } = wanted;
        let id = CredentialId::from_uuid(self.new_uuid());
        let object_id = facts.principal.object_id;
        let credential = FederatedCredential { id, object_id, name, issuer, subject, audience, claims };
        check_federated(&credential).map_err(Refusal::Invalid)?;
        if facts.federated_credentials.len() >= MAX_FEDERATED_CREDENTIALS {
            return Err(Refusal::Conflict(format!(
                "the principal has {MAX_FEDERATED_CREDENTIALS} federated credentials: remove one first"
            )));
        }
        self.change(caller, &[Mutation::PutFederatedCredential(credential.clone())], context).await?;
        Ok(credential)
    }
}

/// Nobody is given a credential that will be refused.
pub(super) fn demand_allowed(facts: &PrincipalFacts, method: CredentialMethod) -> Result<(), Refusal> {
    if facts.principal.allowed_methods.has(method) {
        return Ok(());
    }
    Err(Refusal::Conflict(format!(
        "the principal may not prove itself by `{}`: change its allowedCredentialMethods first",
        method.as_str()
    )))
}

/// In PEM or in DER.
fn certificate(bytes: &[u8]) -> Result<KeyMaterial, Refusal> {
    let parsed = match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN ") => Certificate::from_pem(text),
        _ => Certificate::from_der(bytes),
    };
    parsed.map(KeyMaterial::from).map_err(|error| Refusal::Invalid(format!("`key`: {error}")))
}

/// A key that may be registered: all of its credential but whose it is.
pub(super) struct KeyMaterial {
    pub names: KeyNames,
    public_jwk: String,
    starts_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

impl KeyMaterial {
    /// A key says no times of its own.
    pub fn of_key(key: BareKey, starts_at: DateTime<Utc>, expires_at: DateTime<Utc>) -> Self {
        let names = KeyNames::Bare { thumbprint: key.thumbprint };
        Self { names, public_jwk: key.public_jwk, starts_at, expires_at }
    }

    pub fn credential(
        self,
        id: CredentialId,
        object_id: ObjectId,
        display_name: Option<String>,
    ) -> KeyCredential {
        let Self { names, public_jwk, starts_at, expires_at } = self;
        KeyCredential { id, object_id, display_name, public_jwk, names, starts_at, expires_at }
    }
}

impl From<Certificate> for KeyMaterial {
    fn from(certificate: Certificate) -> Self {
        let names = KeyNames::Certificate {
            sha1: certificate.sha1_thumbprint,
            sha256: certificate.sha256_thumbprint,
        };
        Self {
            names,
            public_jwk: certificate.public_jwk,
            starts_at: certificate.not_before,
            expires_at: certificate.not_after,
        }
    }
}

/// Whether a federated credential is lawful. Whether its issuer is trusted is the configuration's matter, and may change.
pub(super) fn check_federated(credential: &FederatedCredential) -> Result<(), String> {
    let texts = [
        ("name", &credential.name),
        ("issuer", &credential.issuer),
        ("subject", &credential.subject),
        ("audience", &credential.audience),
    ];
    let claims = credential.claims.iter().flat_map(|(name, value)| [("claims", name), ("claims", value)]);
    for (name, text) in texts.into_iter().chain(claims) {
        if !(1..=MAX_TEXT_BYTES).contains(&text.len()) || text.chars().any(char::is_control) {
            return Err(format!("`{name}` must have 1 to {MAX_TEXT_BYTES} bytes and no control characters"));
        }
    }
    if !credential.issuer.starts_with("https://") && !is_plain_loopback(&credential.issuer) {
        return Err("`issuer` must begin with https:// (http:// for a loopback address only)".to_owned());
    }
    if credential.claims.len() > MAX_CLAIMS {
        return Err(format!("more than {MAX_CLAIMS} claims"));
    }
    Ok(())
}
