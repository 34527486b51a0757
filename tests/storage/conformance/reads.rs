//! Reads that join or choose.

use std::sync::Arc;
use std::time::Duration;

use workspace_sts::clock::{Clock as _, SystemClock};
use workspace_sts::domain::resource::Scope;
use workspace_sts::storage::{Mutation, Store};

use crate::samples::*;

pub async fn assignments_are_found_above_at_and_below_a_scope(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let scopes = [
        scope("/"),
        scope("/subscriptions/sub-1"),
        scope("/subscriptions/sub-1/resourceGroups/rg-a"),
        Scope::from(&home),
        Scope::from(&webservice_id(&home, "churn")),
        scope("/subscriptions/sub-1/resourceGroups/rg-a2"),
        scope("/subscriptions/sub-10"),
        Scope::from(&workspace_id("rg-a", "ws-10")),
    ];
    let puts: Vec<_> =
        (0..).zip(&scopes).map(|(n, at)| Mutation::PutAssignment(assignment(n, 1, 1, at))).collect();
    put(&store, &puts).await;
    let expected: [(usize, &[usize]); 5] = [
        (0, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (2, &[0, 1, 2, 3, 4, 7]),
        (3, &[0, 1, 2, 3, 4]),
        (4, &[0, 1, 2, 3, 4]),
        (6, &[0, 6]),
    ];
    for (asked, wanted) in expected {
        let found = store.assignments(&scopes[asked]).await.unwrap();
        let mut places: Vec<_> = found
            .iter()
            .map(|found| scopes.iter().position(|at| *at == found.scope).expect("known"))
            .collect();
        places.sort_unstable();
        assert_eq!(places, wanted, "asked at {}", scopes[asked]);
    }
}

pub async fn webservice_facts_follow_the_workspace(store: Arc<dyn Store>) {
    with_world(&store).await;
    let mut moved = workspace("rg-a", "ws-1");
    moved.home_region = region("eastus");
    put(&store, &[Mutation::PutWorkspace(moved.clone())]).await;
    let key = webservice_id(&moved.id, "churn").key();
    let facts = store.webservice_facts(&key).await.unwrap().expect("it is there");
    assert_eq!(facts.workspace, moved);
    assert_eq!(facts.workspace.tenant_id, tenant_id(1), "that of its subscription");
}

pub async fn regions_are_those_of_workspaces_and_clusters(store: Arc<dyn Store>) {
    with_world(&store).await;
    let home = workspace_id("rg-a", "ws-1");
    let mut near = webservice(&home, "near");
    near.compute_region = region("westeurope");
    put(&store, &[Mutation::PutWebservice(near), Mutation::PutWebservice(webservice(&home, "far"))]).await;
    let mut pairs = store.regions().await.unwrap();
    pairs.sort();
    let (west, north) = (region("westeurope"), region("northeurope"));
    assert_eq!(pairs, [(west.clone(), north), (west.clone(), west)]);
}

pub async fn a_fact_is_remembered_the_first_time(store: Arc<dyn Store>) {
    assert_eq!(store.remember("pepper", &[1, 0, 255]).await.unwrap(), [1, 0, 255]);
    assert_eq!(store.remember("pepper", &[2]).await.unwrap(), [1, 0, 255]);
    assert_eq!(store.remember("another", &[]).await.unwrap(), Vec::<u8>::new());
    assert_eq!(store.remember("another", &[3]).await.unwrap(), Vec::<u8>::new());
}

pub async fn a_server_tells_its_own_time(store: Arc<dyn Store>) {
    // A database without a server has no clock but its machine's.
    let Some(first) = store.server_time().await.unwrap() else { return };
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = store.server_time().await.unwrap().expect("as before");
    assert!(second - first >= chrono::Duration::milliseconds(20), "{first} and 20 ms later {second}");
    // The server of the tests is on this machine.
    assert!((SystemClock.now() - second).abs() < chrono::Duration::seconds(5), "{second}");
}
