//! Service principals and what they prove themselves with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::client_secret::SecretDigest;
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

/// Most certificates of one principal: enough to roll over on several machines, and a bound on what a request looks at.
pub const MAX_KEY_CREDENTIALS: usize = 20;
/// Most federated credentials of one principal (Entra's own limit).
pub const MAX_FEDERATED_CREDENTIALS: usize = 20;

/// A public key with which a principal's assertions are checked (RFC 7523), as its certificate told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCredential {
    pub id: CredentialId,
    pub object_id: ObjectId,
    pub display_name: Option<String>,
    /// Public JWK (RFC 7517) as JSON text.
    pub public_jwk: String,
    /// Of the DER form of the certificate: what assertions name as `x5t`.
    pub sha1_thumbprint: [u8; 20],
    /// What assertions name as `x5t#S256`.
    pub sha256_thumbprint: [u8; 32],
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
