//! Peers that don't go on: half a head, half a body, answers that nobody reads.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::alone;
use crate::deployment::{Deployment, figure};
use crate::load::{Load, Route};

const HEADS: usize = 200;
const BODIES: usize = 100;
const READERS: usize = 20;
const KEPT: usize = 50;

/// Opens a connection and sends that much of a request.
fn begin(address: &str, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

/// Waits until the service has ended the connection; how long that took since `began`.
fn ended(mut stream: TcpStream, began: Instant) -> Duration {
    stream
        .set_read_timeout(Some(
            Duration::from_secs(20).saturating_sub(began.elapsed()).max(Duration::from_millis(1)),
        ))
        .unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        // An answer may come first; what counts is the end.
        Ok(_) => began.elapsed(),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => began.elapsed(),
        Err(_) => Duration::MAX,
    }
}

#[test]
fn peers_that_do_not_go_on_hold_up_nobody_and_are_dropped() {
    let _alone = alone();
    let deployment = Deployment::on_sqlite(8);
    let replica = deployment.start(0);
    let address = replica.base.trim_start_matches("http://").to_owned();
    let began = Instant::now();
    let form = "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let mut stuck: Vec<_> =
        (0..HEADS).map(|_| begin(&address, "POST /oauth2/token HTTP/1.1\r\nHost: loc")).collect();
    let sized = format!("{form}Content-Length: 500\r\n\r\ngrant_type");
    let chunked = format!("{form}Transfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n");
    // Answered before the body is asked for: nobody is proven.
    let early = "PATCH /modelmanagement/v1.0/subscriptions/x/nowhere HTTP/1.1\r\nHost: localhost\r\n\
                 Transfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n";
    for number in 0..BODIES {
        stuck.push(begin(&address, [&sized, &chunked, early][number % 3]));
    }
    let asks = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    // A request is answered, and the next head of the same connection stops.
    for _ in 0..KEPT {
        let mut stream = begin(&address, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(stream.read(&mut [0; 16]).unwrap() > 0);
        stream.write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: loc").unwrap();
        stuck.push(stream);
    }
    let before = replica.resident_mib();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let stream = TcpStream::connect(&address).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            // It need not take them all.
            let _ = (&stream).write_all(asks.as_bytes());
            stream
        })
        .collect();
    let seen = Load::run_for(&Route::to(&[&replica.base]), &deployment.callers, Duration::from_secs(3));
    let grown = replica.resident_mib() - before;
    drop(readers);
    let slowest = stuck.into_iter().map(|stream| ended(stream, began)).max().unwrap();
    let fault = "half-open, slow readers";
    figure(
        fault,
        "stuck heads, bodies, second heads, unread pipelines",
        format!("{HEADS}, {BODIES}, {KEPT}, {READERS}"),
        "",
    );
    figure(fault, "p99 of good callers, ms", format!("{:.1}", seen.percentile(0.99)), "2000");
    figure(fault, "good answers, %", format!("{:.2}", seen.good_share()), "100");
    figure(fault, "slowest dropped after, ms", slowest.as_millis(), "15000");
    figure(fault, "resident memory grown by, MiB", format!("{grown:.0}"), "64");
    assert!(seen.bad().is_empty(), "{:?}", seen.bad());
    assert!(seen.percentile(0.99) < 2000.0 && slowest < Duration::from_secs(15) && grown < 64.0);
}
