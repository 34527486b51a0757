//! Ids by which a request is found again: taken over when they are plain, replaced when they are not.

use crate::helpers::*;

fn ask(app: &TestApp, headers: &[(&str, &str)]) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", READER.client_id),
        ("client_secret", app.secret(&READER)),
        ("resource", &audience("scorer")),
    ];
    app.form("/oauth2/token", headers, &fields).expect(200)
}

#[test]
fn a_callers_request_id_is_echoed_and_recorded() {
    let app = TestApp::start();
    for header in ["x-request-id", "client-request-id"] {
        let id = format!("Probe-1_a.{header}");
        let answer = ask(&app, &[(header, &id)]);
        assert_eq!(answer.request_id(), id);
        assert_eq!(app.record_of(&answer).request_id, id);
    }
    let longest = "x".repeat(64);
    assert_eq!(ask(&app, &[("x-request-id", &longest)]).request_id(), longest);
}

#[test]
fn a_hostile_request_id_is_replaced() {
    let app = TestApp::start();
    let too_long = "x".repeat(65);
    for hostile in ["", "two words", "a\tb", "<script>", "a\"b", "line%0abreak", "é", &too_long] {
        let answer = ask(&app, &[("x-request-id", hostile)]);
        let id = answer.request_id();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{hostile}: {id}");
        app.record_of(&answer);
    }
}

#[test]
fn a_request_without_an_id_gets_one_of_its_own() {
    let app = TestApp::start();
    let (one, two) = (ask(&app, &[]), ask(&app, &[]));
    assert_ne!(one.request_id(), two.request_id());
}

#[test]
fn the_trace_id_of_a_proxy_is_recorded() {
    let app = TestApp::start();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = ask(&app, &[("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))]);
    assert_eq!(app.record_of(&answer).trace_id.as_deref(), Some(trace));
    for wrong in [
        "",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-short-00f067aa0ba902b7-01",
        "garbage",
    ] {
        let answer = ask(&app, &[("traceparent", wrong)]);
        assert_eq!(app.record_of(&answer).trace_id, None, "{wrong}");
    }
}

#[test]
fn an_error_names_the_trace_to_ask_for() {
    let app = TestApp::start();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let headers = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("x-request-id", "mine"),
    ];
    let body = app.form("/oauth2/token", &headers, &[]).expect(400).json();
    assert_eq!((&body["trace_id"], &body["correlation_id"]), (&trace.into(), &"mine".into()));
}

#[test]
fn every_answer_names_its_request() {
    let app = TestApp::start();
    let long = format!("/{}", "x".repeat(9000));
    for path in ["/oauth2/token", "/nowhere", "/.well-known/jwks.json", "/subscriptions/x", &long] {
        let answer = app.send("GET", path, &[("x-request-id", "probe")], b"");
        assert_eq!(answer.request_id(), "probe", "{} {path}", answer.status);
    }
}
