//! What is put is read back as it was, can be put again, and changes when it is put otherwise.

use std::sync::Arc;

use chrono::{DateTime, Duration};
use workspace_sts::domain::principal::{SecretSlot, ServicePrincipal};
use workspace_sts::domain::signing_key::{KeyLife, SigningAlgorithm};
use workspace_sts::domain::webservice::{AuthMode, ComputeType};
use workspace_sts::domain::workspace::Tenant;
use workspace_sts::storage::{Change, Mutation, Store, StoredSigningKey};

use crate::samples::*;

pub async fn tenants_are_read_back(store: Arc<dyn Store>) {
    let renamed = Tenant { display_name: "another name".to_owned(), ..tenant(1) };
    put(&store, &[Mutation::PutTenant(tenant(2)), Mutation::PutTenant(tenant(1))]).await;
    assert_eq!(store.tenants().await.unwrap(), [tenant(1), tenant(2)]);
    put(&store, &[Mutation::PutTenant(renamed.clone())]).await;
    put(&store, &[Mutation::PutTenant(renamed.clone())]).await;
    assert_eq!(store.tenants().await.unwrap(), [renamed, tenant(2)]);
}

pub async fn subscriptions_are_read_back_and_compared_without_case(store: Arc<dyn Store>) {
    let mut put_again = subscription("SUB-a", 1);
    put(&store, &[Mutation::PutTenant(tenant(1)), Mutation::PutSubscription(subscription("sub-A", 1))]).await;
    put_again.display_name = "another name".to_owned();
    put(&store, &[Mutation::PutSubscription(put_again.clone())]).await;
    put_again.id = "sub-A".to_owned();
    assert_eq!(store.subscriptions().await.unwrap(), [put_again], "the first spelling stays");
}

pub async fn a_workspace_is_read_back_and_replaced(store: Arc<dyn Store>) {
    with_world(&store).await;
    let mut expected = workspace("rg-a", "ws-1");
    let key = expected.id.key();
    assert_eq!(store.workspace(&key).await.unwrap(), Some(expected.clone()));
    expected.home_region = region("eastus");
    expected.failover_regions.clear();
    expected.updated_at = at(99);
    let mut put_again = expected.clone();
    put_again.id = workspace_id("RG-A", "WS-1");
    put_again.created_at = at(98);
    put(&store, &[Mutation::PutWorkspace(put_again.clone())]).await;
    put(&store, &[Mutation::PutWorkspace(put_again)]).await;
    assert_eq!(store.workspace(&key).await.unwrap(), Some(expected), "spelling and creation stay");
}

pub async fn a_webservice_is_read_back_with_every_field_and_with_none(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (home, full) = (workspace_id("rg-a", "ws-1"), webservice(&workspace_id("rg-a", "ws-1"), "full"));
    let mut bare = webservice(&home, "bare");
    bare.scoring_uri = None;
    bare.token_lifetime = None;
    bare.description = None;
    bare.tags.clear();
    for wanted in [&full, &bare] {
        put(&store, &[Mutation::PutWebservice(wanted.clone())]).await;
        let facts = store.webservice_facts(&wanted.id.key()).await.unwrap().expect("it is there");
        assert_eq!(facts.webservice, *wanted);
        assert_eq!(facts.workspace, workspace("rg-a", "ws-1"));
    }
    let modes = [
        (ComputeType::Aks, AuthMode::Key),
        (ComputeType::Aks, AuthMode::Token),
        (ComputeType::Aci, AuthMode::Key),
        (ComputeType::Aci, AuthMode::None),
        (ComputeType::Kubernetes, AuthMode::Token),
    ];
    for (compute_type, auth_mode) in modes {
        bare.compute_type = compute_type;
        bare.auth_mode = auth_mode;
        put(&store, &[Mutation::PutWebservice(bare.clone())]).await;
        let facts = store.webservice_facts(&bare.id.key()).await.unwrap().expect("it is there");
        assert_eq!(facts.webservice, bare);
    }
}

