//! What the database itself refuses, whatever the code above it forgets.

use std::sync::Arc;

use workspace_sts::domain::principal::{SecretSlot, ServicePrincipal};
use workspace_sts::domain::webservice::{AuthMode, ComputeType};
use workspace_sts::storage::{Mutation, StorageError, Store};

use crate::samples::*;

/// Commits one mutation, which must be refused as a conflict whose words name the subject.
pub async fn refused(store: &Arc<dyn Store>, mutation: Mutation, subject: &str) {
    let what = format!("{mutation:?}");
    let before = store.last_change().await.unwrap();
    match store.commit(&[mutation], &[]).await {
        Err(StorageError::Conflict(text)) => {
            assert!(text.contains(subject), "`{text}` does not name `{subject}`");
        }
        other => panic!("{what} gave {other:?}"),
    }
    assert_eq!(store.last_change().await.unwrap(), before, "a refusal changes nothing");
}

pub async fn a_missing_parent_is_a_conflict(store: Arc<dyn Store>) {
    let home = workspace_id("rg-a", "ws-1");
    let root = scope("/");
    let orphans = [
        (Mutation::PutSubscription(subscription("sub-1", 1)), "sub-1"),
        (Mutation::PutWorkspace(workspace("rg-a", "ws-1")), "ws-1"),
        (Mutation::PutWebservice(webservice(&home, "churn")), "churn"),
        (Mutation::PutPrincipal(principal(1, 1)), "principal"),
        (Mutation::AddSecret(secret(1, 1, SecretSlot::First)), "secret"),
        (Mutation::PutAssignment(assignment(1, 1, 1, &root)), "role assignment"),
    ];
    for (orphan, subject) in orphans {
        refused(&store, orphan, subject).await;
    }
    with_world(&store).await;
    let of_no_role = Mutation::PutAssignment(assignment(1, 1, 9, &root));
    refused(&store, of_no_role, "role assignment").await;
}

pub async fn what_is_in_use_can_not_be_deleted(store: Arc<dyn Store>) {
    with_world(&store).await;
    let held = assignment(1, 1, 1, &scope("/"));
    put(&store, &[Mutation::PutAssignment(held)]).await;
    let before = store.snapshot().await.unwrap();
    refused(&store, Mutation::DeleteTenant(tenant_id(1)), "tenant").await;
    refused(&store, Mutation::DeleteTenant(tenant_id(2)), "tenant").await;
    refused(&store, Mutation::DeleteSubscription("sub-1".to_owned()), "sub-1").await;
    refused(&store, Mutation::DeleteRole(role_id(1)), "role").await;
    let after = store.snapshot().await.unwrap();
    assert_eq!(after.tenants, before.tenants);
    assert_eq!(after.subscriptions, before.subscriptions);
    assert_eq!(after.roles, before.roles);
    assert_eq!(after.assignments, before.assignments);
}

pub async fn a_failing_last_mutation_leaves_no_trace(store: Arc<dyn Store>) {
    with_world(&store).await;
    let before = store.last_change().await.unwrap();
    let home = workspace_id("rg-a", "ws-1");
    let mut changed = webservice(&home, "churn");
    changed.auth_mode = AuthMode::None;
    let mutations = [
        Mutation::PutTenant(tenant(3)),
        Mutation::PutWebservice(changed),
        Mutation::PutAssignment(assignment(1, 1, 1, &scope("/"))),
        Mutation::AddSecret(secret(1, 1, SecretSlot::First)),
        Mutation::DeletePrincipal(object_id(2)),
        Mutation::CreateSigningKey(Box::new(signing_key("kid-1", 1))),
        Mutation::PutSubscription(subscription("sub-2", 99)),
    ];
    let outcome = commit(&store, &mutations, &[record(1), record(2)]).await;
    assert!(matches!(outcome, Err(StorageError::Conflict(_))), "{outcome:?}");
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.tenants, [tenant(1), tenant(2)]);
    assert_eq!(snapshot.webservices, [webservice(&home, "churn")]);
    assert_eq!(snapshot.assignments, []);
    assert_eq!(snapshot.with_secret, []);
    assert_eq!(snapshot.principals, [principal(1, 1), principal(2, 2)]);
    assert_eq!(store.signing_keys().await.unwrap(), []);
    assert_eq!(newest_first(&store).await, []);
    assert_eq!(store.changes_after(before).await.unwrap(), (before, vec![]));
    // The connection that was rolled back is as good as new.
    put(&store, &[Mutation::PutTenant(tenant(3))]).await;
}

