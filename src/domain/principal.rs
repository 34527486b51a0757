//! Service principals and what they prove themselves with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::client_secret::SecretDigest;
use super::credential_method::AllowedMethods;
use super::ids::{ClientId, CredentialId, ObjectId, TenantId};

/// A program's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePrincipal {
    pub object_id: ObjectId,
    pub client_id: ClientId,
    pub tenant_id: TenantId,
    pub display_name: String,
    /// A disabled principal is refused whatever it proves.
    pub enabled: bool,
    /// How it may prove itself, whatever credentials it holds.
    pub allowed_methods: AllowedMethods,
    pub created_at: DateTime<Utc>,
}

/// Which of the two places a live secret takes. Two, so that one can be replaced while the other still works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretSlot {
    First,
    Second,
}

impl SecretSlot {
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    pub const fn number(self) -> i64 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }

    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.number() == number)
    }
}

/// A client secret as it is kept: never the secret, only its digest under the pepper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSecret {
    pub id: CredentialId,
    pub object_id: ObjectId,
    pub slot: SecretSlot,
    pub display_name: Option<String>,
    pub digest: SecretDigest,
    /// First characters of the secret, so that its owner can tell two apart.
    pub hint: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

impl ClientSecret {
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        now < self.expires_at
    }
}

/// Most certificates and public keys of one principal: enough to roll over on several machines, and a bound on what a request looks at.
pub const MAX_KEY_CREDENTIALS: usize = 20;
/// Most federated credentials of one principal (Entra's own limit).
pub const MAX_FEDERATED_CREDENTIALS: usize = 20;

/// What an assertion may call a public key by, beside the id of its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyNames {
    /// Of the DER form of the certificate that it came in: `x5t` and `x5t#S256`.
    Certificate { sha1: [u8; 20], sha256: [u8; 32] },
    /// Of the key itself, which came without one: `kid` (RFC 7638).
    Bare { thumbprint: [u8; 32] },
}

impl KeyNames {
    /// By which a principal's keys are told apart.
    pub const fn sha256(&self) -> &[u8; 32] {
        match self {
            Self::Certificate { sha256, .. } => sha256,
            Self::Bare { thumbprint } => thumbprint,
        }
    }

    /// In words.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "certificate",
            Self::Bare { .. } => "public key",
        }
    }
}

/// A public key with which a principal's assertions are checked (RFC 7523).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCredential {
    pub id: CredentialId,
    pub object_id: ObjectId,
    pub display_name: Option<String>,
    /// Public JWK (RFC 7517) as JSON text.
    pub public_jwk: String,
    pub names: KeyNames,
    pub starts_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

impl KeyCredential {
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.starts_at <= now && now < self.expires_at
    }
}

/// Trust in another issuer's tokens: whoever shows one with exactly these members is the principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedCredential {
    pub id: CredentialId,
    pub object_id: ObjectId,
    pub name: String,
    pub issuer: String,
    pub subject: String,
    pub audience: String,
    /// Further members of the token that must be equal.
    pub claims: BTreeMap<String, String>,
}
