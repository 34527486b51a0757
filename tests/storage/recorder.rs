//! The recorder over a real database: everything that is confirmed is there, whoever ends in the middle; and the chain
//! of its records holds, until somebody alters it.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;
use workspace_sts::audit::Recorder;
use workspace_sts::audit::chain::{ChainKey, ChainMaker};
use workspace_sts::audit::spool::{Spool, SpoolError};
use workspace_sts::audit::verify::{Fault, Read, Verifier};
use workspace_sts::audit::{reading, text};
use workspace_sts::clock::{Clock as _, SystemClock};
use workspace_sts::domain::audit::{
    AuditCursor, AuditRecord, Chained, Event, Link, LinkCode, Order, RecordText,
};
use workspace_sts::domain::ids::{AuditRecordId, ChainId};
use workspace_sts::domain::region::Region;
use workspace_sts::entropy::{SystemEntropy, time_ordered_uuid};
use workspace_sts::metrics::Metrics;
use workspace_sts::storage::{Mutation, Store};

use crate::database::Database as _;
use crate::samples::{newest_first, record, tenant};
use crate::sqlite::{SqliteFile, fresh};

fn key() -> ChainKey {
    ChainKey::derive(&[7; 32])
}

/// As a process that starts has it.
pub async fn recorder_with(store: &Arc<dyn Store>, spool: Option<Spool>) -> Recorder {
    let region = Region::parse("local").unwrap();
    let metrics = Arc::new(Metrics::new(&region).unwrap());
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::new()));
    let newest = reading::newest_link(store.as_ref()).await.unwrap();
    Recorder::new(
        Arc::clone(store),
        metrics,
        ChainMaker { key: key(), region, clock, entropy },
        newest,
        spool,
    )
}

async fn recorder(database: &SqliteFile) -> (Recorder, Arc<dyn Store>) {
    let store = database.open().await.unwrap();
    (recorder_with(&store, None).await, store)
}

pub async fn all(store: &Arc<dyn Store>) -> Vec<Chained<RecordText>> {
    let order = Order::OldestFirst;
    let page = store.audit_page(order, AuditCursor::start(order), 100_000).await.unwrap();
    page.into_iter().map(|(_, found)| found).collect()
}

/// Records but for the beginnings of chains.
async fn count(store: &Arc<dyn Store>) -> usize {
    newest_first(store).await.iter().filter(|found| found.record.event != Event::ChainStart).count()
}

pub fn verify(records: Vec<Chained<RecordText>>) -> Result<Read, Fault> {
    let mut verifier = Verifier::new(key());
    records.into_iter().try_for_each(|found| verifier.read(found))?;
    verifier.finish()
}

/// What a check of whole chains says.
fn read(records: u64, chains: usize) -> Read {
    Read { records, chains, shortened: 0 }
}

/// `records` records in batches of all sizes, and as many changes.
pub async fn fill(recorder: &Recorder, first: i64, records: i64) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in first..first + records {
        let recorder = recorder.clone();
        tasks.spawn(async move { recorder.record(record(2 * n)).await.unwrap() });
        if n % 5 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for n in first..first + records {
        recorder.commit(&[], vec![record(2 * n + 1)]).await.unwrap();
    }
    tasks.join_all().await;
}

/// As an actix worker has it.
fn worker() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn records_of_several_workers_are_durable_when_confirmed() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    // Each worker ends as soon as its own records are confirmed, often in the middle of the others' commit.
    let threads: Vec<_> = (0..16_i64)
        .map(|thread| {
            let recorder = recorder.clone();
            std::thread::spawn(move || {
                worker().block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for n in 0..20 {
                        let recorder = recorder.clone();
                        tasks.spawn(async move { recorder.record(record(thread * 20 + n)).await });
                    }
                    tasks.join_all().await
                })
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().iter().all(Result::is_ok));
    }
    assert_eq!(count(&store).await, 320);
    assert_eq!(verify(all(&store).await), Ok(read(321, 1)));
}

