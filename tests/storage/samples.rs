//! Values for the cases. Every id is a small number, so that a failure can be read.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;
use workspace_sts::audit::{reading, text};
use workspace_sts::domain::audit::{
    Actor, AuditFilter, AuditRecord, Chained, Event, Link, LinkCode, Outcome, RecordText, RequestFacts,
    TokenFacts,
};
use workspace_sts::domain::client_secret::SecretDigest;
use workspace_sts::domain::credential_method::{AllowedMethods, CredentialMethod};
use workspace_sts::domain::ids::{
    AuditRecordId, ChainId, ClientId, CredentialId, ObjectId, RoleAssignmentId, RoleDefinitionId, TenantId,
};
use workspace_sts::domain::lifetime::TokenLifetime;
use workspace_sts::domain::principal::{
    ClientSecret, FederatedCredential, KeyCredential, KeyNames, SecretSlot, ServicePrincipal,
};
use workspace_sts::domain::region::Region;
use workspace_sts::domain::resource::{Scope, WebserviceId, WorkspaceId};
use workspace_sts::domain::role::{ActionPattern, RoleAssignment, RoleDefinition};
use workspace_sts::domain::signing_key::{KeyLife, SigningAlgorithm, SigningKey};
use workspace_sts::domain::webservice::{AuthMode, ComputeType, Webservice};
use workspace_sts::domain::workspace::{Subscription, Tenant, Workspace};
use workspace_sts::entropy::time_ordered_uuid;
use workspace_sts::storage::{Change, Mutation, Page, Result, SealedPrivate, Store, StoredSigningKey};

/// All that there is of a list.
pub const WHOLE: Page<'static> = Page { after: "", limit: 1000 };

/// Some seconds after an instant with six different digits behind the full stop.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_767_323_045_678_901).expect("in range") + Duration::seconds(seconds)
}

pub fn region(name: &str) -> Region {
    Region::parse(name).expect("a lawful region")
}

pub fn scope(text: &str) -> Scope {
    Scope::parse(text).expect("a lawful scope")
}

pub fn tenant_id(n: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(n))
}

pub fn tenant(n: u128) -> Tenant {
    Tenant { id: tenant_id(n), display_name: format!("tenant {n}") }
}

pub fn subscription(id: &str, tenant: u128) -> Subscription {
    Subscription {
        id: id.to_owned(),
        tenant_id: tenant_id(tenant),
        display_name: format!("subscription {id}"),
    }
}

pub fn workspace_id(group: &str, name: &str) -> WorkspaceId {
    WorkspaceId::new("sub-1", group, name).expect("a lawful workspace id")
}

pub fn workspace(group: &str, name: &str) -> Workspace {
    Workspace {
        id: workspace_id(group, name),
        tenant_id: tenant_id(1),
        home_region: region("westeurope"),
        failover_regions: vec![region("northeurope"), region("eastus")],
        created_at: at(1),
        updated_at: at(2),
    }
}

pub fn webservice_id(workspace: &WorkspaceId, name: &str) -> WebserviceId {
    WebserviceId::new(workspace.clone(), name).expect("a lawful webservice id")
}

/// With a value in every field.
pub fn webservice(workspace: &WorkspaceId, name: &str) -> Webservice {
    let tags = [("team", "churn"), ("", "an empty name"), ("größe", "\"{}'")];
    Webservice {
        id: webservice_id(workspace, name),
        compute_type: ComputeType::Aks,
        auth_mode: AuthMode::Token,
        compute_region: region("northeurope"),
        scoring_uri: Some("https://gateway.example/score".to_owned()),
        token_lifetime: Some(TokenLifetime::from_seconds(900).expect("in range")),
        description: Some("Predicts churn.".to_owned()),
        tags: tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        created_at: at(3),
        updated_at: at(4),
    }
}

pub fn object_id(n: u128) -> ObjectId {
    ObjectId::from_uuid(Uuid::from_u128(0xa000 + n))
}

pub fn client_id(n: u128) -> ClientId {
    ClientId::from_uuid(Uuid::from_u128(0xc000 + n))
}

