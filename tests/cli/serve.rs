//! `wsts serve` and `wsts healthcheck`: starting, draining, refusing to start twice.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::helpers::*;

#[test]
fn healthcheck_tells_by_its_exit_code() {
    let place = Place::with_demo();
    let ended = place.healthcheck().expect(1);
    assert!(ended.err.contains("127.0.0.1"), "{}", ended.err);
    let _serving = place.serve();
    assert_eq!(place.healthcheck().expect(0).out, "ready\n");
}

#[test]
fn sigterm_lets_a_running_request_end_and_exits_with_0() {
    let place = Place::with_demo();
    // Plain HTTP on loopback, so that the test can write half a request.
    let text = place.read("wsts-data/wsts.toml");
    let tls = text[text.find("[server.tls]").unwrap()..text.find("[ops]").unwrap()].to_owned();
    place.write("plain.toml", &text.replace(&tls, ""));
    let mut serving = place.serve_with("plain.toml");
    let body = format!(
        "grant_type=client_credentials&client_id={READER}&client_secret={}&resource={}{WORKSPACE}/services/scorer",
        place.read(&format!("wsts-data/{READER}.secret")),
        place.url(""),
    );
    let mut running = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{}",
        body.len(),
        &body[..20]
    );
    running.write_all(head.as_bytes()).unwrap();
    // In flight when the metrics say so.
    wait_until(|| {
        let mut ops = TcpStream::connect(("127.0.0.1", place.ops_port)).unwrap();
        ops.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        ops.read_to_string(&mut text).unwrap();
        text.contains("sts_http_requests_in_flight{region=\"local\"} 1")
    });
    serving.terminate();
    wait_until(|| TcpStream::connect(("127.0.0.1", place.port)).is_err());
    running.write_all(&body.as_bytes()[20..]).unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(serving.wait(), Some(0));
    assert!(place.read("log").contains("draining"), "{}", place.read("log"));
}

#[test]
fn an_idle_service_stops_at_once_on_sigterm() {
    let place = Place::with_demo();
    let mut serving = place.serve();
    serving.terminate();
    assert_eq!(serving.wait(), Some(0));
}

#[test]
fn a_second_service_on_the_same_port_is_refused_and_disturbs_nothing() {
    let place = Place::with_demo();
    let _serving = place.serve();
    let rows = place.audit().len();
    let ended = place.over_demo(&["serve"]).expect(1);
    assert!(ended.err.contains(&format!("can't listen on 127.0.0.1:{}", place.port)), "{}", ended.err);
    place.healthcheck().expect(0);
    assert_eq!(place.audit().len(), rows);
}

#[test]
fn a_log_line_holds_no_secret() {
    let place = Place::with_demo();
    let serving = place.serve();
    let secret_file = format!("wsts-data/{READER}.secret");
    crate::token::token(&place, &["--client-id", STRANGER, "--client-secret-file", &secret_file]).expect(1);
    crate::token::token(&place, &["--client-id", READER, "--client-secret-file", &secret_file]).expect(0);
    drop(serving);
    let log = place.read("log");
    assert!(log.contains("request refused"), "{log}");
    assert!(!log.contains(&place.read(&secret_file)) && !log.contains("eyJ"), "{log}");
}