pub async fn a_webservice_keeps_its_first_spelling_and_creation(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let mut put_again = webservice(&workspace_id("RG-a", "Ws-1"), "CHURN");
    put_again.auth_mode = AuthMode::None;
    put_again.tags.clear();
    put_again.description = None;
    put_again.created_at = at(98);
    put_again.updated_at = at(99);
    put(&store, &[Mutation::PutWebservice(put_again.clone())]).await;
    put_again.id = webservice_id(&home, "churn");
    put_again.created_at = webservice(&home, "churn").created_at;
    assert_eq!(store.webservices(&home.key(), WHOLE).await.unwrap(), [put_again]);
}

pub async fn a_principal_is_read_back_with_its_secrets_and_assignments(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (first, mut second) = (secret(1, 1, SecretSlot::First), secret(2, 1, SecretSlot::Second));
    second.display_name = None;
    let held = assignment(1, 1, 1, &scope("/subscriptions/Sub-1"));
    put(
        &store,
        &[
            Mutation::AddSecret(second.clone()),
            Mutation::AddSecret(first.clone()),
            Mutation::PutAssignment(held.clone()),
        ],
    )
    .await;
    let mut changed = principal(1, 1);
    changed.enabled = false;
    changed.display_name = "another name".to_owned();
    put(&store, &[Mutation::PutPrincipal(changed.clone())]).await;
    put(&store, &[Mutation::PutPrincipal(changed.clone())]).await;
    let facts = store.principal_facts(client_id(1)).await.unwrap().expect("it is there");
    assert_eq!(facts.principal, changed);
    assert_eq!(facts.secrets, [first, second], "in the order of their places");
    assert_eq!(facts.assignments, [held]);
    assert_eq!(facts.assignments[0].scope.to_string(), "/subscriptions/Sub-1");
    assert_eq!(store.client_of(object_id(1)).await.unwrap(), Some(client_id(1)));
}

pub async fn roles_are_read_back_and_replaced(store: Arc<dyn Store>) {
    let (mut changed, other) = (role(1), role(2));
    put(&store, &[Mutation::PutRole(other.clone()), Mutation::PutRole(role(1))]).await;
    assert_eq!(store.roles().await.unwrap(), [role(1), other.clone()]);
    changed.name = "A new name".to_owned();
    changed.description = String::new();
    changed.actions.pop();
    changed.not_actions.clear();
    changed.built_in = true;
    put(&store, &[Mutation::PutRole(changed.clone())]).await;
    put(&store, &[Mutation::PutRole(changed.clone())]).await;
    assert_eq!(store.roles().await.unwrap(), [changed, other]);
}

pub async fn an_assignment_is_read_back_and_put_twice(store: Arc<dyn Store>) {
    with_world(&store).await;
    let held = assignment(1, 1, 1, &scope("/subscriptions/sub-1/resourceGroups/Rg-A"));
    put(&store, &[Mutation::PutAssignment(held.clone())]).await;
    put(&store, &[Mutation::PutAssignment(held.clone())]).await;
    let found = store.assignment(held.id).await.unwrap().expect("it is there");
    assert_eq!(found, held);
    assert_eq!(found.scope.to_string(), held.scope.to_string());
    assert_eq!(store.assignments(&scope("/")).await.unwrap(), [held]);
}

pub async fn a_signing_key_is_read_back_and_destroyed(store: Arc<dyn Store>) {
    let (first, mut second) = (signing_key("kid-1", 1), signing_key("kid-2", 2));
    second.key.algorithm = SigningAlgorithm::EdDsa;
    let create = |key: &StoredSigningKey| Mutation::CreateSigningKey(Box::new(key.clone()));
    put(&store, &[create(&second), create(&first)]).await;
    assert_eq!(store.signing_keys().await.unwrap(), [first.clone(), second.clone()]);
    put(&store, &[Mutation::DestroySigningKey("kid-1".to_owned())]).await;
    put(&store, &[Mutation::DestroySigningKey("kid-1".to_owned())]).await;
    let destroyed = StoredSigningKey { private: None, ..first };
    assert_eq!(store.signing_keys().await.unwrap(), [destroyed, second]);
}

pub async fn a_key_that_was_revoked_before_it_was_stored_stays_revoked(store: Arc<dyn Store>) {
    let mut key = signing_key("kid-1", 1);
    key.key.life.revoked_at = Some(at(25));
    put(&store, &[Mutation::CreateSigningKey(Box::new(key.clone()))]).await;
    assert_eq!(store.signing_keys().await.unwrap(), [key]);
}

