//! The operators' listener, and how the service stops.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::helpers::*;
use crate::raw::Connection;

/// Value of a series by its name and labels, as text of the exposition.
fn value(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    metrics
        .lines()
        .find(|line| {
            line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
        })
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

#[test]
fn health_is_answered_on_the_ops_listener_only() {
    let app = TestApp::start();
    assert_eq!(app.get_ops("/livez").expect(200).text(), "live\n");
    assert_eq!(app.get_ops("/readyz").expect(200).text(), "ready\n");
    app.get_ops("/healthz").expect(200);
    app.get_ops("/oauth2/token").expect(404);
    app.get("/metrics").expect(404);
}

#[test]
fn a_service_whose_keys_were_not_read_for_too_long_is_not_ready() {
    let app = TestApp::start();
    app.advance(2 * 3600);
    app.advance_unattended(23 * 3600);
    app.get_ops("/readyz").expect(200);
    app.advance_unattended(2 * 3600);
    let answer = app.get_ops("/readyz").expect(503);
    assert!(answer.text().starts_with("not ready: "), "{}", answer.text());
    app.get_ops("/livez").expect(200);
    let jwks = app.get("/.well-known/jwks.json").expect(200);
    assert_eq!(jwks.header("cache-control"), Some("no-cache"));
}

#[test]
fn every_series_is_there_at_zero_before_the_first_request() {
    let deployment = Deployment::new();
    let app = deployment.run();
    let metrics = app.get_ops("/metrics").expect(200);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let metrics = metrics.text();
    for endpoint in ["oauth", "v1", "v2"] {
        for outcome in
            ["issued", "invalid_request", "invalid_client", "access_denied", "rate_limited", "error", "shed"]
        {
            let labels = [format!("endpoint=\"{endpoint}\""), format!("outcome=\"{outcome}\"")];
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            assert_eq!(value(&metrics, "sts_token_requests_total", &labels), Some(0.0), "{labels:?}");
        }
    }
    for (name, labels) in [
        ("sts_tokens_issued_total", "alg=\"ES256\""),
        ("sts_token_request_duration_seconds_count", "class=\"issued\""),
        ("sts_client_authentications_total", "result=\"bad_secret\""),
        ("sts_jwks_requests_total", "code=\"304\""),
        ("sts_signing_duration_seconds_count", "alg=\"RS256\""),
        ("sts_audit_records_total", "sink=\"database\""),
        ("sts_audit_records_dropped_total", "region=\"local\""),
        ("sts_panics_total", "region=\"local\""),
        ("sts_rate_limited_total", "scope=\"client\""),
        ("sts_connections_cut_total", "reason=\"stalled\""),
        ("sts_clock_offset_seconds", "region=\"local\""),
    ] {
        assert_eq!(value(&metrics, name, &[labels]), Some(0.0), "{name}");
    }
    assert_eq!(value(&metrics, "sts_ready", &["region=\"local\""]), Some(1.0));
    assert_eq!(value(&metrics, "sts_signing_key_info", &["state=\"active\""]), Some(1.0));
}

#[test]
fn what_happens_is_counted() {
    let app = TestApp::start();
    app.token_as(&READER, "scorer").expect(200);
    let token = app.management_token(&READER);
    app.v1_token(&token, "scorer").expect(200);
    app.v2_token(&token, "keyed").expect(400);
    app.token_as(&STRANGER, "scorer").expect(400);
    app.token_as(&DISABLED, "scorer").expect(401);
    app.token_for(&READER, ISSUER, &[("token_lifetime_seconds", "59")]).expect(400);
    app.get("/.well-known/jwks.json").expect(200);
    app.get("/nowhere").expect(404);
    let metrics = app.get_ops("/metrics").text();
    let of = |name: &str, labels: &[&str]| value(&metrics, name, labels);
    let requests = "sts_token_requests_total";
    for (endpoint, outcome, count) in [
        ("oauth", "issued", 2.0),
        ("oauth", "access_denied", 1.0),
        ("oauth", "invalid_client", 1.0),
        ("oauth", "invalid_request", 1.0),
        ("v1", "issued", 1.0),
        ("v2", "access_denied", 1.0),
        ("v2", "issued", 0.0),
    ] {
        let labels = [format!("endpoint=\"{endpoint}\""), format!("outcome=\"{outcome}\"")];
        assert_eq!(of(requests, &[&labels[0], &labels[1]]), Some(count), "{labels:?}");
    }
    let pair =
        ["workspace_region=\"local\"", "compute_region=\"local\"", "alg=\"ES256\"", "endpoint=\"oauth\""];
    assert_eq!(of("sts_tokens_issued_total", &pair), Some(1.0));
    let authentications = "sts_client_authentications_total";
    assert_eq!(of(authentications, &["client_secret", "result=\"disabled\""]), Some(1.0));
    assert_eq!(of(authentications, &["management_token", "result=\"ok\""]), Some(2.0));
    assert_eq!(of("sts_jwks_requests_total", &["code=\"200\""]), Some(1.0));
    let route = ["http_route=\"/oauth2/token\"", "http_request_method=\"POST\"", "code=\"200\""];
    assert_eq!(of("http_server_request_duration_seconds_count", &route), Some(2.0));
    let unknown = ["http_route=\"other\"", "http_request_method=\"GET\""];
    assert_eq!(of("http_server_request_duration_seconds_count", &unknown), Some(1.0));
    // Nothing that a caller chose is a label.
    assert!(!metrics.contains("nowhere") && !metrics.contains(READER.client_id));
}

#[test]
fn refusals_of_malformed_requests_are_counted_as_such() {
    let app = TestApp::start();
    app.form("/oauth2/token", &[], &[("grant_type", "password")]).expect(400);
    let metrics = app.get_ops("/metrics").text();
    let route = ["http_route=\"/oauth2/token\"", "http_request_method=\"POST\"", "code=\"400\""];
    assert_eq!(value(&metrics, "http_server_request_duration_seconds_count", &route), Some(1.0));
}

#[test]
fn a_graceful_stop_lets_a_running_request_end() {
    let mut app = TestApp::start();
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&resource={}",
        READER.client_id,
        app.secret(&READER),
        audience("scorer")
    );
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut running = Connection::open(&app);
    running.write(head.as_bytes());
    running.write(&body.as_bytes()[..10]);
    // The handler has begun when the gauge says so.
    wait_until(|| {
        let metrics = app.get_ops("/metrics").text();
        value(&metrics, "sts_http_requests_in_flight", &["region"]) == Some(1.0)
    });
    let stopper = app.stopper.clone();
    let stop = app.spawn(async move { stopper.stop(true).await });
    wait_until(|| std::net::TcpStream::connect(app.public).is_err());
    // No longer ready, no longer listening, and still answering who was there.
    running.write(&body.as_bytes()[10..]);
    let answer = running.read().expect("an answer before the end").expect(200);
    assert!(!answer.token().is_empty());
    ended(&stop);
    app.stop(true);
    // The token's record was durable before it left.
    let app = app.restart();
    let jti = decoded(&answer.token()).1["jti"].as_str().unwrap().to_owned();
    assert!(app.audit().iter().any(|row| row.token_id.as_ref() == Some(&jti)));
}

