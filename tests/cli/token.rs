//! `wsts token`: a token kept in a private file until it should be refreshed.

use crate::helpers::*;

/// Fetches a token for the demo's webservice; the last word of two equal flags counts.
pub fn token(place: &Place, more: &[&str]) -> Ended {
    let (url, webservice) = (place.url(""), format!("{WORKSPACE}/onlineEndpoints/scorer"));
    let args =
        ["token", "--url", &url, "--webservice", &webservice, "--ca", "wsts-data/ca.pem", "--cache", "cache"];
    place.run(&[&args, more].concat())
}

fn as_reader<'a>(more: &[&'a str], secret_file: &'a str) -> Vec<&'a str> {
    [&["--client-id", READER, "--client-secret-file", secret_file], more].concat()
}

#[test]
fn a_token_is_kept_until_a_fresh_one_is_asked_for() {
    let place = Place::with_demo();
    let serving = place.serve();
    let secret_file = format!("wsts-data/{READER}.secret");
    let first = token(&place, &as_reader(&[], &secret_file)).expect(0).out;
    assert_eq!(first.trim().split('.').count(), 3, "{first}");
    assert_eq!(token(&place, &as_reader(&[], &secret_file)).expect(0).out, first);
    let header = token(&place, &as_reader(&["--format", "header"], &secret_file)).expect(0).out;
    assert_eq!(header, format!("Authorization: Bearer {first}"));
    let json = token(&place, &as_reader(&["--format", "json"], &secret_file)).expect(0).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["access_token"], first.trim());
    assert!(json["refresh_by"].as_i64() < json["expires_at"].as_i64());
    let fresh = token(&place, &as_reader(&["--fresh"], &secret_file)).expect(0).out;
    assert_ne!(fresh, first);
    assert_eq!(token(&place, &as_reader(&[], &secret_file)).expect(0).out, fresh);

    assert_eq!(mode(&place.path("cache")), 0o700);
    let kept: Vec<_> =
        std::fs::read_dir(place.path("cache")).unwrap().map(|one| one.unwrap().path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(mode(&kept[0]), 0o600);
    assert!(!std::fs::read_to_string(&kept[0]).unwrap().contains("wsts_"), "no secret beside the token");

    // A kept token bridges an outage; a fresh one can't be had.
    drop(serving);
    assert_eq!(token(&place, &as_reader(&[], &secret_file)).expect(0).out, fresh);
    token(&place, &as_reader(&["--fresh"], &secret_file)).expect(1);
}

#[test]
fn a_broken_cache_file_is_as_good_as_none() {
    let place = Place::with_demo();
    let _serving = place.serve();
    let secret_file = format!("wsts-data/{READER}.secret");
    token(&place, &as_reader(&[], &secret_file)).expect(0);
    let kept = std::fs::read_dir(place.path("cache")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&kept, "{\"access_token\":").unwrap();
    token(&place, &as_reader(&[], &secret_file)).expect(0);
}

#[test]
fn a_refusal_is_told_in_the_services_words() {
    let place = Place::with_demo();
    let _serving = place.serve();
    let secret_file = format!("wsts-data/{STRANGER}.secret");
    let args = ["--client-id", STRANGER, "--client-secret-file", &secret_file];
    let ended = token(&place, &args).expect(1);
    assert!(ended.err.contains("no such webservice, or this principal has no role"), "{}", ended.err);
    assert!(ended.out.is_empty());
    let ended = token(&place, &["--client-id", READER, "--client-secret-file", &secret_file]).expect(1);
    assert!(ended.err.contains("invalid_client"), "{}", ended.err);
    let ended = token(&place, &["--client-id", READER]).expect(1);
    assert!(ended.err.contains("WSTS_CLIENT_SECRET"), "{}", ended.err);
}

#[test]
fn a_server_with_another_ca_is_not_believed() {
    let (place, other) = (Place::with_demo(), Place::with_demo());
    let _serving = place.serve();
    let foreign = other.read("wsts-data/ca.pem");
    place.write("wsts-data/ca.pem", &foreign);
    let secret_file = format!("wsts-data/{READER}.secret");
    let ended = token(&place, &as_reader(&[], &secret_file)).expect(1);
    assert!(ended.err.to_lowercase().contains("certificate"), "{}", ended.err);
}
