//! A wall clock that somebody sets wrong while the service runs: nothing is issued, the keys stay, and it ends by itself.

use std::sync::Arc;
use std::time::Instant;

use chrono::Duration;

use crate::helpers::*;

const JWKS: &str = "/.well-known/jwks.json";

fn jump(app: &TestApp, seconds: i64) {
    app.deployment.clock.jump(Duration::seconds(seconds));
}

#[test]
fn a_wrong_clock_stops_tokens_in_every_dialect_and_nothing_that_needs_no_time() {
    let app = TestApp::start();
    let token = app.management_token(&READER);
    let (jwks, right) = (app.get(JWKS).expect(200), app.now());
    for seconds in [3600, -3600, 6, -6] {
        jump(&app, seconds);
        let oauth = app.token_as(&READER, "scorer").expect(503);
        assert_eq!(oauth.json()["error"], "temporarily_unavailable");
        let v1 = app.v1_token(&token, "scorer").expect(503);
        assert_eq!(
            (&v1.json()["code"], &v1.json()["statusCode"]),
            (&"ServiceUnavailable".into(), &503.into())
        );
        let v2 = app.v2_token(&token, "scorer").expect(503);
        assert_eq!(v2.json()["error"]["code"], "ServiceUnavailable");
        // An expired or a future time would refuse, or let in, the wrong callers here too.
        let api = app.api_with(&token).get(WORKSPACE).expect(503);
        for answer in [&oauth, &v1, &v2, &api] {
            assert_eq!(answer.header("retry-after"), Some("2"));
            assert!(!answer.text().contains("clock"), "an inner matter: {}", answer.text());
        }
        // The trail has the time that it really was.
        let record = app.record_of(&oauth);
        assert_eq!((record.outcome.as_str(), record.reason.as_deref()), ("failed", Some("unavailable")));
        assert_eq!(record.occurred_at.timestamp(), right);
        let ready = app.get_ops("/readyz").expect(503).text();
        assert!(ready.starts_with("not ready: this machine's clock was set "), "{ready}");
        assert!(ready.contains(&format!("by {}.0 s", seconds.abs())) && ready.contains("NTP"), "{ready}");
        let metrics = app.get_ops("/metrics").expect(200).text();
        assert!(metrics.contains(&format!("sts_clock_offset_seconds{{region=\"local\"}} {seconds}\n")));
        assert!(metrics.contains("sts_ready{region=\"local\"} 0\n"));
        let again = app.get(JWKS).expect(200);
        assert_eq!(again.body, jwks.body);
        assert!((240..=300).contains(&max_age(&again)), "a jump of the wall clock makes no key older");
        jump(&app, -seconds);
        app.get_ops("/readyz").expect(200);
        app.v1_token(&token, "scorer").expect(200);
        let claims = decoded(&app.token_as(&READER, "scorer").expect(200).token()).1;
        assert_eq!(claims["iat"], right);
    }
}

#[test]
fn a_clock_that_is_off_by_what_is_tolerated_stops_nothing() {
    let app = TestApp::start();
    for seconds in [5, -5] {
        jump(&app, seconds);
        app.token_as(&READER, "scorer").expect(200);
        app.get_ops("/readyz").expect(200);
    }
}

#[test]
fn corrections_of_the_clock_do_not_add_up() {
    let app = TestApp::start();
    let started = Instant::now();
    for _ in 0..2 {
        jump(&app, 4);
        app.token_as(&READER, "scorer").expect(200);
        // The worker takes it over.
        while !app.get_ops("/metrics").text().contains("sts_clock_offset_seconds{region=\"local\"} 0\n") {
            assert!(started.elapsed() < std::time::Duration::from_secs(10), "it is not compared");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Invariant I14: a replica whose clock is wrong neither makes nor switches keys.
#[test]
fn i14_a_wrong_clock_makes_no_key_and_switches_none() {
    let app = TestApp::start();
    let tend = || {
        let core = Arc::clone(&app.core);
        app.block_on(async move { core.tend_signing_keys().await.map_err(|error| error.to_string()) })
    };
    let made = || app.audit().iter().filter(|row| row.event == "signing_key").count();
    let before = made();
    // By this clock the next key would be due, and another one would sign.
    let days = 29 * 24 * 3600;
    jump(&app, days);
    let refused = tend().expect_err("the clock is wrong");
    assert!(refused.contains("clock was set forward"), "{refused}");
    let core = Arc::clone(&app.core);
    let imported = app.block_on(async move {
        let algorithm = workspace_sts::domain::signing_key::SigningAlgorithm::Es256;
        core.import_signing_key(algorithm, &[]).await.map(drop).map_err(|error| error.to_string())
    });
    assert!(imported.is_err_and(|refused| refused.contains("clock was set forward")));
    assert_eq!(made(), before);
    jump(&app, -days);
    tend().unwrap();
    assert_eq!(made(), before);
    // When the time has really come, it is done.
    app.advance(days);
    tend().unwrap();
    assert_eq!(made(), before + 1);
}
