//! Connections that do not go on are ended, and one address has no more than its share.

use std::time::{Duration, Instant};

use crate::helpers::*;
use crate::{http2, raw};

const JWKS: &[u8] = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn with_limits(limits: &str) -> TestApp {
    TestApp::with(|deployment| deployment.more_config = format!("[limits]\n{limits}\n"))
}

fn impatient() -> TestApp {
    with_limits("head_deadline_seconds = 1\nbody_deadline_seconds = 1\nkeep_alive_seconds = 1")
}

fn cut(app: &TestApp, reason: &str) -> u64 {
    app.core.metrics.connections_cut.with_label_values(&[reason]).get()
}

#[test]
fn a_later_head_that_stops_has_a_deadline_too() {
    let app = impatient();
    let mut connection = raw::Connection::open(&app);
    for _ in 0..2 {
        connection.write(JWKS);
        assert_eq!(connection.read().expect("an answer").status, 200);
    }
    connection.write(b"GET /.well-known/jwks.json HTTP/1.1\r\nHos");
    let began = Instant::now();
    // Panics when nothing happens in 20 s.
    assert!(connection.read().is_none(), "an answer to half a head");
    println!("half a second head was dropped after {} ms", began.elapsed().as_millis());
    assert_eq!(cut(&app, "stalled"), 1);
}

#[test]
fn a_first_head_that_stops_is_told_so_and_an_idle_connection_just_ends() {
    let app = impatient();
    let mut connection = raw::Connection::open(&app);
    connection.write(b"GET /.well-known/jwks.json HTTP/1.1\r\nHos");
    assert_eq!(connection.read().expect("an answer").status, 408);
    let mut connection = raw::Connection::open(&app);
    connection.write(JWKS);
    assert_eq!(connection.read().expect("an answer").status, 200);
    assert!(connection.read().is_none());
    assert_eq!(cut(&app, "stalled"), 0, "actix ends both by itself");
}

#[test]
fn a_caller_that_goes_on_keeps_its_connection() {
    // It lives on beyond the patience with it, 4 s.
    let app = with_limits("head_deadline_seconds = 1\nbody_deadline_seconds = 1\nkeep_alive_seconds = 3");
    let mut connection = raw::Connection::open(&app);
    for _ in 0..12 {
        connection.write(JWKS);
        assert_eq!(connection.read().expect("an answer").status, 200);
        std::thread::sleep(Duration::from_millis(600));
    }
    assert_eq!(cut(&app, "stalled"), 0);
}

#[test]
fn an_answer_over_http2_that_nobody_reads_ends_its_connection() {
    let app = impatient();
    let waited = http2::never_read(&app, "/.well-known/jwks.json");
    println!("an unread answer over HTTP/2 was dropped after {} ms", waited.as_millis());
    assert_eq!(cut(&app, "stalled"), 1);
}

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let app = with_limits("max_connections_per_address = 4");
    let mut open = Vec::new();
    while cut(&app, "too_many") == 0 {
        let mut connection = raw::Connection::open(&app);
        connection.write(JWKS);
        match connection.read() {
            Some(answer) => assert_eq!(answer.status, 200),
            None => assert_eq!(cut(&app, "too_many"), 1, "ended for another reason"),
        }
        open.push(connection);
        assert!(open.len() <= 5, "the limit does not hold");
    }
    drop(open);
    // The service notices in its own time.
    let began = Instant::now();
    loop {
        let mut connection = raw::Connection::open(&app);
        connection.write(JWKS);
        if connection.read().is_some() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "places are not given back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_proxy_that_is_named_may_have_more() {
    let app = TestApp::with(|deployment| {
        deployment.more_server = "trusted_proxies = [\"127.0.0.1\"]\n".to_owned();
        deployment.more_config = "[limits]\nmax_connections_per_address = 1\n".to_owned();
    });
    let mut open: Vec<_> = (0..5).map(|_| raw::Connection::open(&app)).collect();
    for connection in &mut open {
        connection.write(JWKS);
        assert_eq!(connection.read().expect("an answer").status, 200);
    }
    assert_eq!(cut(&app, "too_many"), 0);
}
