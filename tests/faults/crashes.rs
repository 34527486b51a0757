//! Processes that end in the middle.

use std::collections::HashSet;
use std::time::Duration;

use crate::alone;
use crate::database::storage;
use crate::deployment::{Deployment, figure, is_full};
use crate::load::{Load, Route};
use crate::postgres_server::PostgresServer;

/// Kills the process under load again and again; every token that a caller received whole is in the audit.
fn kill_again_and_again(deployment: &Deployment, fault: &str) {
    let rounds = if is_full() { 200 } else { 5 };
    let (mut received, mut slowest) = (HashSet::new(), Duration::ZERO);
    for round in 0..rounds {
        let replica = deployment.start(0);
        slowest = slowest.max(replica.took);
        let load = Load::start(&Route::to(&[&replica.base]), &deployment.callers);
        // At another place of the work each time.
        std::thread::sleep(Duration::from_millis(150 + 37 * round % 211));
        replica.kill();
        received.extend(load.stop().tokens());
    }
    let replica = deployment.start(0);
    replica.wait_until_shipped();
    let lost = deployment.lost(&received);
    figure(fault, "kills under load", rounds, "200 in the long form");
    figure(fault, "tokens received whole", received.len(), "many");
    figure(fault, "of them not in the audit", lost, "0");
    figure(fault, "slowest start to ready, ms", slowest.as_millis(), "2000");
    assert!(received.len() > 20, "the load was no load");
    assert_eq!(lost, 0);
    assert!(slowest < Duration::from_secs(2));
}

#[test]
fn kill_9_on_sqlite_loses_no_record() {
    let _alone = alone();
    kill_again_and_again(&Deployment::on_sqlite(8), "kill -9, SQLite");
}

#[test]
fn kill_9_on_postgres_loses_no_record() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    kill_again_and_again(&Deployment::new(&storage(server.port()), 8), "kill -9, PostgreSQL");
}
