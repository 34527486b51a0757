//! `wsts keys rewrap`: the change of a KEK as an operator does it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::helpers::*;

fn line(byte: u8) -> String {
    URL_SAFE_NO_PAD.encode([byte; 32])
}

fn kids(place: &Place) -> Vec<String> {
    let listed = place.over_demo(&["keys", "list"]).expect(0).out;
    let mut words: Vec<String> =
        listed.split_whitespace().filter(|word| word.len() == 43).map(str::to_owned).collect();
    words.sort();
    assert!(!words.is_empty(), "{listed}");
    words
}

#[test]
fn a_kek_is_changed_in_six_steps() {
    let place = Place::with_demo();
    let old = place.read("wsts-data/kek").trim().to_owned();
    let before = kids(&place);
    // A replica that was not restarted with both yet.
    let mut behind = place.serve();
    place.write("wsts-data/kek", &format!("{}\n{old}\n", line(9)));
    let ended = place.over_demo(&["keys", "rewrap"]).expect(1);
    assert!(ended.err.contains("not known to every replica that serves"), "{}", ended.err);
    assert!(ended.err.contains("of region local"), "{}", ended.err);
    let ended = place.over_demo(&["keys", "rewrap", "--check"]).expect(1);
    assert!(
        ended.out.contains(": lacks KEK ") && ended.out.contains("configured, only opens"),
        "{}",
        ended.out
    );
    behind.terminate();
    assert_eq!(behind.wait(), Some(0));

    let mut serving = place.serve();
    let ended = place.over_demo(&["keys", "rewrap"]).expect(0);
    assert!(ended.out.contains("re-wrapped 2 signing keys and "), "{}", ended.out);
    assert!(ended.out.contains(": seals under the first"), "{}", ended.out);
    assert!(ended.out.contains("Nothing needs another KEK"), "{}", ended.out);
    let ended = place.over_demo(&["keys", "rewrap"]).expect(0);
    assert!(ended.out.contains("re-wrapped 0 signing keys and 0 access keys"), "{}", ended.out);
    place.healthcheck().expect(0);
    serving.terminate();
    assert_eq!(serving.wait(), Some(0));

    place.write("wsts-data/kek", &line(9));
    let _serving = place.serve();
    place.over_demo(&["keys", "rewrap", "--check"]).expect(0);
    assert_eq!(kids(&place), before);
    let rewraps: Vec<_> = place.audit().into_iter().filter(|row| row["event"] == "rewrap").collect();
    assert!(rewraps.len() >= 2, "{rewraps:?}");
    for row in &rewraps {
        let text = row.to_string();
        assert!(!text.contains(&old) && !text.contains(&line(9)), "{text}");
    }
    place.over_demo(&["audit", "verify"]).expect(0);
}

/// The first of two restarts, after which nothing is re-wrapped yet: the new KEK must not be taken for the old one.
#[test]
fn the_kek_that_seals_is_named_before_any_is_destroyed() {
    let place = Place::with_demo();
    let ended = place.over_demo(&["keys", "rewrap", "--check"]).expect(0);
    assert!(ended.out.contains("is the only one") && ended.out.contains("No replica says"), "{}", ended.out);
    let old = place.read("wsts-data/kek").trim().to_owned();
    place.write("wsts-data/kek", &format!("{old}\n{}\n", line(9)));
    let ended = place.over_demo(&["keys", "rewrap"]).expect(0);
    assert!(ended.out.contains("re-wrapped 0 signing keys"), "{}", ended.out);
    let told = "if that is the new one";
    assert!(ended.out.contains(told) && ended.out.contains("put the new one first"), "{}", ended.out);
}

#[test]
fn no_database_is_made_by_a_question() {
    let place = Place::with_demo();
    std::fs::remove_file(place.path("wsts-data/wsts.db")).unwrap();
    let ended = place.over_demo(&["keys", "rewrap"]).expect(1);
    assert!(ended.err.contains("there is no database at"), "{}", ended.err);
}