pub async fn a_key_is_amended_by_whoever_knows_its_life(store: Arc<dyn Store>) {
    let (first, second) = (signing_key("kid-1", 1), signing_key("kid-2", 2));
    for key in [&first, &second] {
        put(&store, &[Mutation::CreateSigningKey(Box::new(key.clone()))]).await;
    }
    let from = first.key.life;
    let to = KeyLife { sign_from: at(15), sign_until: at(25), revoked_at: Some(at(24)), ..from };
    let amend = |from, to| Mutation::AmendSigningKey { kid: "kid-1".to_owned(), from, to };
    put(&store, &[amend(from, to)]).await;
    let mut amended = first;
    amended.key.life = to;
    assert_eq!(store.signing_keys().await.unwrap(), [amended.clone(), second.clone()]);
    // Decided on what is no longer so: nothing of the list is written.
    for stale in [from, KeyLife { revoked_at: None, ..to }, KeyLife { sign_until: at(26), ..to }] {
        let destroy = Mutation::DestroySigningKey("kid-2".to_owned());
        let error = store.commit(&[destroy, amend(stale, from)], &[]).await.unwrap_err();
        assert!(matches!(error, workspace_sts::storage::StorageError::Stale(_)), "{error}");
    }
    assert_eq!(store.signing_keys().await.unwrap(), [amended, second]);
}

pub async fn a_snapshot_holds_everything(store: Arc<dyn Store>) {
    with_world(&store).await;
    let held = assignment(1, 1, 1, &scope("/"));
    put(
        &store,
        &[
            Mutation::AddSecret(secret(1, 2, SecretSlot::First)),
            Mutation::AddSecret(secret(2, 2, SecretSlot::Second)),
            Mutation::PutAssignment(held.clone()),
        ],
    )
    .await;
    let snapshot = store.snapshot().await.unwrap();
    let home = workspace_id("rg-a", "ws-1");
    assert_eq!(snapshot.tenants, [tenant(1), tenant(2)]);
    assert_eq!(snapshot.subscriptions, [subscription("sub-1", 1)]);
    assert_eq!(snapshot.workspaces, [workspace("rg-a", "ws-1")]);
    assert_eq!(snapshot.webservices, [webservice(&home, "churn")]);
    assert_eq!(snapshot.principals, [principal(1, 1), principal(2, 2)]);
    assert_eq!(snapshot.with_secret, [object_id(2)], "named once, with two secrets");
    assert_eq!(snapshot.roles, [role(1)]);
    assert_eq!(snapshot.assignments, [held]);
}

pub async fn absence_is_none(store: Arc<dyn Store>) {
    let home = workspace_id("rg-a", "ws-1");
    let nowhere = assignment(1, 1, 1, &scope("/"));
    assert_eq!(store.principal_facts(client_id(1)).await.unwrap(), None);
    assert_eq!(store.webservice_facts(&webservice_id(&home, "churn").key()).await.unwrap(), None);
    assert_eq!(store.workspace(&home.key()).await.unwrap(), None);
    assert_eq!(store.client_of(object_id(1)).await.unwrap(), None);
    assert_eq!(store.assignment(nowhere.id).await.unwrap(), None);
    assert_eq!(store.webservices(&home.key(), WHOLE).await.unwrap(), []);
    assert_eq!(store.workspaces("/", WHOLE).await.unwrap(), []);
    assert_eq!(store.principals(tenant_id(1), WHOLE).await.unwrap(), []);
    assert_eq!(store.signing_keys().await.unwrap(), []);
    assert_eq!(store.regions().await.unwrap(), []);
    assert_eq!(store.last_change().await.unwrap(), 0);
}

