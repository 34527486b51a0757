//! Certificates and federated credentials: read back, kept apart, and gone with their principal.

use std::sync::Arc;

use workspace_sts::domain::credential_method::{AllowedMethods, CredentialMethod};
use workspace_sts::domain::principal::{FederatedCredential, KeyCredential, KeyNames};
use workspace_sts::storage::{Change, Mutation, PrincipalUpdate, Store};

use super::refusals::refused;
use crate::samples::*;

fn add(key: &KeyCredential) -> Mutation {
    Mutation::AddKeyCredential(Box::new(key.clone()))
}

fn trust(credential: &FederatedCredential) -> Mutation {
    Mutation::PutFederatedCredential(credential.clone())
}

/// What principal `n` holds.
async fn held(store: &Arc<dyn Store>, n: u128) -> (Vec<KeyCredential>, Vec<FederatedCredential>) {
    let facts = store.principal_facts(client_id(n)).await.unwrap().expect("it is there");
    (facts.key_credentials, facts.federated_credentials)
}

pub async fn certificates_are_read_back_with_every_field_and_with_none(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (first, mut second, others) = (key_credential(1, 1), key_credential(2, 1), key_credential(3, 2));
    second.display_name = None;
    put(&store, &[add(&second), add(&others), add(&first)]).await;
    assert_eq!(held(&store, 1).await.0, [first.clone(), second.clone()], "in the order of their ids");
    assert_eq!(held(&store, 2).await.0, std::slice::from_ref(&others));
    assert_eq!(store.snapshot().await.unwrap().key_credentials, [first, second, others]);
}

pub async fn federated_credentials_are_read_back_and_replaced(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (mut first, mut second, others) =
        (federated_credential(1, 1), federated_credential(2, 1), federated_credential(3, 2));
    second.claims.clear();
    put(&store, &[trust(&second), trust(&others), trust(&first)]).await;
    assert_eq!(held(&store, 1).await.1, [first.clone(), second.clone()], "in the order of their names");
    let mut all = store.snapshot().await.unwrap().federated_credentials;
    all.sort_by_key(|credential| credential.id.to_string());
    assert_eq!(all, [first.clone(), second.clone(), others.clone()]);
    // Under its id every text may change; the others stay as they are.
    first.name = "zebra".to_owned();
    first.issuer = "https://another.example".to_owned();
    first.subject = "another subject".to_owned();
    first.audience = "another audience".to_owned();
    first.claims = [("größe".to_owned(), "\"{}'".to_owned())].into();
    put(&store, &[trust(&first)]).await;
    put(&store, &[trust(&first)]).await;
    assert_eq!(held(&store, 1).await.1, [second, first]);
    assert_eq!(held(&store, 2).await.1, [others]);
}

pub async fn a_second_certificate_of_one_thumbprint_is_refused(store: Arc<dyn Store>) {
    with_world(&store).await;
    let first = key_credential(1, 1);
    put(&store, &[add(&first)]).await;
    let mut again = key_credential(2, 1);
    again.names = first.names;
    refused(&store, add(&again), "certificate").await;
    // One id is one certificate, whoever's it is.
    let mut same_id = key_credential(3, 2);
    same_id.id = first.id;
    refused(&store, add(&same_id), "certificate").await;
    refused(&store, add(&key_credential(9, 9)), "certificate").await;
    assert_eq!(held(&store, 1).await.0, std::slice::from_ref(&first));
    // Two programs may share a certificate, and another one may have the same SHA-1.
    again.object_id = object_id(2);
    let mut same_sha1 = key_credential(3, 1);
    same_sha1.names = KeyNames::Certificate { sha1: [1; 20], sha256: [3; 32] };
    put(&store, &[add(&again), add(&same_sha1)]).await;
    assert_eq!(held(&store, 1).await.0, [first, same_sha1]);
    assert_eq!(held(&store, 2).await.0, [again]);
}

pub async fn a_federated_credential_of_a_name_or_match_in_use_is_refused(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (first, second) = (federated_credential(1, 1), federated_credential(2, 1));
    put(&store, &[trust(&first), trust(&second)]).await;
    let of_name = FederatedCredential { name: first.name.clone(), ..federated_credential(3, 1) };
    let of_match = FederatedCredential {
        id: federated_credential(3, 1).id,
        name: "new".to_owned(),
        claims: [].into(),
        ..first.clone()
    };
    for other in [&of_name, &of_match] {
        refused(&store, trust(other), "federated credential").await;
        // Nor may one that is there become so.
        let moved = FederatedCredential { id: second.id, ..other.clone() };
        refused(&store, trust(&moved), "federated credential").await;
        // Of another principal it is lawful.
        let elsewhere = FederatedCredential { object_id: object_id(2), ..other.clone() };
        put(&store, &[trust(&elsewhere), Mutation::RemoveFederatedCredential(object_id(2), other.id)]).await;
    }
    // One text of the three differs: another match.
    let near = [
        FederatedCredential { issuer: first.issuer.to_uppercase(), ..of_match.clone() },
        FederatedCredential { subject: format!("{} ", first.subject), ..of_match.clone() },
        FederatedCredential { audience: first.audience.to_uppercase(), ..of_match },
    ];
    for (n, near) in (10..).zip(near) {
        let id = federated_credential(n, 1).id;
        put(&store, &[trust(&FederatedCredential { id, name: format!("near {n}"), ..near })]).await;
    }
    refused(&store, trust(&federated_credential(9, 9)), "federated credential").await;
}

