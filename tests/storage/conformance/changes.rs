//! The change log: what every write makes stale, in the order of the writes.

use std::sync::Arc;

use workspace_sts::domain::principal::SecretSlot;
use workspace_sts::storage::{Change, Mutation, Store};

use crate::samples::*;

pub async fn every_mutation_logs_what_it_makes_stale(store: Arc<dyn Store>) {
    let home = workspace_id("rg-a", "ws-1");
    let churn = webservice_id(&home, "churn");
    let (held, kept) = (assignment(1, 1, 1, &scope("/")), secret(1, 1, SecretSlot::First));
    let (hierarchy, caller) = (Change::Hierarchy, Change::Principal(client_id(1)));
    let of_workspace = Change::Workspace(home.key());
    let of_webservice = Change::Webservice(churn.key());
    let steps = [
        (Mutation::PutTenant(tenant(1)), hierarchy.clone()),
        (Mutation::PutSubscription(subscription("sub-1", 1)), hierarchy.clone()),
        (Mutation::PutWorkspace(workspace("RG-a", "WS-1")), of_workspace.clone()),
        (Mutation::PutWebservice(webservice(&home, "Churn")), of_webservice.clone()),
        (Mutation::PutPrincipal(principal(1, 1)), caller.clone()),
        (Mutation::AddSecret(kept.clone()), caller.clone()),
        (Mutation::PutRole(role(1)), Change::Roles),
        (Mutation::PutAssignment(held.clone()), caller.clone()),
        (Mutation::CreateSigningKey(Box::new(signing_key("kid-1", 1))), Change::SigningKeys),
        (Mutation::DestroySigningKey("kid-1".to_owned()), Change::SigningKeys),
        (Mutation::DeleteAssignment(held.id), caller.clone()),
        (Mutation::DeleteRole(role_id(1)), Change::Roles),
        (Mutation::RemoveSecret(kept.object_id, kept.id), caller.clone()),
        (Mutation::DeletePrincipal(object_id(1)), caller),
        (Mutation::DeleteWebservice(churn), of_webservice),
        (Mutation::DeleteWorkspace(home), of_workspace),
        (Mutation::DeleteSubscription("sub-1".to_owned()), hierarchy.clone()),
        (Mutation::DeleteTenant(tenant_id(1)), hierarchy),
    ];
    let mut expected = Vec::new();
    for (mutation, change) in steps {
        let what = format!("{mutation:?}");
        let changes = store.commit(&[mutation], &[]).await.unwrap();
        assert_eq!(changes, std::slice::from_ref(&change), "{what}");
        expected.push(change);
    }
    let (_, all) = store.changes_after(0).await.unwrap();
    assert_eq!(all, expected);
}

pub async fn changes_are_read_in_order_and_from_anywhere(store: Arc<dyn Store>) {
    with_world(&store).await;
    let middle = store.last_change().await.unwrap();
    let mutations = [
        Mutation::PutPrincipal(principal(2, 2)),
        Mutation::PutRole(role(1)),
        Mutation::PutPrincipal(principal(1, 1)),
        Mutation::PutPrincipal(principal(2, 2)),
    ];
    let expected = [
        Change::Principal(client_id(2)),
        Change::Roles,
        Change::Principal(client_id(1)),
        Change::Principal(client_id(2)),
    ];
    let returned = store.commit(&mutations, &[]).await.unwrap();
    assert_eq!(returned, expected);
    let (newest, read) = store.changes_after(middle).await.unwrap();
    assert_eq!(read, expected, "none twice, none left out");
    assert_eq!(newest, store.last_change().await.unwrap());
    assert_eq!(store.changes_after(newest).await.unwrap(), (newest, vec![]), "nothing new keeps the number");
    // Whoever follows in small steps sees the same as whoever reads all at once.
    let (_, all) = store.changes_after(0).await.unwrap();
    assert_eq!(all.len(), world().len() + expected.len());
    assert_eq!(all[world().len()..], expected);
}

pub async fn a_commit_returns_its_own_changes_only(store: Arc<dyn Store>) {
    with_world(&store).await;
    let changes = store.commit(&[Mutation::PutRole(role(2))], &[]).await.unwrap();
    assert_eq!(changes, [Change::Roles]);
}

pub async fn an_empty_commit_changes_nothing(store: Arc<dyn Store>) {
    assert_eq!(store.commit(&[], &[]).await.unwrap(), []);
    assert_eq!(store.changes_after(0).await.unwrap(), (0, vec![]));
}
