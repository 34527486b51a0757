//! Old records are removed, and what is left can be checked; whatever else is taken away or slipped in is named.

use std::sync::Arc;

use chrono::Duration;
use workspace_sts::audit::chain::ChainKey;
use workspace_sts::audit::verify::{Fault, Read, Verifier};
use workspace_sts::domain::audit::{AuditCursor, Chained, Order, RecordText};

use crate::helpers::*;

fn kept(app: &TestApp) -> Vec<Chained<RecordText>> {
    let core = Arc::clone(&app.core);
    let order = Order::OldestFirst;
    let page =
        app.block_on(async move { core.store.audit_page(order, AuditCursor::start(order), 10_000).await });
    page.unwrap().into_iter().map(|(_, found)| found).collect()
}

fn verify(records: Vec<Chained<RecordText>>) -> Result<Read, Fault> {
    // As `Deployment` writes it.
    let mut verifier = Verifier::new(ChainKey::derive(&[2; 32]));
    records.into_iter().try_for_each(|found| verifier.read(found))?;
    verifier.finish()
}

/// Removes what is older than some seconds; how many that were.
fn remove(app: &TestApp, seconds: i64) -> u64 {
    let core = Arc::clone(&app.core);
    app.block_on(async move {
        let before = core.clock.now() - Duration::seconds(seconds);
        core.remove_audit_before(before, |_| ()).await.unwrap()
    })
}

#[test]
fn chains_hold_however_often_and_whatever_is_removed() {
    let app = TestApp::start();
    app.token_as(&READER, "scorer").expect(200);
    app.advance(3600);
    app.token_as(&READER, "scorer").expect(200);
    let all = kept(&app).len() as u64;
    // Twice at the same time, the second time with nothing left to remove.
    assert_eq!(remove(&app, 1800), all - 1);
    assert_eq!(remove(&app, 1800), 0);
    let shortened = verify(kept(&app)).unwrap().shortened;
    assert!(shortened > 0);
    // All that names the cut is old by now, and the chain goes on nevertheless.
    app.advance(3600);
    remove(&app, 60);
    app.advance(3600);
    remove(&app, 60);
    app.token_as(&READER, "scorer").expect(200);
    let left = kept(&app);
    verify(left.clone()).unwrap();
    let tokens: Vec<_> = left.iter().filter(|found| found.record.json.contains("webservice_token")).collect();
    assert_eq!(tokens.len(), 1);
    assert!(tokens[0].link.number > 0, "the chain is the one of before");
    // What says so may not be missing.
    let without =
        |word: &str| left.iter().filter(|found| !found.record.json.contains(word)).cloned().collect();
    assert!(matches!(verify(without("audit_removal")), Err(Fault::Missing { .. })));
}

#[test]
fn nothing_can_be_slipped_in_where_something_was_removed() {
    let app = TestApp::start();
    app.token_as(&READER, "scorer").expect(200);
    app.advance(3600);
    let before = kept(&app);
    remove(&app, 1800);
    app.token_as(&READER, "scorer").expect(200);
    let left = kept(&app);
    verify(left.clone()).unwrap();
    // Each of those that are gone, as it was or altered, with the code that the removal names.
    for old in before.iter().filter(|old| old.link.number > 0) {
        let mut altered = old.clone();
        altered.record.json = old.record.json.replace("issued", "refused");
        for slipped in [old.clone(), altered] {
            let mut records = vec![slipped];
            records.extend(left.iter().cloned());
            let found = verify(records).expect_err("it was removed");
            let named =
                matches!(found, Fault::Unfinished { .. } | Fault::Missing { .. } | Fault::Altered { .. });
            assert!(named, "{found}");
        }
    }
}