pub fn principal(n: u128, tenant: u128) -> ServicePrincipal {
    ServicePrincipal {
        object_id: object_id(n),
        client_id: client_id(n),
        tenant_id: tenant_id(tenant),
        display_name: format!("principal {n}"),
        enabled: true,
        allowed_methods: match n % 2 {
            0 => AllowedMethods::try_from(vec![CredentialMethod::FederatedCredential]).expect("one"),
            _ => AllowedMethods::ALL,
        },
        created_at: at(5),
    }
}

pub fn secret(n: u128, principal: u128, slot: SecretSlot) -> ClientSecret {
    ClientSecret {
        id: CredentialId::from_uuid(Uuid::from_u128(0x5000 + n)),
        object_id: object_id(principal),
        slot,
        display_name: Some(format!("secret {n}")),
        digest: SecretDigest([u8::try_from(n).expect("a small number"); 32]),
        hint: "wsts_abc".to_owned(),
        created_at: at(6),
        expires_at: at(7),
    }
}

/// With a value in every field.
pub fn key_credential(n: u128, principal: u128) -> KeyCredential {
    let byte = u8::try_from(n).expect("a small number");
    KeyCredential {
        id: CredentialId::from_uuid(Uuid::from_u128(0x6000 + n)),
        object_id: object_id(principal),
        display_name: Some(format!("certificate {n}")),
        public_jwk: format!("{{\"kty\":\"number {n}\"}}"),
        names: match n % 2 {
            0 => KeyNames::Bare { thumbprint: [byte; 32] },
            _ => KeyNames::Certificate { sha1: [byte; 20], sha256: [byte; 32] },
        },
        starts_at: at(8),
        expires_at: at(9),
    }
}

