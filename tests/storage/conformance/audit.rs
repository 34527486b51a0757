//! The audit: written once, found by every filter, newest first.

use std::sync::Arc;

use chrono::Duration;
use uuid::Uuid;
use workspace_sts::audit::reading;
use workspace_sts::domain::audit::{
    Actor, AuditCursor, AuditFilter, AuditRecord, Chained, Event, Link, Order, Outcome, RecordText,
    RequestFacts,
};
use workspace_sts::domain::ids::{AuditRecordId, ChainId};
use workspace_sts::entropy::time_ordered_uuid;
use workspace_sts::storage::{Mutation, Store};

use crate::samples::*;

/// No numbers at all; a bare `[]` has no type.
const NONE: [i64; 0] = [];

fn all() -> AuditFilter {
    AuditFilter::default()
}

async fn matching(store: &Arc<dyn Store>, filter: &AuditFilter) -> Vec<Chained<AuditRecord>> {
    reading::newest(store.as_ref(), filter, usize::MAX).await.unwrap()
}

/// Numbers of the records that a filter finds, as they come.
async fn found(store: &Arc<dyn Store>, filter: AuditFilter) -> Vec<i64> {
    let entries = matching(store, &filter).await;
    let number = |found: &Chained<AuditRecord>| (found.record.occurred_at - at(0)).num_seconds();
    entries.iter().map(number).collect()
}

pub async fn a_record_is_read_back_with_every_field_and_with_none(store: Arc<dyn Store>) {
    let full = record(2);
    let bare = AuditRecord {
        reason: None,
        actor: Actor::default(),
        resource: None,
        token: None,
        detail: None,
        request: RequestFacts::default(),
        latency_micros: 0,
        ..record(1)
    };
    append(&store, &[bare.clone(), full.clone()]).await;
    let read = matching(&store, &all()).await;
    assert_eq!(read, [read_back(&full), read_back(&bare)]);
}

pub async fn an_append_is_idempotent_by_id(store: Arc<dyn Store>) {
    append(&store, &[record(1)]).await;
    let altered = AuditRecord { outcome: Outcome::Failed, ..record(1) };
    // Delivered again with others, altered, and twice in one batch.
    append(&store, &[altered, record(2), record(2)]).await;
    append(&store, &[record(1)]).await;
    commit(&store, &[], &[record(2)]).await.unwrap();
    let read = matching(&store, &all()).await;
    assert_eq!(read, [read_back(&record(2)), read_back(&record(1))]);
}

pub async fn a_commit_writes_its_records(store: Arc<dyn Store>) {
    let mutation = [Mutation::PutTenant(tenant(1))];
    commit(&store, &mutation, &[record(1), record(2)]).await.unwrap();
    assert_eq!(found(&store, all()).await, [2, 1]);
}

pub async fn filters_by_time_are_half_open(store: Arc<dyn Store>) {
    let mut records: Vec<_> = (1..=5).map(record).collect();
    // A microsecond before record 3.
    let earlier = at(3) - Duration::microseconds(1);
    let twin = AuditRecord {
        id: AuditRecordId::from_uuid(time_ordered_uuid(earlier, &[0xff; 8])),
        occurred_at: earlier,
        ..record(3)
    };
    records.push(twin.clone());
    append(&store, &records).await;
    let between = |since, until| AuditFilter { since, until, ..all() };
    assert_eq!(found(&store, between(Some(at(3)), None)).await, [5, 4, 3]);
    let before = matching(&store, &between(None, Some(at(3)))).await;
    let expected = [read_back(&twin), read_back(&record(2)), read_back(&record(1))];
    assert_eq!(before, expected, "the bound itself is left out");
    assert_eq!(found(&store, between(Some(at(2)), Some(at(3)))).await.len(), 2);
    assert_eq!(found(&store, between(Some(at(3)), Some(at(3)))).await, NONE);
    assert_eq!(found(&store, between(Some(at(6)), None)).await, NONE);
}

pub async fn filters_by_principal_take_object_and_client_ids(store: Arc<dyn Store>) {
    let nobody = AuditRecord { actor: Actor::default(), ..record(4) };
    append(&store, &[record(1), record(2), record(3), nobody]).await;
    let of = |principal: Uuid| AuditFilter { principal: Some(principal), ..all() };
    assert_eq!(found(&store, of(object_id(2).uuid())).await, [2]);
    assert_eq!(found(&store, of(client_id(2).uuid())).await, [2]);
    assert_eq!(found(&store, of(tenant_id(1).uuid())).await, NONE);
}

