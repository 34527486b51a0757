//! Two regions, a process each, on one database; and one of them goes away.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::alone;
use crate::database::storage;
use crate::deployment::{Deployment, Replica, figure, get, signal, wsts};
use crate::load::claims;
use crate::postgres_server::{PostgresServer, client};

const JWKS: &str = "/.well-known/jwks.json";

/// Key ids of a region in a JWKS.
fn kids(base: &str, path: &str, region: &str) -> Vec<String> {
    let (status, text) = get(&format!("{base}{path}")).expect("an answer");
    assert_eq!(status, 200, "{path}: {text}");
    let jwks: Value = serde_json::from_str(&text).unwrap();
    let keys = jwks["keys"].as_array().unwrap().iter().filter(|key| key["region"] == region);
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Runs `wsts token` at both addresses; the token, and how long it took from the start of the process to its end.
fn fetch(deployment: &Deployment, bases: &[&str], cache: &str) -> (String, Duration) {
    let cache = deployment.path(cache);
    let mut command = deployment.callers[0].command(bases, &["--fresh", "--cache", cache.to_str().unwrap()]);
    let started = Instant::now();
    let done = command.output().unwrap();
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "after {took:?}: {said}");
    eprint!("{said}");
    (String::from_utf8(done.stdout).unwrap().trim().to_owned(), took)
}

/// Whether a gateway that has the survivor's JWKS takes the token.
fn verifies(deployment: &Deployment, base: &str, token: &str) -> bool {
    let file = deployment.path("token");
    std::fs::write(&file, token).unwrap();
    let mut command = wsts();
    command.args(["verify", "--issuer", "http://localhost", "--jwks", &format!("{base}{JWKS}"), "--token"]);
    command.arg(file).output().unwrap().status.success()
}

/// Starts the second region as if it had been added a day ago: its first key waits a whole lead.
fn start_added_region(server: &PostgresServer, deployment: &Deployment) -> Replica {
    let mut replica = deployment.spawn(1, &[]);
    let waits = |ready: Option<(u16, String)>| {
        ready.is_some_and(|(status, text)| status == 503 && text.contains("no signing key is active"))
    };
    let started = Instant::now();
    while !waits(replica.ready()) {
        assert!(replica.ended().is_none() && started.elapsed() < Duration::from_secs(30), "it did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let shift = "UPDATE signing_keys SET published_at = published_at - interval '1 day', \
                 sign_from = sign_from - interval '1 day' WHERE region = 'beside' AND generation = 1";
    let done = client("psql").args(["-d", &server.url("postgres"), "-c", shift]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    while replica.ready().is_none_or(|(status, _)| status != 200) {
        assert!(started.elapsed() < Duration::from_secs(30), "the shifted key does not sign");
        std::thread::sleep(Duration::from_millis(10));
    }
    replica
}

#[test]
fn a_lost_region_stops_no_token() {
    let _alone = alone();
    let server = PostgresServer::start(&[], false);
    let deployment = Deployment::new(&storage(server.port()), 1).in_regions(["local", "beside"]);
    let lost = deployment.start(0);
    let mut survivor = start_added_region(&server, &deployment);
    let bases = [0, 1].map(|number| Replica::base(number, &deployment));
    let both = [bases[0].as_str(), bases[1].as_str()];

    let (old, _) = fetch(&deployment, &both, "cache-0");
    assert_eq!(claims(&old)["region"], "local", "the home region comes first");
    let of_lost = kids(&bases[1], JWKS, "local");
    assert!(!of_lost.is_empty(), "the union of one region holds the keys of the other");

    // It takes connections and says nothing.
    signal(lost.process(), "STOP");
    let (token, hung) = fetch(&deployment, &both, "cache-1");
    assert_eq!(claims(&token)["region"], "beside");
    let (_, remembered) = fetch(&deployment, &both, "cache-1");
    signal(lost.process(), "CONT");
    lost.kill();
    let (token, gone) = fetch(&deployment, &both, "cache-2");
    assert_eq!(claims(&token)["region"], "beside");

    figure("lost region", "token while it hangs, ms", hung.as_millis(), "2000");
    figure("lost region", "the next one, ms", remembered.as_millis(), "1000");
    figure("lost region", "token after it was killed, ms", gone.as_millis(), "2000");
    assert!(hung <= Duration::from_secs(2) && gone <= Duration::from_secs(2));
    assert!(remembered < Duration::from_secs(1), "the one that hung is asked last");

    assert!(verifies(&deployment, &bases[1], &old), "old tokens go on verifying");
    assert!(verifies(&deployment, &bases[1], &token));
    assert_eq!(kids(&bases[1], JWKS, "local"), of_lost);
    assert_eq!(kids(&bases[1], "/regions/local/jwks.json", "local"), of_lost);
    // From the database, and not only from the memory of who knew the lost one.
    survivor.terminate();
    assert!(survivor.wait().success());
    let _survivor = deployment.start(1);
    assert_eq!(kids(&bases[1], JWKS, "local"), of_lost);
    assert!(verifies(&deployment, &bases[1], &old));

    let (_, text) = get(&format!("{}/regions", bases[1])).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let told: Vec<_> = report["regions"].as_array().unwrap().iter().map(|region| &region["name"]).collect();
    assert_eq!(told, ["local", "beside"]);
    let day = &report["regions"][1]["latency"][0]["windows"]["24h"]["count"];
    assert_eq!(day, 3, "what the survivor issued before its restart: {report}");
}
