//! Which KEK seals what, and data keys that move to another one: from exactly the row that was read, or not at all.

use std::sync::Arc;

use workspace_sts::domain::access_key::{AccessKey, KeyName};
use workspace_sts::domain::client_secret::SecretDigest;
use workspace_sts::storage::{
    Change, KekUse, Mutation, Rewrap, SealedPrivate, StorageError, Store, StoredAccessKey,
};

use crate::samples::*;

const OLD: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 0];
const NEW: [u8; 8] = [9; 8];

fn to_new(old_data_key: &[u8]) -> Rewrap {
    Rewrap { old_kek_id: OLD, old_data_key: old_data_key.to_vec(), kek_id: NEW, data_key: vec![8; 60] }
}

fn access_key(name: KeyName, generation: i64, kek_id: [u8; 8]) -> StoredAccessKey {
    let byte = u8::try_from(generation).unwrap() * 2 + u8::from(name == KeyName::Primary);
    StoredAccessKey {
        key: AccessKey { name, generation, digest: SecretDigest([byte; 32]), created_at: at(1) },
        sealed: SealedPrivate { private: vec![byte; 60], data_key: vec![byte; 61] },
        kek_id,
    }
}

pub async fn a_signing_key_is_rewrapped_once_and_replicas_hear_of_it(store: Arc<dyn Store>) {
    let key = signing_key("kid-1", 1);
    put(&store, &[Mutation::CreateSigningKey(Box::new(key.clone()))]).await;
    let data_key = key.private.clone().unwrap().data_key;
    let rewrap = |rewrap| [Mutation::RewrapSigningKey("kid-1".to_owned(), rewrap)];
    // Another KEK than was read, another data key, another row.
    let other_kek = Rewrap { old_kek_id: NEW, ..to_new(&data_key) };
    let other_row = [Mutation::RewrapSigningKey("kid-2".to_owned(), to_new(&data_key))];
    for late in [rewrap(other_kek), rewrap(to_new(&[7; 59])), other_row] {
        let refused = store.commit(&late, &[]).await;
        assert!(matches!(refused, Err(StorageError::Stale(_))), "{refused:?}");
    }
    assert_eq!(store.signing_keys().await.unwrap(), std::slice::from_ref(&key));
    let changes = store.commit(&rewrap(to_new(&data_key)), &[]).await.unwrap();
    assert_eq!(changes, [Change::SigningKeys]);
    let again = store.commit(&rewrap(to_new(&data_key)), &[]).await;
    assert!(matches!(again, Err(StorageError::Stale(_))), "{again:?}");
    let mut expected = key;
    expected.kek_id = NEW;
    expected.private.as_mut().unwrap().data_key = vec![8; 60];
    assert_eq!(store.signing_keys().await.unwrap(), [expected], "nothing else of the row changes");
    put(&store, &[Mutation::DestroySigningKey("kid-1".to_owned())]).await;
    let gone = Rewrap { old_kek_id: NEW, ..to_new(&[8; 60]) };
    let refused = store.commit(&rewrap(gone), &[]).await;
    assert!(matches!(refused, Err(StorageError::Stale(_))), "a destroyed key stays destroyed: {refused:?}");
}

pub async fn an_access_key_that_was_regenerated_meanwhile_is_not_rewrapped(store: Arc<dyn Store>) {
    with_world(&store).await;
    let id = webservice_id(&workspace_id("rg-a", "ws-1"), "churn");
    let [first, second] = [1, 2].map(|generation| access_key(KeyName::Primary, generation, OLD));
    let kept = access_key(KeyName::Secondary, 1, OLD);
    let put_key = |key: &StoredAccessKey| Mutation::PutAccessKey(id.clone(), Box::new(key.clone()));
    put(&store, &[put_key(&first), put_key(&kept)]).await;
    let rewrap =
        |name, row: &StoredAccessKey| Mutation::RewrapAccessKey(id.key(), name, to_new(&row.sealed.data_key));
    put(&store, &[put_key(&second)]).await;
    // The whole list is refused, so that its record does not count what was not done.
    let late = [rewrap(KeyName::Secondary, &kept), rewrap(KeyName::Primary, &first)];
    let refused =
        store.commit(&late, &[record(1)].each_ref().map(chained).each_ref().map(|it| it.as_ref())).await;
    assert!(matches!(refused, Err(StorageError::Stale(_))), "{refused:?}");
    assert_eq!(store.access_keys(&id.key()).await.unwrap(), [second.clone(), kept.clone()]);
    assert!(newest_first(&store).await.is_empty());
    let changes = store.commit(&[rewrap(KeyName::Primary, &second)], &[]).await.unwrap();
    assert_eq!(changes, [], "no memory holds a sealed value");
    let mut expected = second;
    (expected.kek_id, expected.sealed.data_key) = (NEW, vec![8; 60]);
    assert_eq!(store.access_keys(&id.key()).await.unwrap(), [expected, kept]);
}

pub async fn uses_of_keks_are_counted_and_destroyed_keys_are_none(store: Arc<dyn Store>) {
    assert_eq!(store.kek_uses().await.unwrap(), []);
    with_world(&store).await;
    let id = webservice_id(&workspace_id("rg-a", "ws-1"), "churn");
    put(
        &store,
        &[
            Mutation::CreateSigningKey(Box::new(signing_key("kid-1", 1))),
            Mutation::CreateSigningKey(Box::new(signing_key("kid-2", 2))),
            Mutation::DestroySigningKey("kid-1".to_owned()),
            Mutation::PutAccessKey(id.clone(), Box::new(access_key(KeyName::Primary, 1, OLD))),
            Mutation::PutAccessKey(id, Box::new(access_key(KeyName::Secondary, 1, NEW))),
        ],
    )
    .await;
    let expected = [
        KekUse { kek_id: OLD, signing_keys: 1, access_keys: 1 },
        KekUse { kek_id: NEW, signing_keys: 0, access_keys: 1 },
    ];
    assert_eq!(store.kek_uses().await.unwrap(), expected);
}

pub async fn access_keys_under_a_kek_come_in_pages(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let mut expected = Vec::new();
    // `bbb-c` and `bbb` would change places if keys were compared by words.
    for name in ["aaa", "bbb", "bbb-c", "ccc"] {
        let id = webservice_id(&home, name);
        put(&store, &[Mutation::PutWebservice(webservice(&home, name))]).await;
        for key_name in KeyName::ALL {
            let kek_id = if name == "bbb" && key_name == KeyName::Primary { NEW } else { OLD };
            let key = access_key(key_name, 1, kek_id);
            put(&store, &[Mutation::PutAccessKey(id.clone(), Box::new(key.clone()))]).await;
            if kek_id == OLD {
                expected.push((id.key(), key));
            }
        }
    }
    expected.sort_by(|(one, a), (other, b)| (one, a.key.name.as_str()).cmp(&(other, b.key.name.as_str())));
    for limit in [1, 2, 3, 100] {
        let (mut found, mut webservice, mut name) = (Vec::new(), String::new(), "");
        loop {
            let page = store.access_keys_under(OLD, (&webservice, name), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some((key, row)) = page.last().cloned() else { break };
            (webservice, name) = (key, row.key.name.as_str());
            found.extend(page);
        }
        assert_eq!(found, expected, "{limit} a page");
    }
}
