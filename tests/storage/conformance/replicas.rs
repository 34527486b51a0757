//! The processes that serve: who lives, by whose clock.

use std::sync::Arc;

use chrono::{Duration, TimeDelta};
use uuid::Uuid;
use workspace_sts::clock::{Clock as _, SystemClock};
use workspace_sts::domain::ids::ReplicaId;
use workspace_sts::storage::{REPLICA_KEPT_FOR, REPLICA_LIVES_FOR, Replica, Store};

use crate::samples::*;

fn replica(n: u128) -> Replica {
    let now = SystemClock.now();
    Replica {
        id: ReplicaId::from_uuid(Uuid::from_u128(n)),
        region: region("westeurope"),
        version: "0.1.0".to_owned(),
        kek_ids: vec![[1, 2, 3, 4, 5, 6, 7, 0], [0xff; 8]],
        started_at: now,
        seen_at: now,
    }
}

pub async fn a_replica_lives_until_it_takes_its_leave(store: Arc<dyn Store>) {
    let live = async || store.live_replicas(SystemClock.now()).await.unwrap();
    assert_eq!(live().await, []);
    let (one, other) = (replica(1), Replica { region: region("eastus"), kek_ids: vec![], ..replica(2) });
    for replica in [&one, &other] {
        store.announce_replica(replica).await.unwrap();
    }
    let found = live().await;
    let told: Vec<_> =
        found.iter().map(|it| (it.id, &it.region, it.version.as_str(), it.kek_ids.clone())).collect();
    let expected = [&other, &one].map(|it| (it.id, &it.region, "0.1.0", it.kek_ids.clone()));
    assert_eq!(told, expected, "by region");
    // Again, later: it has one row, which keeps when it started.
    let started = found[1].started_at;
    assert!((started - SystemClock.now()).abs() < Duration::seconds(10), "{started}");
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let again = Replica { started_at: at(0), seen_at: SystemClock.now(), ..one.clone() };
    store.announce_replica(&again).await.unwrap();
    let found = live().await;
    assert_eq!((found.len(), found[1].started_at), (2, started));
    assert!(found[1].seen_at > started);
    store.remove_replica(one.id).await.unwrap();
    store.remove_replica(one.id).await.unwrap();
    assert_eq!(live().await.iter().map(|it| it.id).collect::<Vec<_>>(), [other.id]);
}

/// On a server its own clock counts, whatever a process says; `postgres.rs` has that half.
pub async fn in_a_file_the_processes_clock_counts(store: Arc<dyn Store>) {
    let one = replica(1);
    store.announce_replica(&one).await.unwrap();
    let server = store.server_time().await.unwrap().is_some();
    let dies = one.seen_at + REPLICA_LIVES_FOR;
    for (now, lives) in [(dies - TimeDelta::milliseconds(1), true), (dies, false)] {
        assert_eq!(store.live_replicas(now).await.unwrap().len() == 1, lives || server, "{now}");
    }
    let later =
        Replica { seen_at: one.seen_at + REPLICA_KEPT_FOR + TimeDelta::milliseconds(1), ..replica(2) };
    store.announce_replica(&later).await.unwrap();
    let kept = store.live_replicas(one.seen_at).await.unwrap();
    assert_eq!(kept.iter().any(|it| it.id == one.id), server, "an old row goes");
}