#[tokio::test]
async fn a_record_outlives_the_worker_that_was_to_commit_it() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    // Another process holds the write lock, so that the first commit hangs.
    let mut other = SqliteConnection::connect_with(&database.options()).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let first = recorder.clone();
    let dying = std::thread::spawn(move || {
        let worker = worker();
        let started = worker.block_on(async {
            tokio::time::timeout(Duration::from_millis(100), first.record(record(1))).await
        });
        assert!(started.is_err(), "the lock is held");
        worker
    });
    let worker = dying.join().unwrap();
    let second = tokio::spawn(async move { recorder.record(record(2)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished(), "it waits for the first worker's commit");
    tokio::task::spawn_blocking(move || drop(worker)).await.unwrap();
    lock.rollback().await.unwrap();
    let second =
        tokio::time::timeout(Duration::from_secs(20), second).await.expect("it does not wait for ever");
    assert_eq!(second.unwrap(), Ok(()));
    let found = all(&store).await;
    assert!(found.iter().any(|found| found.record.id == record(2).id));
    // Both records, and the beginning that the first worker made.
    assert_eq!(verify(all(&store).await), Ok(read(3, 1)));
}

#[tokio::test]
async fn what_a_caller_left_behind_is_committed() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    tokio::select! {
        biased;
        _ = recorder.record(record(1)) => panic!("a commit takes longer than one poll"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(recorder.record(record(2)).await, Ok(()));
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_record_that_the_database_refuses_is_not_confirmed() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    store.close().await;
    std::fs::remove_file(database.path()).unwrap();
    assert!(recorder.record(record(1)).await.is_err());
}

#[tokio::test]
async fn every_chain_of_several_processes_holds() {
    let database = fresh().await;
    for process in 0..3 {
        let (recorder, store) = recorder(&database).await;
        fill(&recorder, process * 100, 100).await;
        drop((recorder, store));
    }
    let store = database.open().await.unwrap();
    // Each process has a chain for its tokens and one for its changes, each with its beginning.
    assert_eq!(verify(all(&store).await), Ok(read(606, 6)));
}

#[tokio::test]
async fn a_refused_change_leaves_no_gap() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    let dangling = [Mutation::PutSubscription(crate::samples::subscription("sub-1", 9))];
    // As the first of its chain and in the middle.
    recorder.commit(&dangling, vec![record(1)]).await.unwrap_err();
    recorder.commit(&[Mutation::PutTenant(tenant(1))], vec![record(2)]).await.unwrap();
    recorder.commit(&dangling, vec![record(3)]).await.unwrap_err();
    recorder.commit(&[], vec![record(4)]).await.unwrap();
    assert_eq!(verify(all(&store).await), Ok(read(3, 1)));
}

#[tokio::test]
async fn whatever_is_altered_or_taken_away_is_named() {
    let database = fresh().await;
    let (recorder, store) = recorder(&database).await;
    fill(&recorder, 0, 20).await;
    drop(recorder);
    let (recorder, _) = self::recorder(&database).await;
    fill(&recorder, 20, 20).await;
    let good = all(&store).await;
    assert_eq!(verify(good.clone()), Ok(read(84, 4)));
    let mut connection = SqliteConnection::connect_with(&database.options()).await.unwrap();
    let id = |n: i64| record(n).id;
    let hex = |n: i64| id(n).uuid().simple().to_string();
    for n in [0, 7, 30, 55] {
        for column in [
            "record = replace(record, 'issued', 'refused')",
            "record = record || ' '",
            "record = ''",
            "id = x'00000000000000000000000000000001'",
            "linked_at = linked_at + 1",
            "position = position - 1000000000000",
            "link = link + 1",
        ] {
            let mut transaction = connection.begin().await.unwrap();
            let sql = format!("UPDATE audit_records SET {column} WHERE id = x'{}'", hex(n));
            let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await.unwrap();
            assert_eq!(done.rows_affected(), 1);
            transaction.commit().await.unwrap();
            if column.starts_with("linked_at") || column.starts_with("position") {
                let order = Order::OldestFirst;
                let moved =
                    store.audit_page(order, AuditCursor::start(order), 100_000).await.expect_err(column);
                assert!(moved.to_string().contains(&id(n).to_string()), "{moved}");
                restore(&mut connection, &store, &good, n).await;
                continue;
            }
            let found = verify(all(&store).await).expect_err(column);
            match found {
                // Whichever shows first: the moved one, the one whose place it took, or the hole it left.
                Fault::Altered { .. } | Fault::Missing { .. } if column.starts_with("link ") => {}
                Fault::Altered { record, .. } if column.starts_with("id") => {
                    assert_eq!(record.uuid().as_u128(), 1)
                }
                Fault::Altered { record, .. } => assert_eq!(record, id(n), "{column}"),
                other => panic!("{column}: {other}"),
            }
            restore(&mut connection, &store, &good, n).await;
        }
        delete(&mut connection, id(n)).await;
        let link = good.iter().find(|found| found.record.id == id(n)).unwrap().link;
        let found = verify(all(&store).await).expect_err("a row is gone");
        let named = match found {
            Fault::Missing { chain, number, .. } | Fault::CutOff { chain, number, .. } => (chain, number),
            Fault::Altered { .. } | Fault::Unfinished { .. } => panic!("{found}"),
        };
        assert_eq!(named, (link.chain, link.number));
        restore(&mut connection, &store, &good, n).await;
    }
    assert!(verify(all(&store).await).is_ok());
}

/// Puts a record back as it was.
async fn restore(
    connection: &mut SqliteConnection,
    store: &Arc<dyn Store>,
    good: &[Chained<RecordText>],
    n: i64,
) {
    let found = good.iter().find(|found| found.record.id == record(n).id).unwrap();
    let sql = format!("DELETE FROM audit_records WHERE code = x'{}' OR id = x'{:032x}'", found.link.code, 1);
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    delete(connection, found.record.id).await;
    store.append_audit(&[found.as_ref()]).await.unwrap();
}

async fn delete(connection: &mut SqliteConnection, id: AuditRecordId) {
    let sql = format!("DELETE FROM audit_records WHERE id = x'{}'", id.uuid().simple());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

#[test]
fn a_record_fits_only_behind_the_one_it_was_linked_to() {
    let (chain, key) = (ChainId::from_uuid(Uuid::from_u128(1)), key());
    let linked = |number: i64, previous, record: AuditRecord| {
        let at = DateTime::from_timestamp_micros(number).unwrap();
        let (link, record) = (Link { chain, number, at, code: LinkCode::default() }, text::write(&record));
        let code = key.code(&link, previous, &record.json);
        Chained { record, link: Link { code, ..link } }
    };
    let first = linked(0, LinkCode::default(), record(1));
    let second = linked(1, first.link.code, record(2));
    // As good as the first, and of the same key, but not what stood there when the second was written.
    let another = linked(0, LinkCode::default(), record(3));
    assert!(verify(vec![first, second.clone()]).is_ok());
    let found = verify(vec![another, second]);
    assert_eq!(found, Err(Fault::Altered { record: record(2).id, chain, number: 1 }));
}

#[tokio::test]
async fn the_end_of_a_chain_can_not_be_cut_off_once_another_began() {
    let database = fresh().await;
    let now = || {
        let now = SystemClock.now();
        let id = AuditRecordId::from_uuid(time_ordered_uuid(now, &[0; 8]));
        AuditRecord {
            id,
            occurred_at: DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap(),
            ..record(1)
        }
    };
    let (recorder, store) = recorder(&database).await;
    for _ in 0..5 {
        recorder.record(now()).await.unwrap();
    }
    let last = all(&store).await.pop().unwrap();
    let (recorder, store) = self::recorder(&database).await;
    recorder.record(now()).await.unwrap();
    assert_eq!(verify(all(&store).await), Ok(read(8, 2)));
    let mut connection = SqliteConnection::connect_with(&database.options()).await.unwrap();
    delete(&mut connection, last.record.id).await;
    match verify(all(&store).await) {
        Err(Fault::CutOff { chain, number, .. }) => assert_eq!((chain, number), (last.link.chain, 5)),
        other => panic!("{other:?}"),
    }
}

fn spool_file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("wsts.spool")
}

const DATABASE: Uuid = Uuid::from_u128(0xdb);
const AMPLE: u64 = 1 << 30;

/// A recorder over a database that went away, and the file to which its records go.
async fn diverted(database: &SqliteFile, folder: &tempfile::TempDir) -> (Recorder, Arc<dyn Store>) {
    let store = database.open().await.unwrap();
    let spool = Spool::open(&spool_file(folder), DATABASE, AMPLE).unwrap();
    (recorder_with(&store, Some(spool)).await, store)
}

/// Holds the write lock, so that no append gets through.
async fn lock(database: &SqliteFile) -> SqliteConnection {
    let mut other = SqliteConnection::connect_with(&database.options()).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    other
}

#[tokio::test]
async fn records_go_to_the_spool_while_the_database_takes_none_and_are_shipped_once() {
    let (database, folder) = (fresh().await, tempfile::tempdir().unwrap());
    let (recorder, store) = diverted(&database, &folder).await;
    fill(&recorder, 0, 10).await;
    assert!(!recorder.is_diverted());
    let mut other = lock(&database).await;
    for n in 1000..1010 {
        recorder.record(record(n)).await.unwrap();
    }
    assert!(recorder.is_diverted());
    assert_eq!(count(&store).await, 20, "nothing of it is in the database");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    recorder.ship().await;
    assert!(!recorder.is_diverted());
    recorder.ship().await;
    recorder.record(record(2000)).await.unwrap();
    assert_eq!(count(&store).await, 31);
    assert_eq!(verify(all(&store).await), Ok(read(33, 2)));
    let kept = std::fs::read_to_string(spool_file(&folder)).unwrap();
    assert_eq!(kept.lines().count(), 1, "the first line only");
}

#[tokio::test]
async fn a_spool_that_a_dead_process_left_is_shipped_but_for_its_torn_end() {
    let (database, folder) = (fresh().await, tempfile::tempdir().unwrap());
    let (recorder, store) = diverted(&database, &folder).await;
    let mut other = lock(&database).await;
    for n in 0..10 {
        recorder.record(record(n)).await.unwrap();
    }
    drop((recorder, store));
    let mut text = std::fs::read_to_string(spool_file(&folder)).unwrap();
    text.truncate(text.len() - 9);
    std::fs::write(spool_file(&folder), text).unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let (recorder, store) = diverted(&database, &folder).await;
    recorder.ship().await;
    assert_eq!(count(&store).await, 9);
    assert_eq!(verify(all(&store).await), Ok(read(10, 1)));
    // Shipped a second time, as when the process dies before it empties the spool.
    recorder.record(record(100)).await.unwrap();
    assert_eq!(count(&store).await, 10);
}

#[tokio::test]
async fn a_spoiled_line_is_put_aside_and_the_chain_names_what_it_was() {
    let (database, folder) = (fresh().await, tempfile::tempdir().unwrap());
    let (recorder, store) = diverted(&database, &folder).await;
    let mut other = lock(&database).await;
    for n in 0..10 {
        recorder.record(record(n)).await.unwrap();
    }
    drop((recorder, store));
    let text = std::fs::read_to_string(spool_file(&folder)).unwrap();
    std::fs::write(spool_file(&folder), text.replace("request 4", "request 5")).unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    let (recorder, store) = diverted(&database, &folder).await;
    recorder.ship().await;
    assert_eq!(count(&store).await, 9);
    let aside = std::fs::read_to_string(folder.path().join("wsts.spool.spoiled")).unwrap();
    assert_eq!(aside.lines().count(), 1);
    // The beginning, then records 0 to 3.
    assert!(matches!(verify(all(&store).await), Err(Fault::Missing { number: 5, .. })));
}

#[tokio::test]
async fn a_full_spool_refuses_and_takes_again_when_there_is_room() {
    let (database, folder) = (fresh().await, tempfile::tempdir().unwrap());
    let store = database.open().await.unwrap();
    let spool = Spool::open(&spool_file(&folder), DATABASE, 6000).unwrap();
    let recorder = recorder_with(&store, Some(spool)).await;
    let mut other = lock(&database).await;
    let mut taken = 0;
    while recorder.record(record(taken)).await.is_ok() {
        taken += 1;
        assert!(taken < 100, "it is bounded");
    }
    assert!(taken > 2);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    recorder.ship().await;
    recorder.record(record(1000)).await.unwrap();
    assert_eq!(count(&store).await, usize::try_from(taken).unwrap() + 1, "what was refused is not there");
    // What was refused ended its chain.
    assert!(matches!(verify(all(&store).await), Ok(Read { chains: 2, .. })));
}

#[tokio::test]
async fn a_spool_is_of_one_process_and_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let open = |database| Spool::open(&spool_file(&folder), database, AMPLE);
    let spool = open(DATABASE).unwrap();
    assert!(matches!(open(DATABASE), Err(SpoolError::InUse(_))));
    drop(spool);
    let error = open(Uuid::from_u128(1)).err().expect("another database").to_string();
    assert!(error.contains(&DATABASE.to_string()) && !error.contains('\n'), "{error}");
    for text in [
        "my thesis\nin two lines\n",
        "a secret",
        "wsts audit spool 1 of database and more",
        "wsts audit spool 2",
    ] {
        std::fs::write(spool_file(&folder), text).unwrap();
        let error = open(DATABASE).err().expect("not a spool");
        assert!(matches!(error, SpoolError::NotASpool(_)) && !error.to_string().contains(text), "{error}");
        assert_eq!(std::fs::read_to_string(spool_file(&folder)).unwrap(), text, "left alone");
    }
    std::fs::write(spool_file(&folder), "wsts audit spo").unwrap();
    open(DATABASE).expect("a first line that was torn");
}
