//! `wsts token`: a token kept in a private file until it should be refreshed.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

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

/// Answers one request on the place's port.
fn answer_once(place: &Place, status: &str, body: &str) -> std::thread::JoinHandle<()> {
    let listener = TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        // The form's last value.
        while !String::from_utf8_lossy(&seen).contains("scorer") {
            let count = stream.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
    })
}

#[test]
fn a_kept_token_bridges_an_outage_and_no_refusal() {
    let place = Place::new();
    let (url, webservice) =
        (format!("http://127.0.0.1:{}", place.port), format!("{WORKSPACE}/onlineEndpoints/scorer"));
    let ask = || {
        let args = ["token", "--url", &url, "--webservice", &webservice, "--cache", "cache"];
        place.run(&[&args[..], &["--client-id", READER, "--client-secret", "s"]].concat())
    };
    // To be refreshed at once, and alive for an hour.
    let issued = "{\"access_token\":\"kept\",\"expires_in\":3600,\"refresh_by\":1}";
    let answering = answer_once(&place, "200", issued);
    assert_eq!(ask().expect(0).out, "kept\n");
    answering.join().unwrap();
    let body = "{\"error\":\"some_error\",\"error_description\":\"why\"}";
    for status in ["400", "401", "403", "404"] {
        let answering = answer_once(&place, status, body);
        let ended = ask().expect(1);
        answering.join().unwrap();
        assert!(ended.out.is_empty(), "{status}");
        assert!(ended.err.contains(&format!("answered {status}: some_error: why")), "{}", ended.err);
    }
    for status in ["429", "500", "503"] {
        let answering = answer_once(&place, status, body);
        let ended = ask().expect(0);
        answering.join().unwrap();
        assert_eq!(ended.out, "kept\n", "{status}");
        assert!(ended.err.contains("using the kept token"), "{}", ended.err);
    }
    // Nobody listens.
    assert_eq!(ask().expect(0).out, "kept\n");
}

#[test]
fn the_next_address_gives_the_token_when_one_is_away_or_names_another() {
    let place = Place::with_demo();
    let _serving = place.serve();
    let (dead, there) = (Place::new().port, place.url(""));
    let dead = format!("http://127.0.0.1:{dead}");
    let secret_file = format!("wsts-data/{READER}.secret");
    let ask = |urls: &[&str], more: &[&str]| {
        let webservice = format!("{WORKSPACE}/onlineEndpoints/scorer");
        let fixed =
            ["token", "--webservice", &webservice, "--ca", "wsts-data/ca.pem", "--cache", "cache", "-v"];
        let urls: Vec<&str> = urls.iter().flat_map(|url| ["--url", url]).collect();
        place.run(&[&fixed, urls.as_slice(), &as_reader(more, &secret_file)].concat())
    };
    let ended = ask(&[&dead, &there], &[]).expect(0);
    assert_eq!(ended.out.trim().split('.').count(), 3, "{}", ended.out);
    let said: Vec<_> = ended.err.lines().collect();
    assert!(
        said.len() == 2
            && said[0].contains(&dead)
            && said[1].starts_with(&format!("wsts: {there} gave a token after")),
        "{said:?}"
    );
    // It is remembered which one was away.
    let ended = ask(&[&dead, &there], &["--fresh"]).expect(0);
    assert!(ended.err.lines().count() == 1 && ended.err.contains(&there), "{}", ended.err);

    // One that serves another region names the right one, which comes next.
    let elsewhere = Place::new();
    let body = format!(
        "{{\"error\":\"invalid_target\",\"error_description\":\"elsewhere\",\"serving_regions\":[{{\"name\":\"local\",\"url\":\"{there}\"}}]}}"
    );
    let answering = answer_once(&elsewhere, "421", &body);
    let misdirected = format!("http://127.0.0.1:{}", elsewhere.port);
    let ended = ask(&[&misdirected, &dead, &there], &[]).expect(0);
    answering.join().unwrap();
    let said: Vec<_> = ended.err.lines().collect();
    assert!(said.len() == 2 && said[0].contains("answered 421: invalid_target: elsewhere"), "{said:?}");
    assert!(said[1].contains(&there), "{said:?}");
}

/// Wherever an address is written so that it looks like this machine or like TLS and is neither.
#[test]
fn a_secret_is_sent_nowhere_in_clear_text() {
    let place = Place::new();
    for (url, words) in [
        ("http://sts.example", "https only"),
        ("HTTP://127.0.0.2:1", "https only"),
        ("ftp://localhost", "https only"),
        ("http://localhost:x@127.0.0.2:1", "write https://HOST"),
        ("https://user@sts.example", "write https://HOST"),
        ("https://sts.example/path", "write https://HOST"),
        ("sts example", "no address"),
    ] {
        let args =
            ["token", "--url", url, "--webservice", WORKSPACE, "--client-id", READER, "--client-secret", "s"];
        let ended = place.run(&args).expect(1);
        assert!(ended.err.contains(words), "{url}: {}", ended.err);
    }
}
