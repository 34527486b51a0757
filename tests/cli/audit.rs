//! `wsts audit list`: filters, and the two forms of the answer.

use crate::helpers::*;

fn json(place: &Place, args: &[&str]) -> Vec<serde_json::Value> {
    let listed = place.over_demo(&[&["audit", "list", "--format", "json"], args].concat()).expect(0);
    listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_table_for_people_and_lines_of_json_for_machines() {
    let place = Place::with_demo();
    let table = place.over_demo(&["audit", "list"]).expect(0).out;
    for word in ["outcome", "webservice_token", "issued", READER, "demo/scorer"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let rows = json(&place, &[]);
    let row = rows.iter().find(|row| row["outcome"] == "issued").unwrap();
    assert_eq!(row["resource"], format!("{WORKSPACE}/onlineEndpoints/scorer"));
    assert_eq!(row["client_id"], READER);
    let times: Vec<&str> = rows.iter().map(|row| row["occurred_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "newest first: {times:?}");
}

#[test]
fn every_filter_narrows() {
    let place = Place::with_demo();
    let all = json(&place, &[]).len();
    assert_eq!(json(&place, &["--outcome", "issued"]).len(), 2);
    assert_eq!(json(&place, &["--outcome", "refused"]).len(), 0);
    assert_eq!(json(&place, &["--event", "webservice_token"]).len(), 2);
    assert_eq!(json(&place, &["--principal", READER]).len(), 2);
    assert_eq!(json(&place, &["--principal", "44444444-4444-4444-4444-444444444444"]).len(), 2);
    assert_eq!(json(&place, &["--principal", STRANGER]).len(), 0);
    assert_eq!(json(&place, &["--webservice", "scorer", "--outcome", "issued"]).len(), 2);
    assert_eq!(json(&place, &["--webservice", "scorer-key", "--outcome", "issued"]).len(), 0);
    assert_eq!(json(&place, &["--limit", "1"]).len(), 1);
    assert_eq!(json(&place, &["--since", "1h"]).len(), all);
    assert_eq!(json(&place, &["--until", "1h"]).len(), 0);
    assert_eq!(json(&place, &["--since", "2099-01-01T00:00:00Z"]).len(), 0);
    let nothing = place.over_demo(&["audit", "list", "--until", "1h"]).expect(0);
    assert_eq!(nothing.out, "no records\n");
}

#[test]
fn a_filter_that_can_not_be_is_refused_by_name() {
    let place = Place::with_demo();
    for (args, word) in [
        (["--outcome", "granted"], "--outcome"),
        (["--event", "token"], "--event"),
        (["--since", "yesterday"], "yesterday"),
        (["--since", "é"], "neither"),
    ] {
        let ended = place.over_demo(&[&["audit", "list"], &args[..]].concat()).expect(1);
        assert!(ended.err.contains(word), "{}", ended.err);
    }
}
