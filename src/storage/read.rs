//! Rows to domain values, whatever the database: the columns of both have the same names.
//!
//! How a database holds a time or a flag is its own affair, and stands in the `codec.rs` of each.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Change, KekUse, Replica, Result, SealedPrivate, StorageError, StoredAccessKey, StoredSigningKey,
};
use crate::domain::access_key::{AccessKey, KeyName};
use crate::domain::audit::{Chained, Link, LinkCode, RecordText};
use crate::domain::client_secret::SecretDigest;
use crate::domain::credential_method::AllowedMethods;
use crate::domain::ids::{
    AuditRecordId, ChainId, ClientId, CredentialId, ObjectId, ReplicaId, RoleAssignmentId, RoleDefinitionId,
    TenantId,
};
use crate::domain::latency::{LatencyRow, Span};
use crate::domain::lifetime::TokenLifetime;
use crate::domain::principal::{
    ClientSecret, FederatedCredential, KeyCredential, KeyNames, SecretSlot, ServicePrincipal,
};
use crate::domain::region::Region;
use crate::domain::resource::{Scope, WebserviceId, WorkspaceId};
use crate::domain::revocation::RevokedToken;
use crate::domain::role::{RoleAssignment, RoleDefinition};
use crate::domain::signing_key::{KeyLife, SigningAlgorithm, SigningKey};
use crate::domain::webservice::{AuthMode, ComputeType, Webservice};
use crate::domain::workspace::{Subscription, Tenant, Workspace};

/// Typed access to a row; a column that is missing or of another type is [`StorageError::Corrupt`].
pub trait Columns {
    fn text(&self, column: &str) -> Result<String>;
    fn text_opt(&self, column: &str) -> Result<Option<String>>;
    fn int(&self, column: &str) -> Result<i64>;
    fn int_opt(&self, column: &str) -> Result<Option<i64>>;
    fn flag(&self, column: &str) -> Result<bool>;
    fn id(&self, column: &str) -> Result<Uuid>;
    fn bytes_opt(&self, column: &str) -> Result<Option<Vec<u8>>>;
    fn time(&self, column: &str) -> Result<DateTime<Utc>>;
    /// An instant that can't be read is no absent one: a revocation must not be lost so.
    fn time_opt(&self, column: &str) -> Result<Option<DateTime<Utc>>>;

    fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N]> {
        let bytes = self.bytes_opt(column)?.ok_or_else(|| corrupt(column, "NULL"))?;
        <[u8; N]>::try_from(bytes).map_err(|bytes| corrupt(column, format!("{} bytes", bytes.len())))
    }

    /// A column whose text has a rule of its own.
    fn parsed<T, E: std::fmt::Display>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T> {
        parse(&self.text(column)?).map_err(|error| corrupt(column, error))
    }

    /// A column that holds JSON.
    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T> {
        self.parsed(column, |text| serde_json::from_str(text))
    }
}

pub fn corrupt(column: &str, what: impl std::fmt::Display) -> StorageError {
    StorageError::Corrupt(format!("column {column}: {what}"))
}

/// Serialises a value of our own making.
pub fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StorageError::Corrupt(error.to_string()))
}

/// Reads each row of a list.
pub fn each<R, T>(rows: Vec<R>, read: impl Fn(&R) -> Result<T>) -> Result<Vec<T>> {
    rows.iter().map(read).collect()
}

pub fn tenant(row: &impl Columns) -> Result<Tenant> {
    Ok(Tenant { id: TenantId::from_uuid(row.id("id")?), display_name: row.text("display_name")? })
}

pub fn subscription(row: &impl Columns) -> Result<Subscription> {
    Ok(Subscription {
        id: row.text("id")?,
        tenant_id: TenantId::from_uuid(row.id("tenant_id")?),
        display_name: row.text("display_name")?,
    })
}

