//! Access keys: the first ones are kept, later ones take the place of the generation before.

use std::sync::Arc;

use workspace_sts::domain::access_key::{AccessKey, KeyName};
use workspace_sts::domain::client_secret::SecretDigest;
use workspace_sts::storage::{Change, Mutation, SealedPrivate, StorageError, Store, StoredAccessKey};

use crate::samples::*;

fn stored(name: KeyName, generation: i64, byte: u8) -> StoredAccessKey {
    StoredAccessKey {
        key: AccessKey {
            name,
            generation,
            digest: SecretDigest([byte; 32]),
            created_at: at(i64::from(byte)),
        },
        sealed: SealedPrivate { private: vec![byte; 60], data_key: vec![byte; 61] },
        kek_id: [byte; 8],
    }
}

fn key_put(name: KeyName, generation: i64, byte: u8) -> Mutation {
    let id = webservice_id(&workspace_id("rg-a", "ws-1"), "Churn");
    Mutation::PutAccessKey(id, Box::new(stored(name, generation, byte)))
}

fn key() -> String {
    webservice_id(&workspace_id("rg-a", "ws-1"), "churn").key()
}

pub async fn the_first_keys_are_kept(store: Arc<dyn Store>) {
    with_world(&store).await;
    assert_eq!(store.access_keys(&key()).await.unwrap(), []);
    put(&store, &[key_put(KeyName::Secondary, 1, 2), key_put(KeyName::Primary, 1, 1)]).await;
    put(&store, &[key_put(KeyName::Primary, 1, 9)]).await;
    let expected = [stored(KeyName::Primary, 1, 1), stored(KeyName::Secondary, 1, 2)];
    assert_eq!(store.access_keys(&key()).await.unwrap(), expected);
    let facts = store.webservice_facts(&key()).await.unwrap().expect("it is there");
    assert_eq!(facts.access_keys, expected.map(|stored| stored.key));
}

pub async fn a_generation_takes_the_place_of_the_one_before_only(store: Arc<dyn Store>) {
    with_world(&store).await;
    put(&store, &[key_put(KeyName::Primary, 1, 1), key_put(KeyName::Secondary, 1, 2)]).await;
    let changes = store.commit(&[key_put(KeyName::Primary, 2, 3)], &[]).await.unwrap();
    assert_eq!(changes, [Change::Webservice(key())]);
    for late in [key_put(KeyName::Primary, 2, 4), key_put(KeyName::Primary, 4, 4)] {
        let refused = store.commit(&[Mutation::PutTenant(tenant(7)), late], &[]).await;
        assert!(matches!(refused, Err(StorageError::Stale(_))), "{refused:?}");
    }
    let expected = [stored(KeyName::Primary, 2, 3), stored(KeyName::Secondary, 1, 2)];
    assert_eq!(store.access_keys(&key()).await.unwrap(), expected);
    assert!(!store.tenants().await.unwrap().contains(&tenant(7)), "a refused list leaves nothing");
}

pub async fn keys_go_with_their_webservice(store: Arc<dyn Store>) {
    with_world(&store).await;
    put(&store, &[key_put(KeyName::Primary, 1, 1)]).await;
    let id = webservice_id(&workspace_id("rg-a", "ws-1"), "churn");
    put(&store, &[Mutation::DeleteWebservice(id)]).await;
    assert_eq!(store.access_keys(&key()).await.unwrap(), []);
    let refused = store.commit(&[key_put(KeyName::Primary, 1, 1)], &[]).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "no keys without a webservice: {refused:?}");
}
