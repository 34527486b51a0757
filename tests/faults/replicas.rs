//! Several processes on one database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::alone;
use crate::database::storage;
use crate::deployment::{Deployment, Replica, figure, is_full};
use crate::load::{End, Load, Route, agent};
use crate::postgres_server::PostgresServer;

/// Replaces a replica as an orchestrator does, and turns requests away from it as a load balancer does: by `/readyz`.
fn replace(deployment: &Deployment, number: usize, mut replica: Replica, route: &Route) -> Replica {
    replica.terminate();
    let started = Instant::now();
    while replica.ready().is_some_and(|(status, _)| status == 200) {
        assert!(started.elapsed() < Duration::from_secs(5), "it goes on saying that it is ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    route.only(1 - number);
    assert!(replica.wait().success());
    let replica = deployment.start(number);
    route.all();
    replica
}

#[test]
fn a_rolling_upgrade_fails_no_request() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), 8);
    let mut replicas: Vec<_> = (0..2).map(|number| Some(deployment.start(number))).collect();
    let bases = [0, 1].map(|number| Replica::base(number, &deployment));
    let route = Route::to(&[&bases[0], &bases[1]]);
    let load = Load::start(&route, &deployment.callers);
    let rounds = if is_full() { 10 } else { 1 };
    for _ in 0..rounds {
        for (number, place) in replicas.iter_mut().enumerate() {
            std::thread::sleep(Duration::from_millis(300));
            *place = Some(replace(&deployment, number, place.take().unwrap(), &route));
        }
    }
    let seen = load.stop();
    let (bad, lost) = (seen.bad(), deployment.lost(&seen.tokens()));
    figure("rolling upgrade", "replicas replaced under load", 2 * rounds, "");
    figure("rolling upgrade", "requests", seen.0.len(), "many");
    figure("rolling upgrade", "of them failed", bad.len(), "0");
    figure("rolling upgrade", "tokens not in the audit", lost, "0");
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(lost, 0);
}

#[test]
fn a_revocation_is_known_to_every_replica_within_five_seconds() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), 2);
    let replicas = [deployment.start(0), deployment.start(1)];
    let (agent, [kept, removed]) = (agent(), [&deployment.callers[0], &deployment.callers[1]]);
    for replica in &replicas {
        assert!(matches!(removed.ask(&agent, &replica.base), End::Token(_)), "known to both");
    }
    let done = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let watched: Vec<_> = replicas
            .iter()
            .map(|replica| {
                let done = &done;
                scope.spawn(move || {
                    let agent = crate::load::agent();
                    while !done.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    let since = Instant::now();
                    while matches!(removed.ask(&agent, &replica.base), End::Token(_)) {
                        assert!(since.elapsed() < Duration::from_secs(10), "it goes on");
                    }
                    since.elapsed()
                })
            })
            .collect();
        // As the command line does it: a third process, of which the replicas hear through the database only.
        deployment.apply(1, &["--prune"]);
        done.store(true, Ordering::SeqCst);
        watched.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    figure("revocation", "known to both replicas after, ms", slowest.as_millis(), "5000");
    assert!(slowest < Duration::from_secs(5));
    assert!(matches!(kept.ask(&agent, &replicas[0].base), End::Token(_)), "nobody else is touched");
}