pub async fn times_survive_to_the_microsecond(store: Arc<dyn Store>) {
    with_world(&store).await;
    // The last microsecond of a second, one before 1970, and the far future.
    let times = [1_767_323_045_999_999, -1, 253_402_300_799_999_999];
    for (n, micros) in (1..).zip(times) {
        let instant = DateTime::from_timestamp_micros(micros).expect("in range");
        let mut home = workspace("rg-times", &format!("ws-{n}"));
        (home.created_at, home.updated_at) = (instant, instant);
        let mut caller = principal(10 + n, 1);
        caller.created_at = instant;
        let mut credential = secret(n, 10 + n, SecretSlot::First);
        (credential.created_at, credential.expires_at) = (instant, instant);
        let mut model = webservice(&home.id, "churn");
        (model.created_at, model.updated_at) = (instant, instant);
        let generation = i64::try_from(n).expect("a small number");
        let mut key = signing_key(&format!("kid-{n}"), generation);
        let tick = Duration::microseconds(1);
        key.key.life = KeyLife {
            published_at: instant - tick * 3,
            sign_from: instant - tick * 2,
            sign_until: instant - tick,
            remove_at: instant,
            revoked_at: Some(instant),
        };
        put(
            &store,
            &[
                Mutation::PutWorkspace(home.clone()),
                Mutation::PutWebservice(model.clone()),
                Mutation::PutPrincipal(caller.clone()),
                Mutation::AddSecret(credential.clone()),
                Mutation::CreateSigningKey(Box::new(key.clone())),
            ],
        )
        .await;
        let facts = store.webservice_facts(&model.id.key()).await.unwrap().expect("it is there");
        assert_eq!((facts.workspace, facts.webservice), (home, model));
        let facts = store.principal_facts(caller.client_id).await.unwrap().expect("it is there");
        assert_eq!((facts.principal, facts.secrets), (caller, vec![credential]));
        assert!(store.signing_keys().await.unwrap().contains(&key));
    }
}

pub async fn texts_survive_as_they_are(store: Arc<dyn Store>) {
    let awkward = "'; DROP TABLE tenants; -- \"%_\\ \u{1F512} \u{10FFFF} é e\u{301}\n\t";
    for text in ["", " ", awkward] {
        let mut named = tenant(1);
        named.display_name = text.to_owned();
        put(&store, &[Mutation::PutTenant(named.clone())]).await;
        assert_eq!(store.tenants().await.unwrap(), [named]);
    }
}

/// As many as several statements take.
pub async fn many_of_a_kind_are_read_back(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (home, root) = (workspace_id("rg-a", "ws-1"), scope("/"));
    let all = || 10..160;
    let webservices: Vec<_> = all().map(|n| webservice(&home, &format!("many-{n:03}"))).collect();
    let principals: Vec<_> = all().map(|n| principal(n, 1)).collect();
    let assignments: Vec<_> = all().map(|n| assignment(n, n, 1, &root)).collect();
    let mut list: Vec<_> = webservices.iter().cloned().map(Mutation::PutWebservice).collect();
    list.extend(principals.iter().cloned().map(Mutation::PutPrincipal));
    list.extend(assignments.iter().cloned().map(Mutation::PutAssignment));
    list.extend(all().map(|n| Mutation::AddSecret(secret(n, n, SecretSlot::First))));
    let changes = store.commit(&list, &[]).await.unwrap();
    assert_eq!(changes.len(), list.len());
    let of_one = |change: &Change| changes.iter().filter(|found| *found == change).count();
    for (n, webservice) in all().zip(&webservices) {
        assert_eq!(of_one(&Change::Principal(client_id(n))), 3);
        assert_eq!(of_one(&Change::Webservice(webservice.id.key())), 1);
        let facts = store.principal_facts(client_id(n)).await.unwrap().unwrap();
        assert_eq!(facts.principal, principal(n, 1));
        assert_eq!(facts.secrets, [secret(n, n, SecretSlot::First)]);
        assert_eq!(facts.assignments, [assignment(n, n, 1, &root)]);
        let facts = store.webservice_facts(&webservice.id.key()).await.unwrap().unwrap();
        assert_eq!(facts.webservice, *webservice);
    }
    // Put again, each keeps what can't change.
    store.commit(&list[..450], &[]).await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().principals.len(), 152);
}

pub async fn of_two_puts_of_one_thing_the_later_stays(store: Arc<dyn Store>) {
    with_world(&store).await;
    let named = |name: &str| {
        Mutation::PutPrincipal(ServicePrincipal { display_name: name.to_owned(), ..principal(1, 1) })
    };
    put(&store, &[named("earlier"), named("later")]).await;
    let facts = store.principal_facts(client_id(1)).await.unwrap().unwrap();
    assert_eq!(facts.principal.display_name, "later");
}
