//! Certificates and federated credentials of a principal: what is taken, and how many.

use std::collections::BTreeMap;

use super::authenticate::Authenticated;
use super::{Core, Refusal, RequestContext};
use crate::domain::ids::{CredentialId, ObjectId};
use crate::domain::principal::{
    FederatedCredential, KeyCredential, MAX_FEDERATED_CREDENTIALS, MAX_KEY_CREDENTIALS,
};
use crate::signing::certificate::Certificate;
use crate::storage::{Mutation, PrincipalFacts};

/// Longest text of a federated credential, in bytes (Entra's own limit).
const MAX_TEXT_BYTES: usize = 600;
/// Most further claims of one federated credential.
const MAX_CLAIMS: usize = 10;

/// What a caller wants to trust.
pub struct WantedFederation {
    pub name: String,
    pub issuer: String,
    pub subject: String,
    pub audience: String,
    pub claims: BTreeMap<String, String>,
}

impl Core {
    /// Registers a certificate, given in DER or PEM.
    pub async fn add_certificate(
        &self,
        caller: &Authenticated,
        facts: &PrincipalFacts,
        display_name: Option<String>,
        certificate: &[u8],
        context: &RequestContext,
    ) -> Result<KeyCredential, Refusal> {
        let parsed = match std::str::from_utf8(certificate) {
            Ok(text) if text.contains("-----BEGIN ") => Certificate::from_pem(text),
            _ => Certificate::from_der(certificate),
        };
        let parsed = parsed.map_err(|error| Refusal::Invalid(format!("`key`: {error}")))?;
        if facts.key_credentials.len() >= MAX_KEY_CREDENTIALS {
            return Err(Refusal::Conflict(format!(
                "the principal has {MAX_KEY_CREDENTIALS} certificates: remove one first"
            )));
        }
        let id = CredentialId::from_uuid(self.new_uuid());
        let key = key_credential(id, facts.principal.object_id, display_name, parsed);
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

pub(super) fn key_credential(
    id: CredentialId,
    object_id: ObjectId,
    display_name: Option<String>,
    certificate: Certificate,
) -> KeyCredential {
    KeyCredential {
        id,
        object_id,
        display_name,
        public_jwk: certificate.public_jwk,
        sha1_thumbprint: certificate.sha1_thumbprint,
        sha256_thumbprint: certificate.sha256_thumbprint,
        starts_at: certificate.not_before,
        expires_at: certificate.not_after,
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
    if !credential.issuer.starts_with("https://") {
        return Err("`issuer` must begin with https://".to_owned());
    }
    if credential.claims.len() > MAX_CLAIMS {
        return Err(format!("more than {MAX_CLAIMS} claims"));
    }
    Ok(())
}
