//! What a deletion takes along, and what it leaves.

use std::sync::Arc;

use workspace_sts::domain::principal::SecretSlot;
use workspace_sts::domain::resource::Scope;
use workspace_sts::domain::role::RoleAssignment;
use workspace_sts::storage::{Change, Mutation, Store};

use crate::samples::*;

pub async fn every_kind_can_be_deleted(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let (held, kept) = (assignment(1, 1, 1, &scope("/")), secret(1, 1, SecretSlot::First));
    put(&store, &[Mutation::PutAssignment(held.clone()), Mutation::AddSecret(kept.clone())]).await;
    put(
        &store,
        &[
            Mutation::DeleteAssignment(held.id),
            Mutation::RemoveSecret(kept.object_id, kept.id),
            Mutation::DeleteWebservice(webservice_id(&home, "CHURN")),
            Mutation::DeleteWorkspace(workspace_id("RG-A", "ws-1")),
            Mutation::DeletePrincipal(object_id(1)),
            Mutation::DeletePrincipal(object_id(2)),
            Mutation::DeleteRole(role_id(1)),
            Mutation::DeleteSubscription("SUB-1".to_owned()),
            Mutation::DeleteTenant(tenant_id(1)),
            Mutation::DeleteTenant(tenant_id(2)),
        ],
    )
    .await;
    let left = format!("{:?}", store.snapshot().await.unwrap());
    assert!(!left.contains('('), "something is left: {left}");
    assert_eq!(store.tenants().await.unwrap(), []);
    assert_eq!(store.roles().await.unwrap(), []);
}

pub async fn deleting_what_is_not_there_is_well(store: Arc<dyn Store>) {
    let home = workspace_id("rg-a", "ws-1");
    let nobody = secret(1, 1, SecretSlot::First);
    put(
        &store,
        &[
            Mutation::DeleteTenant(tenant_id(1)),
            Mutation::DeleteSubscription("sub-1".to_owned()),
            Mutation::DeleteSubscription("not a lawful id".to_owned()),
            Mutation::DeleteWorkspace(home.clone()),
            Mutation::DeleteWebservice(webservice_id(&home, "churn")),
            Mutation::DeletePrincipal(object_id(1)),
            Mutation::RemoveSecret(nobody.object_id, nobody.id),
            Mutation::DeleteRole(role_id(1)),
            Mutation::DeleteAssignment(assignment(1, 1, 1, &scope("/")).id),
            Mutation::DestroySigningKey("kid-1".to_owned()),
        ],
    )
    .await;
}

pub async fn a_secret_is_removed_only_from_its_own_principal(store: Arc<dyn Store>) {
    with_world(&store).await;
    let kept = secret(1, 1, SecretSlot::First);
    put(&store, &[Mutation::AddSecret(kept.clone())]).await;
    put(&store, &[Mutation::RemoveSecret(object_id(2), kept.id)]).await;
    let facts = store.principal_facts(client_id(1)).await.unwrap();
    assert_eq!(facts.expect("it is there").secrets, std::slice::from_ref(&kept));
    // The place is free again after a removal.
    put(
        &store,
        &[
            Mutation::RemoveSecret(object_id(1), kept.id),
            Mutation::AddSecret(secret(2, 1, SecretSlot::First)),
        ],
    )
    .await;
}

pub async fn a_deleted_principal_takes_its_secrets_and_assignments_along(store: Arc<dyn Store>) {
    with_world(&store).await;
    let (held, others) = (assignment(1, 1, 1, &scope("/")), assignment(2, 2, 1, &scope("/")));
    put(
        &store,
        &[
            Mutation::AddSecret(secret(1, 1, SecretSlot::First)),
            Mutation::AddSecret(secret(2, 2, SecretSlot::First)),
            Mutation::PutAssignment(held),
            Mutation::PutAssignment(others.clone()),
        ],
    )
    .await;
    let changes = store.commit(&[Mutation::DeletePrincipal(object_id(1))], &[]).await.unwrap();
    assert_eq!(changes, [Change::Principal(client_id(1))]);
    assert_eq!(store.principal_facts(client_id(1)).await.unwrap(), None);
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.assignments, std::slice::from_ref(&others));
    assert_eq!(snapshot.with_secret, [object_id(2)]);
    // One of the same ids that comes later inherits nothing.
    put(&store, &[Mutation::PutPrincipal(principal(1, 1))]).await;
    let facts = store.principal_facts(client_id(1)).await.unwrap().expect("it is there");
    assert!(facts.secrets.is_empty() && facts.assignments.is_empty());
}