/// Many of a kind are written by one statement, and the database does not say which of its rows is wrong.
pub async fn of_many_the_refused_one_is_named_and_none_is_written(store: Arc<dyn Store>) {
    with_world(&store).await;
    let root = scope("/");
    put(&store, &[Mutation::PutAssignment(assignment(100, 2, 1, &root))]).await;
    let before = (store.snapshot().await.unwrap(), store.last_change().await.unwrap());
    let all = 10..160;
    let principals = |wrong: ServicePrincipal| -> Vec<_> {
        let at = wrong.object_id;
        let put = |n| if object_id(n) == at { wrong.clone() } else { principal(n, 1) };
        all.clone().map(|n| Mutation::PutPrincipal(put(n))).collect()
    };
    let lawful = principals(principal(100, 1));
    let secrets = all.clone().map(|n| match n {
        100 => Mutation::AddSecret(secret(n, 99, SecretSlot::First)),
        _ => Mutation::AddSecret(secret(n, n, SecretSlot::First)),
    });
    let assignments = all.clone().map(|n| Mutation::PutAssignment(assignment(n, n, 1, &root)));
    let lists = [
        // A row that breaks a reference, one that is unique twice, and one over which a put would pass.
        (principals(principal(100, 9)), format!("principal {}", client_id(100))),
        (
            principals(ServicePrincipal { client_id: client_id(2), ..principal(100, 1) }),
            format!("principal {}", client_id(2)),
        ),
        ([lawful.clone(), secrets.collect()].concat(), format!("secret of principal {}", object_id(99))),
        (
            [lawful, assignments.collect()].concat(),
            format!("role assignment {}", assignment(100, 2, 1, &root).id),
        ),
    ];
    for (list, subject) in lists {
        match commit(&store, &list, &[record(1)]).await {
            Err(StorageError::Conflict(text)) => assert!(text.starts_with(&subject), "`{text}`: `{subject}`"),
            other => panic!("{subject}: {other:?}"),
        }
        let after = store.snapshot().await.unwrap();
        assert_eq!(after.principals, before.0.principals);
        assert_eq!(after.with_secret, before.0.with_secret);
        assert_eq!(after.assignments, before.0.assignments);
        assert_eq!(store.last_change().await.unwrap(), before.1);
        assert!(newest_first(&store).await.is_empty());
    }
}

pub async fn a_third_secret_is_refused(store: Arc<dyn Store>) {
    with_world(&store).await;
    put(
        &store,
        &[
            Mutation::AddSecret(secret(1, 1, SecretSlot::First)),
            Mutation::AddSecret(secret(2, 1, SecretSlot::Second)),
            Mutation::AddSecret(secret(3, 2, SecretSlot::First)),
        ],
    )
    .await;
    for slot in SecretSlot::ALL {
        refused(&store, Mutation::AddSecret(secret(4, 1, slot)), "secret").await;
    }
    // One id is one secret, whoever's it is.
    refused(&store, Mutation::AddSecret(secret(1, 2, SecretSlot::Second)), "secret").await;
    let facts = store.principal_facts(client_id(1)).await.unwrap().expect("it is there");
    assert_eq!(facts.secrets.len(), 2);
}

pub async fn two_principals_can_not_share_a_client_id(store: Arc<dyn Store>) {
    with_world(&store).await;
    let mut other = principal(3, 1);
    other.client_id = client_id(1);
    refused(&store, Mutation::PutPrincipal(other), "principal").await;
}

pub async fn a_principal_keeps_its_ids_and_its_tenant(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (mut moved, mut renumbered) = (principal(1, 1), principal(1, 1));
    moved.tenant_id = tenant_id(2);
    renumbered.client_id = client_id(9);
    refused(&store, Mutation::PutPrincipal(moved), "principal").await;
    refused(&store, Mutation::PutPrincipal(renumbered), "principal").await;
    let facts = store.principal_facts(client_id(1)).await.unwrap();
    assert_eq!(facts.expect("it is there").principal, principal(1, 1));
}

pub async fn a_subscription_keeps_its_tenant(store: Arc<dyn Store>) {
    with_world(&store).await;
    refused(&store, Mutation::PutSubscription(subscription("SUB-1", 2)), "subscription").await;
    assert_eq!(store.subscriptions().await.unwrap(), [subscription("sub-1", 1)]);
}