pub fn workspace(row: &impl Columns) -> Result<Workspace> {
    Ok(Workspace {
        id: row.parsed("id", WorkspaceId::parse)?,
        tenant_id: TenantId::from_uuid(row.id("tenant_id")?),
        home_region: row.parsed("home_region", Region::parse)?,
        failover_regions: row.json("failover_regions")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub fn webservice(row: &impl Columns) -> Result<Webservice> {
    let lifetime = row.int_opt("token_lifetime_seconds")?;
    let lifetime = lifetime.map(|seconds| {
        u32::try_from(seconds)
            .ok()
            .and_then(|seconds| TokenLifetime::from_seconds(seconds).ok())
            .ok_or_else(|| corrupt("token_lifetime_seconds", seconds))
    });
    Ok(Webservice {
        id: row.parsed("id", WebserviceId::parse)?,
        compute_type: row
            .parsed("compute_type", |text| ComputeType::parse(text).ok_or(format!("`{text}`")))?,
        auth_mode: row.parsed("auth_mode", |text| AuthMode::parse(text).ok_or(format!("`{text}`")))?,
        compute_region: row.parsed("compute_region", Region::parse)?,
        scoring_uri: row.text_opt("scoring_uri")?,
        token_lifetime: lifetime.transpose()?,
        description: row.text_opt("description")?,
        tags: row.json("tags")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub fn principal(row: &impl Columns) -> Result<ServicePrincipal> {
    Ok(ServicePrincipal {
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        client_id: ClientId::from_uuid(row.id("client_id")?),
        tenant_id: TenantId::from_uuid(row.id("tenant_id")?),
        display_name: row.text("display_name")?,
        enabled: row.flag("enabled")?,
        allowed_methods: match row.text_opt("allowed_methods")? {
            // Written by a version that knows of no restriction.
            None => AllowedMethods::ALL,
            Some(text) => AllowedMethods::parse(&text).ok_or_else(|| corrupt("allowed_methods", text))?,
        },
        created_at: row.time("created_at")?,
    })
}

pub fn access_key(row: &impl Columns) -> Result<StoredAccessKey> {
    let parse = |text: &str| KeyName::parse(text).ok_or(format!("`{text}`"));
    let sealed = |column| row.bytes_opt(column).map(Option::unwrap_or_default);
    Ok(StoredAccessKey {
        key: AccessKey {
            name: row.parsed("name", parse)?,
            generation: row.int("generation")?,
            digest: SecretDigest(row.bytes("digest")?),
            created_at: row.time("created_at")?,
        },
        sealed: SealedPrivate { private: sealed("sealed_value")?, data_key: sealed("sealed_data_key")? },
        kek_id: row.bytes("kek_id")?,
    })
}

pub fn client_secret(row: &impl Columns) -> Result<ClientSecret> {
    let slot = row.int("slot")?;
    Ok(ClientSecret {
        id: CredentialId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        slot: SecretSlot::from_number(slot).ok_or_else(|| corrupt("slot", slot))?,
        display_name: row.text_opt("display_name")?,
        digest: SecretDigest(row.bytes("digest")?),
        hint: row.text("hint")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub fn key_credential(row: &impl Columns) -> Result<KeyCredential> {
    Ok(KeyCredential {
        id: CredentialId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        display_name: row.text_opt("display_name")?,
        public_jwk: row.text("public_jwk")?,
        names: if row.flag("is_certificate")? {
            let (sha1, sha256) = (row.bytes("sha1_thumbprint")?, row.bytes("sha256_thumbprint")?);
            KeyNames::Certificate { sha1, sha256 }
        } else {
            KeyNames::Bare { thumbprint: row.bytes("sha256_thumbprint")? }
        },
        starts_at: row.time("starts_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub fn federated_credential(row: &impl Columns) -> Result<FederatedCredential> {
    Ok(FederatedCredential {
        id: CredentialId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        name: row.text("name")?,
        issuer: row.text("issuer")?,
        subject: row.text("subject")?,
        audience: row.text("audience")?,
        claims: row.json("claims")?,
    })
}

pub fn role(row: &impl Columns) -> Result<RoleDefinition> {
    Ok(RoleDefinition {
        id: RoleDefinitionId::from_uuid(row.id("id")?),
        name: row.text("name")?,
        description: row.text("description")?,
        actions: row.json("actions")?,
        not_actions: row.json("not_actions")?,
        built_in: row.flag("built_in")?,
    })
}

pub fn assignment(row: &impl Columns) -> Result<RoleAssignment> {
    Ok(RoleAssignment {
        id: RoleAssignmentId::from_uuid(row.id("id")?),
        object_id: ObjectId::from_uuid(row.id("object_id")?),
        role_id: RoleDefinitionId::from_uuid(row.id("role_id")?),
        scope: row.parsed("scope", Scope::parse)?,
    })
}

pub fn signing_key(row: &impl Columns) -> Result<StoredSigningKey> {
    let private = match (row.bytes_opt("sealed_private")?, row.bytes_opt("sealed_data_key")?) {
        (Some(private), Some(data_key)) => Some(SealedPrivate { private, data_key }),
        _ => None,
    };
    Ok(StoredSigningKey {
        key: SigningKey {
            kid: row.text("kid")?,
            region: row.parsed("region", Region::parse)?,
            generation: row.int("generation")?,
            algorithm: row
                .parsed("algorithm", |text| SigningAlgorithm::parse(text).ok_or(format!("`{text}`")))?,
            life: KeyLife {
                published_at: row.time("published_at")?,
                sign_from: row.time("sign_from")?,
                sign_until: row.time("sign_until")?,
                remove_at: row.time("remove_at")?,
                revoked_at: row.time_opt("revoked_at")?,
            },
        },
        public_jwk: row.text("public_jwk")?,
        private,
        kek_id: row.bytes("kek_id")?,
    })
}

pub fn latency_row(row: &impl Columns) -> Result<LatencyRow> {
    let span = row.int("span_seconds")?;
    Ok(LatencyRow {
        span: Span::from_seconds(span).ok_or_else(|| corrupt("span_seconds", span))?,
        starts_at: row.time("starts_at")?,
        region: row.parsed("region", Region::parse)?,
        compute_region: row.parsed("compute_region", Region::parse)?,
        process: row.id("process")?,
        latencies: row.json("buckets")?,
    })
}

pub fn kek_use(row: &impl Columns) -> Result<KekUse> {
    Ok(KekUse {
        kek_id: row.bytes("kek_id")?,
        signing_keys: row.int("signing_keys")?,
        access_keys: row.int("access_keys")?,
    })
}

pub fn replica(row: &impl Columns) -> Result<Replica> {
    let kek_ids = row.bytes_opt("kek_ids")?.unwrap_or_default();
    Ok(Replica {
        id: ReplicaId::from_uuid(row.id("id")?),
        region: row.parsed("region", Region::parse)?,
        version: row.text("version")?,
        kek_ids: kek_ids.as_chunks().0.to_vec(),
        started_at: row.time("started_at")?,
        seen_at: row.time("seen_at")?,
    })
}

/// Lines of the change log in order, with the number of the last one, or `after` when there is none.
pub fn changes(rows: &[impl Columns], after: i64) -> Result<(i64, Vec<Change>)> {
    let mut newest = after;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        newest = row.int("sequence")?;
        let subject = row.text("subject")?;
        changes.push(match row.text("kind")?.as_str() {
            // With hyphens or without: SQLite's `hex()` writes none.
            "principal" => {
                let id = Uuid::try_parse(&subject).map_err(|error| corrupt("subject", error))?;
                Change::Principal(ClientId::from_uuid(id))
            }
            "webservice" => Change::Webservice(subject),
            "workspace" => Change::Workspace(subject),
            "roles" => Change::Roles,
            "hierarchy" => Change::Hierarchy,
            "signing_keys" => Change::SigningKeys,
            "token" => Change::Token(revoked_subject(&subject)?),
            other => return Err(corrupt("kind", other)),
        });
    }
    Ok((newest, changes))
}

/// A token of the deny-list as the change log names it: its end in Unix seconds, and its id.
pub fn token_subject(revoked: &RevokedToken) -> String {
    format!("{} {}", revoked.expires_at.timestamp(), revoked.token_id)
}

fn revoked_subject(subject: &str) -> Result<RevokedToken> {
    let parts = subject.split_once(' ').and_then(|(end, id)| Some((end.parse().ok()?, id)));
    let read = parts.and_then(|(end, id)| Some((DateTime::from_timestamp(end, 0)?, id.to_owned())));
    let (expires_at, token_id) = read.ok_or_else(|| corrupt("subject", subject))?;
    Ok(RevokedToken { token_id, expires_at })
}

pub fn revoked_token(row: &impl Columns) -> Result<RevokedToken> {
    Ok(RevokedToken { token_id: row.text("token_id")?, expires_at: row.time("expires_at")? })
}

/// The greatest key that begins with a prefix: U+10FFFF sorts after every character of an ARM id.
const AFTER_ALL: char = char::MAX;

/// Between which keys those lie that are below this one: `rg-a2` does not begin with `rg-a/`.
pub fn range_below(key: &str) -> (String, String) {
    let prefix = format!("{}/", key.trim_end_matches('/'));
    let high = format!("{prefix}{AFTER_ALL}");
    (prefix, high)
}

/// The few keys that are whole-segment prefixes of this one, from the root to itself.
pub fn keys_above_and_at(key: &str) -> Vec<String> {
    let mut above = vec!["/".to_owned()];
    above.extend(
        key.char_indices()
            .skip(1)
            .filter(|(_, c)| *c == '/')
            .filter_map(|(at, _)| key.get(..at))
            .map(str::to_owned),
    );
    above.push(key.to_owned());
    above
}

/// An audit record with its link.
pub fn chained(row: &impl Columns) -> Result<Chained<RecordText>> {
    let id = row.id("id")?;
    let read = || {
        Ok(Chained {
            record: RecordText { id: AuditRecordId::from_uuid(id), json: row.text("record")? },
            link: link(row)?,
        })
    };
    // Among a million rows only its id helps to find the one.
    read().map_err(|error: StorageError| match error {
        StorageError::Corrupt(what) => StorageError::Corrupt(format!("audit record {id}: {what}")),
        other => other,
    })
}

pub fn link(row: &impl Columns) -> Result<Link> {
    Ok(Link {
        chain: ChainId::from_uuid(row.id("chain")?),
        number: row.int("link")?,
        at: row.time("linked_at")?,
        code: LinkCode(row.bytes("code")?),
    })
}