pub async fn a_federated_credential_stays_with_its_principal(store: Arc<dyn Store>) {
    with_world(&store).await;
    let first = federated_credential(1, 1);
    put(&store, &[trust(&first)]).await;
    let moved = FederatedCredential { object_id: object_id(2), ..first.clone() };
    refused(&store, trust(&moved), "federated credential").await;
    assert_eq!(held(&store, 1).await.1, [first]);
    assert_eq!(held(&store, 2).await.1, []);
}

pub async fn a_credential_is_removed_only_from_its_own_principal(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (key, credential) = (key_credential(1, 1), federated_credential(1, 1));
    put(&store, &[add(&key), trust(&credential)]).await;
    put(
        &store,
        &[
            Mutation::RemoveKeyCredential(object_id(2), key.id),
            Mutation::RemoveFederatedCredential(object_id(2), credential.id),
            // An id of one kind is none of the other kind.
            Mutation::RemoveKeyCredential(object_id(1), credential.id),
            Mutation::RemoveFederatedCredential(object_id(1), key.id),
            Mutation::RemoveSecret(object_id(1), key.id),
        ],
    )
    .await;
    assert_eq!(held(&store, 1).await, (vec![key.clone()], vec![credential.clone()]));
    let removals = [
        Mutation::RemoveKeyCredential(object_id(1), key.id),
        Mutation::RemoveFederatedCredential(object_id(1), credential.id),
    ];
    put(&store, &removals).await;
    assert_eq!(held(&store, 1).await, (vec![], vec![]));
    put(&store, &removals).await;
    // What was removed may come again.
    put(&store, &[add(&key), trust(&credential)]).await;
}

pub async fn a_deleted_principal_takes_its_credentials_along(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (key, credential) = (key_credential(2, 2), federated_credential(2, 2));
    put(
        &store,
        &[add(&key_credential(1, 1)), trust(&federated_credential(1, 1)), add(&key), trust(&credential)],
    )
    .await;
    let changes = store.commit(&[Mutation::DeletePrincipal(object_id(1))], &[]).await.unwrap();
    assert_eq!(changes, [Change::Principal(client_id(1))]);
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.key_credentials, [key]);
    assert_eq!(snapshot.federated_credentials, [credential]);
    // One of the same ids that comes later inherits nothing.
    put(&store, &[Mutation::PutPrincipal(principal(1, 1))]).await;
    assert_eq!(held(&store, 1).await, (vec![], vec![]));
}

pub async fn every_change_of_a_credential_names_its_principal(store: Arc<dyn Store>) {
    with_world(&store).await;
    for n in [1, 2] {
        let (key, credential) = (key_credential(n, n), federated_credential(n, n));
        let steps = [
            add(&key),
            trust(&credential),
            trust(&FederatedCredential { subject: "another".to_owned(), ..credential.clone() }),
            Mutation::RemoveKeyCredential(key.object_id, key.id),
            Mutation::RemoveFederatedCredential(credential.object_id, credential.id),
        ];
        for step in steps {
            let what = format!("{step:?}");
            let changes = store.commit(&[step], &[]).await.unwrap();
            assert_eq!(changes, [Change::Principal(client_id(n))], "{what}");
        }
    }
}

pub async fn times_of_certificates_survive(store: Arc<dyn Store>) {
    with_world(&store).await;
    // RFC 5280, section 4.1.2.5: from before 1970 to the last second of 9999.
    for (n, seconds) in (1..).zip([-1, 253_402_300_799]) {
        let mut key = key_credential(n, 1);
        key.starts_at = chrono::DateTime::from_timestamp(seconds, 0).expect("in range");
        key.expires_at = key.starts_at;
        put(&store, &[add(&key)]).await;
        assert!(held(&store, 1).await.0.contains(&key));
    }
}

pub async fn the_twenty_first_of_a_kind_is_refused(store: Arc<dyn Store>) {
    with_world(&store).await;
    for n in 1..=20 {
        put(&store, &[add(&key_credential(n, 1)), trust(&federated_credential(n, 1))]).await;
    }
    refused(&store, add(&key_credential(21, 1)), "20").await;
    refused(&store, trust(&federated_credential(21, 1)), "20").await;
    // One that is there may change, and another principal has its own twenty.
    put(
        &store,
        &[trust(&FederatedCredential { subject: "another".to_owned(), ..federated_credential(1, 1) })],
    )
    .await;
    put(&store, &[add(&key_credential(21, 2)), trust(&federated_credential(21, 2))]).await;
}

pub async fn a_principal_is_updated_in_parts(store: Arc<dyn Store>) {
    with_world(&store).await;
    let mut expected = principal(1, 1);
    let update = |update: PrincipalUpdate| Mutation::UpdatePrincipal(object_id(1), update);
    let only = AllowedMethods::try_from(vec![CredentialMethod::PrivateKeyJwt]).unwrap();
    for methods in [only, AllowedMethods::ALL, only] {
        put(&store, &[update(PrincipalUpdate { allowed_methods: Some(methods), ..Default::default() })])
            .await;
        expected.allowed_methods = methods;
        assert_eq!(store.principal_facts(client_id(1)).await.unwrap().unwrap().principal, expected);
    }
    let renamed = PrincipalUpdate { display_name: Some("new".to_owned()), ..Default::default() };
    put(&store, &[update(renamed)]).await;
    expected.display_name = "new".to_owned();
    put(&store, &[update(PrincipalUpdate { enabled: Some(false), ..Default::default() })]).await;
    expected.enabled = false;
    assert_eq!(store.principal_facts(client_id(1)).await.unwrap().unwrap().principal, expected);
    // Put whole, every part is as it is said.
    put(&store, &[Mutation::PutPrincipal(principal(1, 1))]).await;
    assert_eq!(store.principal_facts(client_id(1)).await.unwrap().unwrap().principal, principal(1, 1));
}
