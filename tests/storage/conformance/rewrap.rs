//! The change of a KEK from beginning to end, with everything that a process has but its listeners.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use workspace_sts::config::Config;
use workspace_sts::domain::access_key::KeyName;
use workspace_sts::domain::audit::Event;
use workspace_sts::domain::webservice::{AuthMode, Webservice};
use workspace_sts::services::Core;
use workspace_sts::services::registry_file::{RegistryFile, compare};
use workspace_sts::services::rewrap::{RewrapError, Rewrapped};
use workspace_sts::signing::sealing::{KekList, Pepper, Place};
use workspace_sts::startup::{Parts, StartError, compose};
use workspace_sts::storage::KekUse;

use crate::database::Database;
use crate::samples::{newest_first, webservice, webservice_id, workspace_id};

const OLD: u8 = 1;
const NEW: u8 = 2;
/// Two access keys each: more than two commits take.
const WEBSERVICES: usize = 120;

fn kek_id(byte: u8) -> [u8; 8] {
    KekList::new(&[byte; 32], &[]).primary_id()
}

/// A process with these KEKs, the first of which seals.
async fn process(database: &dyn Database, keks: &[u8]) -> Result<Arc<Core>, StartError> {
    let folder = tempfile::tempdir().unwrap();
    let keks: Vec<String> = keks.iter().map(|byte| URL_SAFE_NO_PAD.encode([*byte; 32])).collect();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nissuer = \"http://localhost\"\n[region]\nname = \"local\"\n\
         [secrets]\nkek = {:?}\npepper = {:?}\n[audit]\nspool_file = {:?}\n[storage]\n{}\n",
        keks.join(","),
        URL_SAFE_NO_PAD.encode([7; 32]),
        folder.path().join("spool"),
        database.configured(),
    );
    let file = folder.path().join("wsts.toml");
    std::fs::write(&file, text).unwrap();
    Ok(Arc::new(compose(&Config::load(&file).unwrap(), Parts::default()).await?))
}

/// One that serves: it says so, and has its signing keys.
async fn replica(database: &dyn Database, keks: &[u8]) -> Result<Arc<Core>, StartError> {
    let core = process(database, keks).await?;
    core.compare_clock().await?;
    core.announce().await;
    core.watch_signing_keys().await?;
    Ok(core)
}

/// Stops as a process that is told to.
async fn stop(core: Arc<Core>) {
    core.take_leave().await;
    core.store.close().await;
}

fn keyed(number: usize) -> Webservice {
    let home = workspace_id("rg-a", "ws-1");
    Webservice { auth_mode: AuthMode::Key, ..webservice(&home, &format!("keyed-{number:03}")) }
}

/// So many webservices with keys.
async fn fill(core: &Core) {
    let mut text = String::from(
        "[[tenants]]\nid = \"00000000-0000-0000-0000-000000000001\"\nname = \"one\"\n\
         [[subscriptions]]\nid = \"sub-1\"\ntenant = \"00000000-0000-0000-0000-000000000001\"\nname = \"sub\"\n\
         [[workspaces]]\nid = \"/subscriptions/sub-1/resourceGroups/rg-a/providers/Microsoft.MachineLearningServices/workspaces/ws-1\"\nhome_region = \"local\"\n",
    );
    for number in 0..WEBSERVICES {
        text.push_str(&format!(
            "[[webservices]]\nworkspace = \"/subscriptions/sub-1/resourceGroups/rg-a/providers/Microsoft.MachineLearningServices/workspaces/ws-1\"\n\
             name = \"{}\"\ncompute_type = \"AKS\"\nauth_mode = \"key\"\n",
            keyed(number).id.name()
        ));
    }
    let file: RegistryFile = toml::from_str(&text).unwrap();
    let stored = core.store.snapshot().await.unwrap();
    let difference = compare(&file, &stored, false, core.clock.now(), core.entropy.as_ref()).unwrap();
    let keep = |_| Ok::<_, workspace_sts::services::registry_file::Unfinished>(());
    core.apply(difference, &core.local_context(), keep).await.unwrap();
}