pub async fn filters_by_webservice_take_either_view_and_parts(store: Arc<dyn Store>) {
    let home = workspace_id("rg-a", "ws-1");
    let at_resource =
        |n, resource: Option<String>| AuditRecord { resource: resource.map(Arc::from), ..record(n) };
    let records = [
        at_resource(1, Some(webservice_id(&home, "Churn").to_string())),
        at_resource(2, Some(webservice_id(&home, "churn-2").to_string())),
        at_resource(3, Some(webservice_id(&workspace_id("rg-a", "ws-2"), "churn").to_string())),
        at_resource(4, Some(home.to_string())),
        at_resource(5, None),
    ];
    append(&store, &records).await;
    let of = |text: &str| AuditFilter { webservice: Some(text.to_owned()), ..all() };
    let (v1, v2) = (format!("{home}/services/churn"), format!("{home}/onlineEndpoints/CHURN"));
    assert_eq!(found(&store, of(&v1)).await, [1], "a whole id is that one only");
    assert_eq!(found(&store, of(&v2)).await, [1]);
    assert_eq!(found(&store, of("churn-2")).await, [2]);
    assert_eq!(found(&store, of("CHURN")).await, [3, 2, 1]);
    assert_eq!(found(&store, of(&home.to_string())).await, [4, 2, 1]);
    assert_eq!(found(&store, of("c%n")).await, NONE, "no wildcards");
}

pub async fn filters_by_outcome_and_event_narrow_together(store: Arc<dyn Store>) {
    let mut records = Vec::new();
    for event in Event::ALL {
        for outcome in Outcome::ALL {
            let n = i64::try_from(records.len()).expect("a small number");
            records.push(AuditRecord { event, outcome, ..record(n) });
        }
    }
    append(&store, &records).await;
    for event in Event::ALL {
        let of = AuditFilter { event: Some(event), ..all() };
        assert_eq!(found(&store, of).await.len(), Outcome::ALL.len());
    }
    for outcome in Outcome::ALL {
        let of = AuditFilter { outcome: Some(outcome), ..all() };
        assert_eq!(found(&store, of).await.len(), Event::ALL.len());
    }
    let both = AuditFilter { event: Some(Event::Change), outcome: Some(Outcome::Refused), ..all() };
    let read = matching(&store, &both).await;
    assert_eq!(read.len(), 1);
    assert_eq!((read[0].record.event, read[0].record.outcome), (Event::Change, Outcome::Refused));
}

pub async fn the_newest_come_first_up_to_the_limit(store: Arc<dyn Store>) {
    // Written out of order, as group commits of several processes are.
    append(&store, &[record(2), record(9), record(4)]).await;
    append(&store, &[record(7), record(1)]).await;
    assert_eq!(found(&store, all()).await, [9, 7, 4, 2, 1]);
    for (limit, expected) in [(3, &[9, 7, 4][..]), (100, &[9, 7, 4, 2, 1]), (0, &[])] {
        let read = reading::newest(store.as_ref(), &all(), limit).await.unwrap();
        let numbers: Vec<_> =
            read.iter().map(|found| (found.record.occurred_at - at(0)).num_seconds()).collect();
        assert_eq!(numbers, expected);
    }
}

pub async fn a_thousand_records_are_one_batch(store: Arc<dyn Store>) {
    let records: Vec<_> = (0..1000).map(record).collect();
    append(&store, &records).await;
    let expected: Vec<_> = (0..1000).rev().collect();
    assert_eq!(found(&store, all()).await, expected);
    // The sizes around those at which a batch is cut into statements.
    let mut next = 1000;
    for size in [1, 63, 64, 65, 128, 129] {
        let records: Vec<_> = (next..next + size).map(record).collect();
        append(&store, &records).await;
        next += size;
        let expected: Vec<_> = (0..next).rev().collect();
        assert_eq!(found(&store, all()).await, expected, "after a batch of {size}");
    }
}