pub async fn an_assignment_id_is_not_given_to_another(store: Arc<dyn Store>) {
    with_world(&store).await;
    put(&store, &[Mutation::PutRole(role(2))]).await;
    let (root, below) = (scope("/"), scope("/subscriptions/sub-1"));
    let held = assignment(1, 1, 1, &root);
    put(&store, &[Mutation::PutAssignment(held.clone())]).await;
    for other in [assignment(1, 2, 1, &root), assignment(1, 1, 2, &root), assignment(1, 1, 1, &below)] {
        refused(&store, Mutation::PutAssignment(other), "role assignment").await;
    }
    assert_eq!(store.assignment(held.id).await.unwrap(), Some(held));
}

pub async fn the_same_assignment_under_another_id_is_refused(store: Arc<dyn Store>) {
    with_world(&store).await;
    let held = assignment(1, 1, 1, &scope("/subscriptions/sub-1"));
    put(&store, &[Mutation::PutAssignment(held)]).await;
    let again = assignment(2, 1, 1, &scope("/subscriptions/SUB-1"));
    refused(&store, Mutation::PutAssignment(again), "role assignment").await;
}

pub async fn aci_with_token_is_refused_by_the_schema(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    for name in ["churn", "another"] {
        let mut unlawful = webservice(&home, name);
        unlawful.compute_type = ComputeType::Aci;
        unlawful.auth_mode = AuthMode::Token;
        refused(&store, Mutation::PutWebservice(unlawful), name).await;
    }
    assert_eq!(store.webservices(&home.key(), WHOLE).await.unwrap(), [webservice(&home, "churn")]);
}

pub async fn role_names_are_unique_without_case(store: Arc<dyn Store>) {
    with_world(&store).await;
    let mut other = role(2);
    other.name = "ROLE 1".to_owned();
    refused(&store, Mutation::PutRole(other), "ROLE 1").await;
}

pub async fn a_workspace_with_webservices_can_not_be_deleted(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let held = assignment(1, 1, 1, &(&home).into());
    put(&store, &[Mutation::PutAssignment(held.clone())]).await;
    refused(&store, Mutation::DeleteWorkspace(home.clone()), "ws-1").await;
    assert_eq!(store.assignment(held.id).await.unwrap(), Some(held), "its assignments stay too");
    let churn = webservice_id(&home, "churn");
    put(&store, &[Mutation::DeleteWebservice(churn), Mutation::DeleteWorkspace(home.clone())]).await;
    assert_eq!(store.workspace(&home.key()).await.unwrap(), None);
}

pub async fn a_kid_and_a_generation_are_unique(store: Arc<dyn Store>) {
    let create = |kid, generation| Mutation::CreateSigningKey(Box::new(signing_key(kid, generation)));
    put(&store, &[create("kid-1", 1)]).await;
    refused(&store, create("kid-2", 1), "signing key 1 of region westeurope").await;
    refused(&store, create("kid-1", 2), "signing key 2 of region westeurope").await;
    refused(&store, create("kid-0", 0), "signing key 0").await;
    let mut elsewhere = signing_key("kid-3", 1);
    elsewhere.key.region = region("eastus");
    put(&store, &[Mutation::CreateSigningKey(Box::new(elsewhere))]).await;
}

pub async fn of_two_first_regions_one_founds_the_deployment(store: Arc<dyn Store>) {
    let first = |kid, name| {
        let mut key = signing_key(kid, 1);
        key.key.region = region(name);
        [Mutation::ExpectNoSigningKeys, Mutation::CreateSigningKey(Box::new(key))]
    };
    store.commit(&first("kid-1", "west"), &[]).await.unwrap();
    let error = store.commit(&first("kid-2", "north"), &[]).await.unwrap_err();
    assert!(matches!(error, StorageError::Stale(_)), "{error}");
    assert_eq!(store.signing_keys().await.unwrap().len(), 1);
}

pub async fn a_key_life_out_of_order_is_refused(store: Arc<dyn Store>) {
    let mut backwards = signing_key("kid-1", 1);
    backwards.key.life.remove_at = backwards.key.life.sign_until;
    refused(&store, Mutation::CreateSigningKey(Box::new(backwards)), "signing key").await;
}
