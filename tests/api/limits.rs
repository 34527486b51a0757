//! Who fails too often, or asks too often, is told when to come back; nobody else notices, and the audit is not flooded.

use crate::helpers::*;

/// The caller's address is what the test says.
fn behind_a_proxy(limits: &str) -> TestApp {
    TestApp::with(|deployment| {
        deployment.more_server = "trusted_proxies = [\"127.0.0.0/8\"]\n".to_owned();
        deployment.more_config = format!("[limits]\n{limits}\n");
    })
}

fn attempt(app: &TestApp, from: &str, client_id: &str, secret: &str) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", secret),
        ("resource", ISSUER),
    ];
    app.form("/oauth2/token", &[("x-forwarded-for", from)], &fields)
}

/// All of an answer that does not name its request.
fn essence(answer: &Answer) -> (u16, Vec<(String, String)>, serde_json::Value) {
    let mut body = answer.json();
    for name in ["trace_id", "correlation_id"] {
        body[name].take();
    }
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    headers.sort();
    // Ids are as long as one another.
    (answer.status, headers, body)
}

fn limited(app: &TestApp, scope: &str) -> u64 {
    app.core.metrics.rate_limited.with_label_values(&[scope]).get()
}

fn reasons(app: &TestApp, reason: &str) -> usize {
    app.audit().iter().filter(|record| record.reason.as_deref() == Some(reason)).count()
}

const UNKNOWN: &str = "c0000000-0000-0000-0000-0000000000ff";
const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "192.0.2.2";

#[test]
fn twenty_failures_a_minute_shut_out_one_client_at_one_address_whether_it_exists_or_not() {
    let app = behind_a_proxy("");
    for _ in 0..20 {
        let known = attempt(&app, HERE, READER.client_id, "wrong").expect(401);
        let unknown = attempt(&app, HERE, UNKNOWN, "wrong").expect(401);
        assert_eq!(essence(&known), essence(&unknown));
    }
    app.deployment.clock.advance(chrono::Duration::milliseconds(1500));
    let known = attempt(&app, HERE, READER.client_id, "wrong").expect(429);
    assert_eq!(essence(&known), essence(&attempt(&app, HERE, UNKNOWN, "wrong")));
    // The right one, too: whether it was is not looked at.
    assert_eq!(essence(&known), essence(&attempt(&app, HERE, READER.client_id, app.secret(&READER))));
    assert!(["58", "59"].contains(&known.header("retry-after").unwrap()), "{:?}", known.headers);
    assert_eq!(known.header("cache-control"), Some("no-store"));
    let body = known.json();
    assert_eq!(body["error"], "temporarily_unavailable");
    assert!(body["error_description"].as_str().unwrap().contains("too many failed attempts"));
    // Others of the address, and the client from elsewhere, go on.
    attempt(&app, ELSEWHERE, READER.client_id, app.secret(&READER)).expect(200);
    attempt(&app, HERE, OWNER.client_id, app.secret(&OWNER)).expect(200);
    assert_eq!(
        (reasons(&app, "wrong_secret") + reasons(&app, "malformed_secret"), limited(&app, "client")),
        (20, 3)
    );
    assert_eq!(reasons(&app, "too_many_failures"), 2, "one row for each pair");
    let first = app.record_of(&known);
    assert_eq!((first.client_id.as_deref(), first.address.as_deref()), (Some(READER.client_id), Some(HERE)));
    app.advance(60);
    attempt(&app, HERE, READER.client_id, app.secret(&READER)).expect(200);
}

#[test]
fn a_proven_caller_that_is_refused_does_not_guess() {
    let app = behind_a_proxy("max_failures_per_minute = 2");
    for _ in 0..5 {
        attempt(&app, HERE, DISABLED.client_id, app.secret(&DISABLED)).expect(401);
    }
    assert_eq!(limited(&app, "client"), 0);
}

