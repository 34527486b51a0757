//! A typed id for every kind, so that one kind is never passed for another.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text was not a hyphenated UUID of 36 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a UUID such as 11111111-2222-3333-4444-555555555555")]
pub struct NotAUuid(pub String);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes the hyphenated form only: one spelling for each id (case is folded).
            pub fn parse(text: &str) -> Result<Self, NotAUuid> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(NotAUuid(text.chars().take(64).collect())),
                }
            }

            /// Wraps a UUID that was made by this service or read from its database.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID, for storage and claims.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// A tenant: the boundary that no role assignment crosses.
    TenantId
);
uuid_id!(
    /// Object id of a service principal (`oid`, `sub`).
    ObjectId
);
uuid_id!(
    /// Client id of a service principal (`client_id`, `appid` of Microsoft Graph).
    ClientId
);
uuid_id!(
    /// One credential of a principal (`keyId` of Microsoft Graph).
    CredentialId
);
uuid_id!(
    /// A role definition.
    RoleDefinitionId
);
uuid_id!(
    /// A role assignment.
    RoleAssignmentId
);
uuid_id!(
    /// An audit record; version 7, so that ids sort by time.
    AuditRecordId
);
uuid_id!(
    /// What one writer of audit records writes in one go.
    ChainId
);
uuid_id!(
    /// A process that serves.
    ReplicaId
);

impl AuditRecordId {
    /// To the millisecond (RFC 9562 section 5.7); `None` for an id that is not of this service's making.
    pub fn made_at(self) -> Option<DateTime<Utc>> {
        let millis = i64::try_from(self.0.as_u128() >> 80).ok()?;
        DateTime::from_timestamp_millis(millis).filter(|_| self.0.get_version_num() == 7)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        assert!(ClientId::parse("11111111-2222-3333-4444-555555555555").is_ok());
        for text in [
            "11111111222233334444555555555555",
            "{11111111-2222-3333-4444-555555555555}",
            "urn:uuid:11111111-2222-3333-4444-555555555555",
            "",
            " 11111111-2222-3333-4444-555555555555",
        ] {
            assert!(ClientId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn case_is_folded() {
        let upper = ClientId::parse("ABCDEF00-2222-3333-4444-555555555555");
        assert_eq!(upper.map(|id| id.to_string()), Ok("abcdef00-2222-3333-4444-555555555555".to_owned()));
    }
}