/// Every access key in the clear, if it opens and is the one that is checked.
async fn access_keys(core: &Core) -> Vec<Vec<u8>> {
    let (pepper, mut values) = (Pepper::new(&[7; 32]), Vec::new());
    for number in 0..WEBSERVICES {
        let key = webservice_id(&workspace_id("rg-a", "ws-1"), keyed(number).id.name()).key();
        let stored = core.store.access_keys(&key).await.unwrap();
        assert_eq!(stored.iter().map(|row| row.key.name).collect::<Vec<_>>(), KeyName::ALL);
        for row in stored {
            let value = core.keks.open(&Place::access_key(&key, &row.key), row.kek_id, &row.sealed).unwrap();
            assert!(pepper.matches(std::str::from_utf8(&value).unwrap(), &row.key.digest));
            values.push(value.to_vec());
        }
    }
    values
}

fn jwks(core: &Core) -> Vec<u8> {
    core.published.load().union.body.clone()
}

fn under(kek: u8, signing_keys: i64, access_keys: i64) -> KekUse {
    KekUse { kek_id: kek_id(kek), signing_keys, access_keys }
}

#[track_caller]
fn same_uses(mut found: Vec<KekUse>, mut expected: Vec<KekUse>) {
    found.sort_by_key(|it| it.kek_id);
    expected.sort_by_key(|it| it.kek_id);
    assert_eq!(found, expected);
}

/// Ends a run after so many commits, as a killed process does: between two of them, and at once. A future that is only
/// dropped may have gone on by then.
async fn killed_after(core: &Core, commits: usize) {
    let mut seen = 0;
    let run = core.rewrap(|_| {
        seen += 1;
        if seen == commits {
            std::panic::resume_unwind(Box::new("killed"));
        }
    });
    let ended = AssertUnwindSafe(run).catch_unwind().await;
    assert!(ended.is_err(), "ended before it was killed");
}

pub async fn a_kek_is_changed_without_a_trace_outside(database: &dyn Database) {
    let keys = i64::try_from(WEBSERVICES * 2).unwrap();
    let core = replica(database, &[OLD]).await.unwrap();
    fill(&core).await;
    let (jwks_before, values) = (jwks(&core), access_keys(&core).await);
    let kids: Vec<_> = core.store.signing_keys().await.unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(kids.len(), 2, "active and standby");
    stop(core).await;

    let serving = replica(database, &[NEW, OLD]).await.unwrap();
    assert_eq!(jwks(&serving), jwks_before);
    same_uses(serving.store.kek_uses().await.unwrap(), vec![under(OLD, 2, keys)]);
    // Each kill leaves a whole state: nothing twice, nothing lost, and the new KEK alone not enough yet.
    for (commits, expected) in
        [(1, [under(OLD, 1, keys), under(NEW, 1, 0)]), (2, [under(OLD, 0, keys - 100), under(NEW, 2, 100)])]
    {
        let command = process(database, &[NEW, OLD]).await.unwrap();
        killed_after(&command, commits).await;
        drop(command);
        same_uses(serving.store.kek_uses().await.unwrap(), expected.to_vec());
        let why = replica(database, &[NEW]).await.err().expect("rows lie under the old KEK").to_string();
        assert!(why.contains("sealed under KEK"), "{why}");
        serving.watch_signing_keys().await.unwrap();
        assert_eq!((jwks(&serving), access_keys(&serving).await), (jwks_before.clone(), values.clone()));
    }
    let command = process(database, &[NEW, OLD]).await.unwrap();
    assert!(!command.kek_status().await.unwrap().is_settled());
    let done = command.rewrap(|_| {}).await.unwrap();
    assert_eq!(done, Rewrapped { signing_keys: 0, access_keys: 140, broken: Vec::new() });
    let again = command.rewrap(|_| panic!("nothing is left to do")).await.unwrap();
    assert_eq!(again, Rewrapped::default());
    let status = command.kek_status().await.unwrap();
    same_uses(status.uses.clone(), vec![under(NEW, 2, keys)]);
    assert!(status.is_settled());
    assert_eq!(status.replicas.len(), 1, "the command is no replica");
    command.store.close().await;
    stop(serving).await;

    let core = replica(database, &[NEW]).await.unwrap();
    assert_eq!((jwks(&core), access_keys(&core).await), (jwks_before, values));
    let after: Vec<_> = core.store.signing_keys().await.unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(after, kids, "no kid, no time");
    let records = newest_first(&core.store).await;
    let told: Vec<_> = records.iter().filter(|it| it.record.event == Event::Rewrap).collect();
    // Two signing keys; a hundred access keys, a hundred, forty.
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|it| it.record.detail.as_ref().unwrap().contains(": from KEK ")));
    stop(core).await;
    assert!(replica(database, &[OLD]).await.is_err(), "the old KEK opens nothing any more");
}