/// With a value in every field.
pub fn federated_credential(n: u128, principal: u128) -> FederatedCredential {
    let claims = [("ref", "refs/heads/main"), ("größe", "\"{}'")];
    FederatedCredential {
        id: CredentialId::from_uuid(Uuid::from_u128(0x7000 + n)),
        object_id: object_id(principal),
        name: format!("trust {n}"),
        issuer: format!("https://issuer-{n}.example"),
        subject: "repo:team/model:ref:refs/heads/main".to_owned(),
        audience: "api://WorkspaceSts".to_owned(),
        claims: claims.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

pub fn role_id(n: u128) -> RoleDefinitionId {
    RoleDefinitionId::from_uuid(Uuid::from_u128(0xb000 + n))
}

pub fn role(n: u128) -> RoleDefinition {
    let pattern = |text: &str| ActionPattern::parse(text).expect("a lawful pattern");
    RoleDefinition {
        id: role_id(n),
        name: format!("Role {n}"),
        description: "May do something.".to_owned(),
        actions: vec![pattern("*/read"), pattern("*/token/action")],
        not_actions: vec![pattern("Microsoft.Graph/*")],
        built_in: false,
    }
}

pub fn assignment(n: u128, principal: u128, role: u128, at: &Scope) -> RoleAssignment {
    RoleAssignment {
        id: RoleAssignmentId::from_uuid(Uuid::from_u128(0xe000 + n)),
        object_id: object_id(principal),
        role_id: role_id(role),
        scope: at.clone(),
    }
}

pub fn signing_key(kid: &str, generation: i64) -> StoredSigningKey {
    StoredSigningKey {
        key: SigningKey {
            kid: kid.to_owned(),
            region: region("westeurope"),
            generation,
            algorithm: SigningAlgorithm::Es256,
            life: KeyLife {
                published_at: at(10),
                sign_from: at(20),
                sign_until: at(30),
                remove_at: at(40),
                revoked_at: None,
            },
        },
        public_jwk: format!("{{\"kid\":\"{kid}\"}}"),
        private: Some(SealedPrivate { private: vec![0, 1, 0xff], data_key: vec![7; 60] }),
        kek_id: [1, 2, 3, 4, 5, 6, 7, 0],
    }
}

/// Number `n` at `at(n)`, with a value in every field.
pub fn record(n: i64) -> AuditRecord {
    let low = u128::try_from(n).expect("not negative");
    AuditRecord {
        id: AuditRecordId::from_uuid(time_ordered_uuid(at(n), &n.to_be_bytes())),
        occurred_at: at(n),
        event: Event::WebserviceToken,
        outcome: Outcome::Issued,
        reason: Some("because".into()),
        actor: Actor {
            object_id: Some(object_id(low)),
            client_id: Some(client_id(low)),
            tenant_id: Some(tenant_id(1)),
            credential_id: Some(CredentialId::from_uuid(Uuid::from_u128(0x5000 + low))),
            method: Some("client_secret".into()),
        },
        resource: Some(webservice_id(&workspace_id("rg-a", "ws-1"), "churn").text().into()),
        token: Some(TokenFacts {
            token_id: format!("token {n}").into(),
            kid: "kid-1".to_owned(),
            expires_at: at(n + 3600),
        }),
        detail: Some(format!("detail {n}")),
        request: RequestFacts {
            endpoint: "v2".into(),
            region: "westeurope".into(),
            address: Some([192, 0, 2, 1].into()),
            request_id: format!("request {n}").into(),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        },
        latency_micros: 1234,
    }
}

/// The record with a link of its own; no chain that would hold.
pub fn chained(record: &AuditRecord) -> Chained<RecordText> {
    let id = record.id.uuid();
    let number = i64::try_from(id.as_u128() >> 66).expect("62 bits");
    let mut code = [0xc0; 32];
    code[..16].copy_from_slice(id.as_bytes());
    let chain = ChainId::from_uuid(Uuid::from_u128(!id.as_u128()));
    let link = Link { chain, number, at: record.occurred_at, code: LinkCode(code) };
    Chained { record: text::write(record), link }
}

/// Appends as the recorder does.
pub async fn append(store: &Arc<dyn Store>, records: &[AuditRecord]) {
    let records: Vec<_> = records.iter().map(chained).collect();
    let records: Vec<_> = records.iter().map(Chained::as_ref).collect();
    store.append_audit(&records).await.unwrap();
}

/// Commits with records as the recorder does.
pub async fn commit(
    store: &Arc<dyn Store>,
    mutations: &[Mutation],
    records: &[AuditRecord],
) -> Result<Vec<Change>> {
    let records: Vec<_> = records.iter().map(chained).collect();
    let records: Vec<_> = records.iter().map(Chained::as_ref).collect();
    store.commit(mutations, &records).await
}

/// The whole audit, newest first.
pub async fn newest_first(store: &Arc<dyn Store>) -> Vec<Chained<AuditRecord>> {
    reading::newest(store.as_ref(), &AuditFilter::default(), usize::MAX).await.unwrap()
}

/// The same as it is read back.
pub fn read_back(record: &AuditRecord) -> Chained<AuditRecord> {
    Chained { record: record.clone(), link: chained(record).link }
}

/// Tenants 1 and 2, subscription `sub-1` of tenant 1, workspace `rg-a/ws-1` with webservice `churn`, principals 1 of
/// tenant 1 and 2 of tenant 2, and role 1.
pub fn world() -> Vec<Mutation> {
    vec![
        Mutation::PutTenant(tenant(1)),
        Mutation::PutTenant(tenant(2)),
        Mutation::PutSubscription(subscription("sub-1", 1)),
        Mutation::PutWorkspace(workspace("rg-a", "ws-1")),
        Mutation::PutWebservice(webservice(&workspace_id("rg-a", "ws-1"), "churn")),
        Mutation::PutPrincipal(principal(1, 1)),
        Mutation::PutPrincipal(principal(2, 2)),
        Mutation::PutRole(role(1)),
    ]
}

/// Commits without audit records.
pub async fn put(store: &Arc<dyn Store>, mutations: &[Mutation]) {
    store.commit(mutations, &[]).await.expect("a lawful change");
}

/// A store that holds [`world`].
pub async fn with_world(store: &Arc<dyn Store>) {
    put(store, &world()).await;
}