pub async fn records_of_one_instant_are_all_kept(store: Arc<dyn Store>) {
    // More than the places of an instant, so that some must go beside it, and into the instant after.
    let at_once = |n: u64| {
        let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        AuditRecord { id: AuditRecordId::from_uuid(time_ordered_uuid(at(1), &random)), ..record(1) }
    };
    let records: Vec<_> = (0..700).map(at_once).collect();
    let next = AuditRecord { occurred_at: at(1) + Duration::microseconds(1), ..at_once(700) };
    append(&store, &records).await;
    append(&store, std::slice::from_ref(&next)).await;
    // Delivered again, in another order and in other batches.
    for part in records.rchunks(150) {
        append(&store, part).await;
    }
    let read = matching(&store, &all()).await;
    assert_eq!(read.len(), 701);
    let mut ids: Vec<String> = read.into_iter().map(|found| found.record.id.to_string()).collect();
    let mut expected: Vec<String> =
        records.iter().chain([&next]).map(|record| record.id.to_string()).collect();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    let within = AuditFilter { since: Some(at(1)), until: Some(at(1) + Duration::microseconds(1)), ..all() };
    assert_eq!(matching(&store, &within).await.len(), 700, "the bound is exact for those that moved, too");
}

pub async fn a_record_is_found_by_its_id(store: Arc<dyn Store>) {
    let twin = AuditRecord {
        id: AuditRecordId::from_uuid(Uuid::from_u128(record(1).id.uuid().as_u128() ^ (1 << 40))),
        ..record(1)
    };
    append(&store, &[record(1), record(2), twin.clone()]).await;
    for wanted in [record(1), twin] {
        assert_eq!(store.audit_record(wanted.id).await.unwrap(), Some(chained(&wanted)));
    }
    assert_eq!(store.audit_record(record(3).id).await.unwrap(), None);
    assert_eq!(store.audit_record(AuditRecordId::from_uuid(Uuid::nil())).await.unwrap(), None);
    assert_eq!(store.audit_record(AuditRecordId::from_uuid(Uuid::max())).await.unwrap(), None);
}

pub async fn the_whole_audit_is_read_in_pages_in_either_direction(store: Arc<dyn Store>) {
    let records: Vec<_> = (1..=7).map(record).collect();
    for part in [&records[4..], &records[..2], &records[2..4]] {
        append(&store, part).await;
    }
    let mut expected: Vec<_> = records.iter().map(chained).collect();
    assert_eq!(pages(&store, Order::OldestFirst, AuditCursor::start(Order::OldestFirst)).await, expected);
    assert_eq!(pages(&store, Order::OldestFirst, AuditCursor::At(at(2))).await, expected[1..]);
    expected.reverse();
    assert_eq!(pages(&store, Order::NewestFirst, AuditCursor::start(Order::NewestFirst)).await, expected);
    assert_eq!(pages(&store, Order::NewestFirst, AuditCursor::At(at(6))).await, expected[2..]);
}

async fn pages(store: &Arc<dyn Store>, order: Order, start: AuditCursor) -> Vec<Chained<RecordText>> {
    let (mut cursor, mut read) = (start, Vec::new());
    loop {
        let page = store.audit_page(order, cursor, 2).await.unwrap();
        let Some((behind, _)) = page.last() else { return read };
        assert!(page.len() <= 2);
        cursor = *behind;
        read.extend(page.into_iter().map(|(_, found)| found));
    }
}

pub async fn old_records_are_removed_and_their_ends_known(store: Arc<dyn Store>) {
    // Two chains of three links each, one a second, side by side.
    let linked = |chain: u128, number: i64| {
        let record = record(2 * number + i64::try_from(chain).expect("small"));
        let Chained { record, link } = chained(&record);
        Chained { record, link: Link { chain: ChainId::from_uuid(Uuid::from_u128(chain)), number, ..link } }
    };
    let all: Vec<_> = (0..3).flat_map(|number| [linked(0, number), linked(1, number)]).collect();
    let given: Vec<_> = all.iter().map(Chained::as_ref).collect();
    store.append_audit(&given).await.unwrap();
    // Before second 3: links 0 and 1 of chain 0, link 0 of chain 1.
    let mut ends = store.audit_ends(at(3)).await.unwrap();
    ends.sort_by_key(|end| end.chain.uuid());
    assert_eq!(ends, [all[2].link, all[1].link]);
    assert_eq!(store.audit_ends(at(0)).await.unwrap(), []);
    assert_eq!(store.remove_audit(at(3)).await.unwrap(), 3);
    assert_eq!(store.remove_audit(at(3)).await.unwrap(), 0);
    assert_eq!(pages(&store, Order::OldestFirst, AuditCursor::start(Order::OldestFirst)).await, all[3..]);
    store.prepare_audit().await.unwrap();
    store.prepare_audit().await.unwrap();
}

pub async fn an_empty_batch_is_well(store: Arc<dyn Store>) {
    append(&store, &[]).await;
    assert_eq!(found(&store, all()).await, NONE);
}
