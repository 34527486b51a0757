//! `wsts audit`: filters and the two forms of a list, and a check that finds what was altered.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _};

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
    let times: Vec<&str> = rows.iter().map(|row| row["linked_at"].as_str().unwrap()).collect();
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

fn alter(place: &Place, sql: &str) {
    let file = format!("sqlite://{}", place.path("wsts-data/wsts.db").display());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut connection = SqliteConnection::connect(&file).await.unwrap();
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
        connection.close().await.unwrap();
    });
}

#[test]
fn a_check_names_what_was_altered_or_can_not_be_read() {
    let place = Place::with_demo();
    let good = place.over_demo(&["audit", "verify"]).expect(0).out;
    assert!(good.starts_with("good: ") && good.lines().count() == 1, "{good}");
    let rows = json(&place, &["--outcome", "issued"]);
    let id = rows[0]["id"].as_str().unwrap();
    let here = format!("WHERE id = x'{}'", id.replace('-', ""));
    alter(
        &place,
        &format!("UPDATE audit_records SET record = replace(record, '\"issued\"', '\"refused\"') {here}"),
    );
    let found = place.over_demo(&["audit", "verify"]).expect(1).err;
    assert!(found.contains(id) && found.contains("altered") && found.lines().count() == 1, "{found}");
    alter(&place, &format!("UPDATE audit_records SET record = 'granted' {here}"));
    let found = place.over_demo(&["audit", "verify"]).expect(1).err;
    assert!(found.contains(id) && found.lines().count() == 1, "{found}");
}

#[test]
fn an_export_holds_every_record_oldest_first() {
    let place = Place::with_demo();
    let mut listed = json(&place, &[]);
    listed.reverse();
    let export = |args: &[&str]| {
        let all = place.over_demo(&[&["audit", "export"], args].concat()).expect(0).out;
        all.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    assert_eq!(export(&[]), listed);
    let half = listed[listed.len() / 2]["occurred_at"].as_str().unwrap();
    let (before, from) = (export(&["--until", half]), export(&["--since", half]));
    assert!(!before.is_empty() && !from.is_empty());
    assert_eq!([before, from].concat(), listed);
}

#[test]
fn what_is_new_can_not_be_removed() {
    let place = Place::with_demo();
    let rows = json(&place, &[]).len();
    for before in ["0s", "59s", "2099-01-01T00:00:00Z"] {
        let refused = place.over_demo(&["audit", "remove", "--before", before]).expect(1).err;
        assert!(refused.contains("at least 60 seconds ago"), "{refused}");
    }
    let nothing = place.over_demo(&["audit", "remove", "--before", "1d"]).expect(0).out;
    assert!(nothing.starts_with("removed 0 records"), "{nothing}");
    assert_eq!(json(&place, &[]).len(), rows, "and nothing is recorded of nothing");
    let wrong = place.over_demo(&["audit", "remove", "--before", "4294967295d"]).expect(1).err;
    assert!(wrong.contains("too long ago"), "{wrong}");
}

#[test]
fn a_token_that_the_audit_shows_is_called_back_by_its_jti() {
    let place = Place::with_demo();
    let jti =
        place.audit().into_iter().find_map(|record| record["token_id"].as_str().map(str::to_owned)).unwrap();
    let done = place.over_demo(&["revoke-token", &jti]).expect(0);
    assert!(done.out.starts_with(&format!("revoked: {jti} is refused until ")), "{}", done.out);
    place.over_demo(&["revoke-token", "-_begins-with-a-hyphen"]).expect(0);
    let told = format!("token {jti}");
    assert!(place.audit().iter().any(|record| record["resource"] == told.as_str()), "it is on record");
    for wrong in ["../x", "", &"a".repeat(65), "\u{202e}"] {
        let ended = place.over_demo(&["revoke-token", wrong]).expect(1);
        assert!(ended.err.contains("no jti"), "{}", ended.err);
        assert!(!ended.err.contains('\u{202e}'), "{}", ended.err);
    }
    let ended = place.over_demo(&["revoke-token", &jti, "--until", "tomorrow"]).expect(1);
    assert!(ended.err.contains("--until"), "{}", ended.err);
}
