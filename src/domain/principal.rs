//! Service principals and what they prove themselves with.

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