/// Puts an assignment of role 1 at each scope, to principals 1 and 2 in turn.
async fn assign(store: &Arc<dyn Store>, scopes: &[Scope]) -> Vec<RoleAssignment> {
    let made: Vec<_> = (0..).zip(scopes).map(|(n, at)| assignment(n, 1 + n % 2, 1, at)).collect();
    let puts: Vec<_> = made.iter().cloned().map(Mutation::PutAssignment).collect();
    put(store, &puts).await;
    made
}

/// Makes the deletion and checks that just the assignments at the first `gone` scopes went, and who is told of it.
async fn takes_along(
    store: &Arc<dyn Store>,
    deletion: Mutation,
    scopes: &[Scope],
    gone: usize,
) -> Vec<Change> {
    let made = assign(store, scopes).await;
    let mut changes = store.commit(&[deletion], &[]).await.unwrap();
    for (n, found) in made.iter().enumerate() {
        let left = store.assignment(found.id).await.unwrap().is_some();
        assert_eq!(left, n >= gone, "assignment at {}", found.scope);
    }
    let told: Vec<_> = changes.extract_if(.., |change| matches!(change, Change::Principal(_))).collect();
    assert_eq!(told.len(), 2, "each principal once: {told:?}");
    assert!(
        told.contains(&Change::Principal(client_id(1))) && told.contains(&Change::Principal(client_id(2)))
    );
    changes
}

pub async fn a_deleted_workspace_takes_assignments_at_and_below_it_and_no_siblings(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let upper = workspace_id("RG-A", "WS-1");
    let scopes = [
        Scope::from(&home),
        Scope::from(&webservice_id(&home, "churn")),
        // The same place as the one before; they go to different principals.
        Scope::from(&webservice_id(&upper, "CHURN")),
        Scope::from(&webservice_id(&home, "zebra")),
        // From here on they stay: above, beside, and alike but for a character that sorts before or after `/`.
        scope("/"),
        scope("/subscriptions/sub-1"),
        scope("/subscriptions/sub-1/resourceGroups/rg-a"),
        scope("/subscriptions/sub-1/resourceGroups/rg-a2"),
        scope("/subscriptions/sub-1/resourceGroups/rg-a-"),
        scope("/subscriptions/sub-1/resourceGroups/rg-a.b"),
        Scope::from(&workspace_id("rg-a2", "ws-1")),
        Scope::from(&workspace_id("rg-a", "ws-11")),
        Scope::from(&workspace_id("rg-a", "ws-1-")),
        Scope::from(&workspace_id("rg-a", "ws-1_b")),
        Scope::from(&webservice_id(&workspace_id("rg-a", "ws-12"), "churn")),
    ];
    put(&store, &[Mutation::DeleteWebservice(webservice_id(&home, "churn"))]).await;
    let rest = takes_along(&store, Mutation::DeleteWorkspace(home.clone()), &scopes, 4).await;
    assert_eq!(rest, [Change::Workspace(home.key())]);
}

pub async fn a_deleted_webservice_takes_its_assignments_and_no_siblings(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let churn = webservice_id(&home, "churn");
    let scopes = [
        Scope::from(&churn),
        scope(&format!("{home}/services/Churn")),
        Scope::from(&home),
        Scope::from(&webservice_id(&home, "churn-2")),
        Scope::from(&webservice_id(&home, "churn2")),
        scope("/"),
    ];
    let rest = takes_along(&store, Mutation::DeleteWebservice(churn.clone()), &scopes, 2).await;
    assert_eq!(rest, [Change::Webservice(churn.key())]);
}

pub async fn a_deleted_subscription_takes_its_assignments_and_no_siblings(store: Arc<dyn Store>) {
    put(
        &store,
        &[
            Mutation::PutTenant(tenant(1)),
            Mutation::PutSubscription(subscription("sub-1", 1)),
            Mutation::PutPrincipal(principal(1, 1)),
            Mutation::PutPrincipal(principal(2, 1)),
            Mutation::PutRole(role(1)),
        ],
    )
    .await;
    let scopes = [
        scope("/subscriptions/SUB-1"),
        scope("/subscriptions/sub-1/resourceGroups/rg-a"),
        Scope::from(&workspace_id("rg-a", "ws-1")),
        scope("/"),
        scope("/subscriptions/sub-10"),
        scope("/subscriptions/sub-1-a"),
    ];
    let deletion = Mutation::DeleteSubscription("sub-1".to_owned());
    assert_eq!(takes_along(&store, deletion, &scopes, 3).await, [Change::Hierarchy]);
}