#[test]
fn beyond_the_failures_in_all_wrong_proofs_are_counted_and_right_ones_pass() {
    // The clock of a test stands still, and with it the second.
    let app = behind_a_proxy("max_failures_per_second_in_all = 3");
    let token = app.management_token(&READER);
    for number in 0..3 {
        attempt(&app, &format!("198.51.100.{number}"), UNKNOWN, "wrong").expect(401);
    }
    let records = app.audit().len();
    for number in 10..20 {
        let answer = attempt(&app, &format!("198.51.100.{number}"), READER.client_id, "wrong").expect(429);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let v1 = app.v1_token("forged", "scorer").expect(429);
    assert_eq!(v1.json()["code"], "TooManyRequests");
    let v2 = app.v2_token("forged", "scorer").expect(429);
    assert_eq!(v2.json()["error"]["code"], "TooManyRequests");
    let api =
        app.send("GET", "/v1.0/servicePrincipals", &[("authorization", "Bearer forged")], b"").expect(429);
    assert_eq!(api.header("content-type"), Some("application/problem+json"));
    assert_eq!(api.json()["type"], "urn:wsts:problem:too-many-requests");
    assert_eq!(app.audit().len(), records + 1, "one row says that it began");
    assert_eq!((reasons(&app, "too_many_failures_in_all"), limited(&app, "global")), (1, 13));
    attempt(&app, HERE, READER.client_id, app.secret(&READER)).expect(200);
    app.v1_token(&token, "scorer").expect(200);
    app.advance(1);
    attempt(&app, HERE, UNKNOWN, "wrong").expect(401);
}

#[test]
fn a_principal_that_has_spent_its_quota_is_told_in_every_dialect_and_the_others_go_on() {
    let app = behind_a_proxy("max_tokens_per_principal_per_minute = 2");
    let token = app.management_token(&READER);
    app.token_as(&READER, "scorer").expect(200);
    let records = app.audit().len();
    let answers = [
        app.token_as(&READER, "scorer").expect(429),
        app.v1_token(&token, "scorer").expect(429),
        app.v2_token(&token, "scorer").expect(429),
    ];
    for answer in &answers {
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
    }
    assert_eq!(answers[0].json()["error"], "temporarily_unavailable");
    assert_eq!(answers[1].json()["statusCode"], 429);
    assert_eq!(answers[2].json()["error"]["code"], "TooManyRequests");
    assert_eq!(limited(&app, "principal"), 3);
    let rows = reasons(&app, "quota_spent");
    // One a second; on a slow machine seconds may pass.
    assert!((1..=3).contains(&rows) && app.audit().len() == records + rows, "{rows}");
    app.api_with(&token).get(WORKSPACE).expect(200);
    app.token_as(&OWNER, "scorer").expect(200);
}

#[test]
fn an_address_is_believed_of_a_named_proxy_only() {
    for (proxies, from, seen) in [
        ("trusted_proxies = [\"127.0.0.1\"]\n", "6.6.6.6, 192.0.2.7", "192.0.2.7"),
        ("trusted_proxies = [\"10.0.0.0/8\"]\n", "192.0.2.7", "127.0.0.1"),
        ("", "192.0.2.7", "127.0.0.1"),
    ] {
        let app = TestApp::with(|deployment| deployment.more_server = proxies.to_owned());
        let answer = attempt(&app, from, READER.client_id, app.secret(&READER)).expect(200);
        assert_eq!(app.record_of(&answer).address.as_deref(), Some(seen), "{proxies}");
        for odd in ["", ",", "x", ", ,192.0.2.7:", "%00", "[::1", &"1.1.1.1,".repeat(500)] {
            attempt(&app, odd, READER.client_id, app.secret(&READER)).expect(200);
        }
        let metadata =
            app.send("GET", "/.well-known/openid-configuration", &[("x-forwarded-host", "evil")], b"");
        assert!(!metadata.text().contains("evil"));
    }
}

#[test]
fn sizes_are_those_of_the_configuration_and_the_answers_name_them() {
    let app = behind_a_proxy("max_body_bytes = 4096\nmax_head_bytes = 5000\nmax_uri_bytes = 1024");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = app.send("POST", "/oauth2/token", &[form], &[b'a'; 4097]).expect(413);
    assert!(body.text().contains("larger than 4096 bytes"), "{}", body.text());
    app.send("POST", "/oauth2/token", &[form], &[b'a'; 4096]).expect(400);
    let head = app.send("GET", "/regions", &[("x-large", &"a".repeat(5000))], b"").expect(431);
    assert!(head.text().contains("larger than 5000 bytes"), "{}", head.text());
    let uri = app.get(&format!("/{}", "a".repeat(1024))).expect(414);
    assert!(uri.text().contains("longer than 1024 bytes"), "{}", uri.text());
}

/// Prints what it measures; time is no matter of a test on a shared machine, so only a gross difference fails.
#[test]
fn an_unknown_client_and_a_wrong_secret_take_the_same_time() {
    const ROUNDS: usize = 500;
    let app = behind_a_proxy("max_failures_per_minute = 0\nmax_failures_per_second_in_all = 0");
    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    let wrong = app.secret(&OWNER).to_owned();
    for _ in 0..ROUNDS {
        for (client_id, times) in [READER.client_id, UNKNOWN].into_iter().zip(&mut times) {
            let began = std::time::Instant::now();
            attempt(&app, HERE, client_id, &wrong).expect(401);
            times.push(began.elapsed());
        }
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2].as_secs_f64() * 1e6
    });
    let [known, unknown] = medians;
    println!(
        "wrong secret {known:.0} us, unknown client {unknown:.0} us, difference {:.0} us",
        known - unknown
    );
    assert!(known < 3.0 * unknown && unknown < 3.0 * known, "{known} and {unknown} us");
}