#[test]
fn readiness_ends_before_the_listener_does() {
    let app = TestApp::start();
    let mut running = Connection::open(&app);
    running.write(b"POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n");
    wait_until(|| {
        let metrics = app.get_ops("/metrics").text();
        value(&metrics, "sts_http_requests_in_flight", &["region"]) == Some(1.0)
    });
    let stopper = app.stopper.clone();
    let stop = app.spawn(async move { stopper.stop(true).await });
    wait_until(|| app.get_ops("/readyz").status == 503);
    assert_eq!(app.get_ops("/readyz").text(), "not ready: draining\n");
    let metrics = app.get_ops("/metrics").text();
    assert_eq!(value(&metrics, "sts_ready", &["region"]), Some(0.0));
    running.write(b"0123456789");
    running.read().unwrap().expect(400);
    ended(&stop);
}

/// Waits for a stop: its last word, or the end of the runtime that would say it.
fn ended(stop: &Receiver<()>) {
    let outcome = stop.recv_timeout(Duration::from_secs(20));
    assert_ne!(outcome, Err(RecvTimeoutError::Timeout), "still draining");
}

#[track_caller]
fn wait_until(mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "not within 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn regions_that_callers_name_do_not_make_series_for_ever() {
    let app = TestApp::start();
    let token = app.management_token(&CONTRIBUTOR);
    for n in 0..80 {
        let body = serde_json::json!({ "location": format!("region-{n}"), "properties": { "authMode": "AMLToken", "computeType": "AKS" } });
        app.api_with(&token).put(&webservice(&format!("of-{n}")), &body).expect(201);
    }
    app.token_as(&READER, "of-79").expect(200);
    let metrics = app.get_ops("/metrics").text();
    let named = |n: usize| metrics.contains(&format!("compute_region=\"region-{n}\""));
    assert!(named(0) && !named(79));
    assert!((60..=64).contains(&(0..80).filter(|n| named(*n)).count()));
    let of_others = ["compute_region=\"other\"", "endpoint=\"oauth\"", "alg=\"ES256\""];
    assert_eq!(value(&metrics, "sts_tokens_issued_total", &of_others), Some(1.0));
}