pub async fn nothing_is_rewrapped_while_a_replica_lacks_the_new_kek(database: &dyn Database) {
    let behind = replica(database, &[OLD]).await.unwrap();
    let ready = replica(database, &[NEW, OLD]).await.unwrap();
    let command = process(database, &[NEW, OLD]).await.unwrap();
    let error = command.rewrap(|_| {}).await.unwrap_err();
    assert!(matches!(error, RewrapError::Lacking { .. }), "{error:?}");
    let (names, others) = (behind.replica_id.to_string(), ready.replica_id.to_string());
    assert!(error.to_string().contains(&names) && !error.to_string().contains(&others), "{error}");
    same_uses(command.store.kek_uses().await.unwrap(), vec![under(OLD, 2, 0)]);
    // One that has the new KEK and seals under the old: what it makes next would need the old one.
    stop(behind).await;
    let between = replica(database, &[OLD, NEW]).await.unwrap();
    assert_eq!(command.rewrap(|_| {}).await.unwrap().signing_keys, 2);
    between.watch_signing_keys().await.unwrap();
    assert!(!command.kek_status().await.unwrap().is_settled());
    stop(between).await;
    assert!(command.kek_status().await.unwrap().is_settled());
    stop(ready).await;
    command.store.close().await;
}

pub async fn rows_that_can_not_be_opened_are_named_and_left(database: &dyn Database) {
    let core = replica(database, &[OLD]).await.unwrap();
    let kids: Vec<_> = core.store.signing_keys().await.unwrap().into_iter().map(|row| row.key.kid).collect();
    stop(core).await;
    // One row with the other's data key, and one under a KEK that this deployment does not have.
    let swap = format!(
        "UPDATE signing_keys SET sealed_data_key = (SELECT sealed_data_key FROM signing_keys WHERE kid = '{}') \
         WHERE kid = '{}'",
        kids[1], kids[0]
    );
    database.run(&swap).await;
    let command = process(database, &[NEW, OLD]).await.unwrap();
    let done = command.rewrap(|_| {}).await.unwrap();
    assert_eq!((done.signing_keys, done.broken.len()), (1, 1));
    assert!(done.broken[0].contains(&kids[0]), "{:?}", done.broken);
    assert!(!command.kek_status().await.unwrap().is_settled());
    command.store.close().await;
    let command = process(database, &[NEW]).await.unwrap();
    let status = command.kek_status().await.unwrap();
    assert_eq!(status.out_of_reach.len(), 1);
    assert!(status.out_of_reach[0].contains(&kids[0]), "{:?}", status.out_of_reach);
    assert!(!status.is_settled());
    assert_eq!(command.rewrap(|_| {}).await.unwrap(), Rewrapped::default());
    command.store.close().await;
}
