//! Federated credentials: tokens of other issuers, and what fetching their keys costs whom.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::helpers::*;
use crate::issuer::*;
use crate::signer::*;

const UNREADABLE: u32 = 50_027;
const NO_MATCH: u32 = 700_213;
const TIME: u32 = 700_024;
const CLOSED: u32 = 7_000_215;

/// A service that trusts an issuer of one key, and READER's trust in it.
fn with_issuer() -> (TestApp, Issuer, Signer, String) {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    let app = trusting(&issuer.entry());
    let id = trust(&app, &READER, &issuer.url, &json!({}));
    (app, issuer, key, id)
}

pub fn trusting(entries: &str) -> TestApp {
    TestApp::with(|deployment| deployment.more_config = format!("{entries}\n{GUESS_FREELY}"))
}

/// A token of the issuer, with members altered.
pub fn token(app: &TestApp, issuer: &Issuer, key: &Signer, members: &Value) -> String {
    key.sign(&key.header_with_kid("main"), &with(&federated_claims(app, &issuer.url), members))
}

/// The issuer can't be asked: the caller is told to come again, and nothing of why.
#[track_caller]
pub fn assert_unavailable(app: &TestApp, answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!((&body["error"], &body["error_codes"]), (&json!("temporarily_unavailable"), &json!([90_033])));
    assert!(!answer.text().contains("localhost"), "{body}");
    let record = app.record_of(answer);
    assert_eq!((record.outcome.as_str(), record.reason.as_deref()), ("failed", Some("unavailable")));
}

/// Asks until the answer has this status: what a client that went away began may still be under way.
fn settles(ask: impl Fn() -> Answer, status: u16) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if ask().status == status {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

#[test]
fn a_token_of_a_trusted_issuer_proves_its_principal() {
    for key in [Signer::p256(), Signer::ed25519()] {
        let issuer = Issuer::with_key(&key);
        let app = trusting(&issuer.entry());
        let id = trust(&app, &READER, &issuer.url, &json!({}));
        let text = token(&app, &issuer, &key, &json!({}));
        let more = [("client_id", READER.client_id), ("resource", &audience("scorer"))];
        let answer = app.prove_at(&format!("/{TENANT}/oauth2/v2.0/token"), &text, &more).expect(200);
        assert_eq!(decoded(&answer.token()).1["oid"], READER.object_id);
        let record = app.record_of(&answer);
        assert_eq!(record.method.as_deref(), Some("federated_credential"));
        assert_eq!(record.credential_id.as_ref(), Some(&id));
        assert_eq!(record.object_id.as_deref(), Some(READER.object_id));
        assert_eq!(issuer.all_fetches(), [DISCOVERY, JWKS]);
        // It may be shown again; and removing the trust ends it at once.
        app.prove_as(&READER, &text).expect(200);
        app.api(&OWNER).delete(&format!("{}/{id}", path_of(&READER, FEDERATED))).expect(204);
        assert_refused(&app, &app.prove_as(&READER, &text), NO_MATCH, "no_federated_credential");
        assert_eq!(issuer.all_fetches().len(), 2, "fetched once for all of it");
    }
}

#[test]
fn what_does_not_match_costs_the_issuer_nothing() {
    let key = Signer::p256();
    let (issuer, other) = (Issuer::with_key(&key), Issuer::with_key(&key));
    let app = trusting(&format!("{}{}", issuer.entry(), other.entry()));
    trust(&app, &READER, &issuer.url, &json!({ "claims": { "ref": "main", "environment": "live" } }));
    let right = json!({ "ref": "main", "environment": "live" });
    let ask = |members: Value| {
        let text = token(&app, &issuer, &key, &with(&right, &members));
        app.prove_as(&READER, &text)
    };
    for members in [
        json!({ "iss": other.url }),
        json!({ "iss": format!("{}/", issuer.url) }),
        json!({ "iss": issuer.url.to_uppercase() }),
        json!({ "sub": "repo:team/another" }),
        json!({ "sub": "repo:team/model " }),
        json!({ "sub": "REPO:team/model" }),
        json!({ "sub": "" }),
        json!({ "aud": "api://another" }),
        json!({ "aud": "API://sts" }),
        json!({ "aud": [] }),
        json!({ "aud": ["api://another", "api://sts/"] }),
        json!({ "aud": ISSUER }),
        json!({ "ref": null }),
        json!({ "ref": "another" }),
        json!({ "ref": "Main" }),
        json!({ "ref": ["main"] }),
        json!({ "ref": true }),
        json!({ "environment": "test" }),
    ] {
        let answer = ask(members.clone());
        assert_eq!(answer.status, 401, "{members}");
        assert_refused(&app, &answer, NO_MATCH, "no_federated_credential");
    }
    // Without a client id nobody is meant; another principal trusts nobody.
    let text = token(&app, &issuer, &key, &right);
    assert_refused(&app, &app.prove(&text), NO_MATCH, "unknown_client");
    assert_refused(&app, &app.prove_as(&STRANGER, &text), NO_MATCH, "no_federated_credential");
    let thumbprint_only = key.sign(&key.header(), &with(&federated_claims(&app, &issuer.url), &right));
    assert_eq!(app.record_of(&app.prove_as(&READER, &thumbprint_only)).reason.unwrap(), "unknown_issuer_key");
    assert_eq!((issuer.all_fetches(), other.all_fetches()), (vec![], vec![]));
    // One of several audiences is enough: Kubernetes gives what it was asked for.
    ask(json!({ "aud": ["https://kubernetes.default.svc", "api://sts"], "x": { "y": [1] } })).expect(200);
}

#[test]
fn an_issuer_that_the_configuration_does_not_name_is_never_asked() {
    let key = Signer::p256();
    let (issuer, stranger) = (Issuer::with_key(&key), Issuer::with_key(&key));
    let app = trusting(&issuer.entry());
    // The registry may trust it; the operator does not.
    trust(&app, &READER, &stranger.url, &json!({}));
    let answer = app.prove_as(&READER, &token(&app, &stranger, &key, &json!({})));
    assert_refused(&app, &answer, NO_MATCH, "untrusted_issuer");
    assert_eq!(stranger.all_fetches(), Vec::<String>::new());
}

#[test]
fn a_federated_token_is_held_to_its_signature_and_times() {
    let (app, issuer, key, _) = with_issuer();
    let now = app.now();
    let ask = |members: Value| app.prove_as(&READER, &token(&app, &issuer, &key, &members));
    for members in [
        json!({ "exp": now - 59 }),
        json!({ "exp": now + 24 * 3600 + 60 }),
        json!({ "exp": now as f64 + 0.5, "iat": null }),
        json!({ "nbf": now + 60, "iat": now + 60 }),
    ] {
        assert_eq!(ask(members.clone()).status, 200, "{members}");
    }
    for members in [
        json!({ "exp": now - 60 }),
        json!({ "exp": now + 24 * 3600 + 61 }),
        json!({ "nbf": now + 61 }),
        json!({ "iat": now + 61 }),
    ] {
        assert_refused(&app, &ask(members), TIME, "assertion_time");
    }
    assert_refused(&app, &ask(json!({ "exp": null })), UNREADABLE, "malformed_assertion");
    let claims = federated_claims(&app, &issuer.url);
    let reason = |text: &str| {
        let answer = app.prove_as(&READER, text).expect(401);
        app.record_of(&answer).reason.unwrap()
    };
    assert_eq!(reason(&Signer::p256().sign(&key.header_with_kid("main"), &claims)), "wrong_signature");
    assert_eq!(reason(&Signer::ed25519().sign(&key.header_with_kid("main"), &claims)), "wrong_signature");
    let es256 = with(&key.header_with_kid("main"), &json!({ "alg": "EdDSA" }));
    assert_eq!(reason(&key.sign(&es256, &claims)), "wrong_signature");
    assert_eq!(reason(&key.sign(&key.header_with_kid("MAIN"), &claims)), "unknown_issuer_key");
    assert_eq!(issuer.fetches(JWKS), 1);
}

#[test]
fn who_can_not_sign_for_the_issuer_does_not_learn_which_clients_trust_it() {
    let (app, issuer, _, _) = with_issuer();
    let forger = Signer::p256();
    let forged = |kid: &str, members: Value| {
        let claims = with(&federated_claims(&app, &issuer.url), &members);
        forger.sign(&forger.header_with_kid(kid), &claims)
    };
    let nobody = Who { client_id: "c0000000-0000-0000-0000-00000000dead", ..READER };
    let unknown = anonymous(&app.prove_as(&nobody, &forged("main", json!({}))));
    assert_eq!(unknown.0, 401);
    for (who, text, reason) in [
        (&STRANGER, forged("main", json!({})), "no_federated_credential"),
        (&READER, forged("main", json!({ "sub": "another" })), "no_federated_credential"),
        (&READER, forged("main", json!({})), "wrong_signature"),
        (&READER, forged("another", json!({})), "unknown_issuer_key"),
        (&READER, forged("main", json!({ "exp": 0 })), "wrong_signature"),
    ] {
        let answer = app.prove_as(who, &text);
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some(reason));
        assert_eq!(anonymous(&answer), unknown, "{reason}");
    }
}

#[test]
fn a_principal_that_is_closed_or_elsewhere_is_refused_by_a_federated_token_too() {
    let (app, issuer, key, _) = with_issuer();
    trust(&app, &DISABLED, &issuer.url, &json!({}));
    let text = token(&app, &issuer, &key, &json!({}));
    assert_refused(&app, &app.prove_as(&DISABLED, &text), CLOSED, "principal_disabled");
    let more = [("client_id", READER.client_id), ("resource", ISSUER)];
    let elsewhere = app.prove_at(&format!("/{OTHER_TENANT}/oauth2/v2.0/token"), &text, &more);
    assert_refused(&app, &elsewhere, CLOSED, "wrong_tenant");
}

#[test]
fn fifty_callers_at_once_fetch_the_keys_once() {
    let (app, issuer, key, _) = with_issuer();
    // So that all of them come while the first one waits.
    issuer.delay(200);
    let text = token(&app, &issuer, &key, &json!({}));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..50).map(|_| scope.spawn(|| app.prove_as(&READER, &text).status)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 50]);
    assert_eq!(issuer.all_fetches(), [DISCOVERY, JWKS]);
}

#[test]
fn a_caller_that_read_the_clock_before_the_one_that_fetches_fetches_nothing_anew() {
    let (app, issuer, key, _) = with_issuer();
    let text = token(&app, &issuer, &key, &json!({}));
    issuer.delay(400);
    std::thread::scope(|scope| {
        let ask = || scope.spawn(|| app.prove_as(&READER, &text).expect(200));
        let first = ask();
        std::thread::sleep(Duration::from_millis(150));
        // Two workers race: this one was a moment earlier at the clock and later at the lock.
        app.advance(-1);
        let second = ask();
        std::thread::sleep(Duration::from_millis(150));
        app.advance(1);
        for caller in [first, second] {
            caller.join().unwrap();
        }
    });
    assert_eq!(issuer.all_fetches(), [DISCOVERY, JWKS]);
}

#[test]
fn a_clock_that_jumps_while_a_caller_is_proven_stops_its_token() {
    let (app, issuer, key, _) = with_issuer();
    let text = token(&app, &issuer, &key, &json!({}));
    issuer.delay(400);
    let answer = std::thread::scope(|scope| {
        let asking = scope.spawn(|| app.prove_as(&READER, &text));
        std::thread::sleep(Duration::from_millis(150));
        // It waits for the keys of the issuer by now.
        app.deployment.clock.jump(chrono::Duration::hours(1));
        asking.join().unwrap()
    });
    assert_eq!(issuer.all_fetches(), [DISCOVERY, JWKS]);
    assert_unavailable(&app, &answer);
}

#[test]
fn unknown_kids_do_not_turn_the_service_against_the_issuer() {
    let (app, issuer, key, _) = with_issuer();
    let claims = federated_claims(&app, &issuer.url);
    let ask = |n: u32| app.prove_as(&READER, &key.sign(&key.header_with_kid(&format!("kid {n}")), &claims));
    let fifty = |round: u32| {
        std::thread::scope(|scope| {
            for n in round * 50..(round + 1) * 50 {
                scope.spawn(move || ask(n).expect(401));
            }
        });
    };
    app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))).expect(200);
    assert_eq!(issuer.fetches(JWKS), 1);
    fifty(0);
    app.advance(29);
    fifty(1);
    assert_eq!(issuer.fetches(JWKS), 1, "within half a minute of the last fetch");
    app.advance(1);
    fifty(2);
    fifty(3);
    assert_eq!(issuer.fetches(JWKS), 2);
    println!("figure: {} fetches for 200 unknown kids and the first known one", issuer.fetches(JWKS));
    let metrics = app.get_ops("/metrics").text();
    let counted =
        format!("sts_issuer_key_fetches_total{{issuer=\"{}\",result=\"ok\",region=\"local\"}} 2", issuer.url);
    let fetches: Vec<_> = metrics.lines().filter(|line| line.contains("key_fetches")).collect();
    assert!(metrics.contains(&counted), "no {counted} in {fetches:?}");
    // A key that is new at the issuer is found after that time.
    let fresh = Signer::ed25519();
    issuer.publish(&[key.jwk("main"), fresh.jwk("fresh")]);
    let with_fresh = fresh.sign(&fresh.header_with_kid("fresh"), &claims);
    app.prove_as(&READER, &with_fresh).expect(401);
    app.advance(30);
    app.prove_as(&READER, &with_fresh).expect(200);
    app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))).expect(200);
    assert_eq!(issuer.fetches(JWKS), 3);
}

#[test]
fn a_key_that_the_issuer_took_back_is_gone_after_ten_minutes() {
    let (app, issuer, key, _) = with_issuer();
    let other = Signer::p256();
    let ask = || app.prove_as(&READER, &token(&app, &issuer, &key, &json!({})));
    ask().expect(200);
    issuer.publish(&[other.jwk("another")]);
    app.advance(599);
    ask().expect(200);
    assert_eq!(issuer.fetches(JWKS), 1);
    app.advance(1);
    let answer = ask().expect(401);
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some("unknown_issuer_key"));
    assert_eq!(issuer.fetches(JWKS), 2);
    // Another key under the name of the old one takes its place.
    issuer.publish(&[other.jwk("main")]);
    app.advance(30);
    ask().expect(401);
    app.prove_as(&READER, &token(&app, &issuer, &other, &json!({}))).expect(200);
}

#[test]
fn kept_keys_outlive_their_issuer_by_a_day() {
    let (app, issuer, key, _) = with_issuer();
    let ask = || app.prove_as(&READER, &token(&app, &issuer, &key, &json!({})));
    ask().expect(200);
    issuer.say(JWKS, 500, "out of order");
    for _ in 0..6 {
        app.advance(4 * 3600 - 1);
        ask().expect(200);
    }
    assert_eq!(issuer.fetches(JWKS), 7, "asked again whenever the keys are no longer fresh");
    app.advance(5);
    ask().expect(200);
    app.advance(1);
    assert_unavailable(&app, &ask());
    app.advance(30);
    assert_unavailable(&app, &ask());
    issuer.publish(&[key.jwk("main")]);
    assert_unavailable(&app, &ask());
    app.advance(30);
    ask().expect(200);
}

#[test]
fn a_kid_that_is_not_known_is_no_fault_of_the_caller_while_the_issuer_can_not_be_asked() {
    let (app, issuer, key, _) = with_issuer();
    let fresh = Signer::p256();
    let old = || app.prove_as(&READER, &token(&app, &issuer, &key, &json!({})));
    let claims = federated_claims(&app, &issuer.url);
    let with_fresh = || app.prove_as(&READER, &fresh.sign(&fresh.header_with_kid("fresh"), &claims));
    old().expect(200);
    with_fresh().expect(401);
    issuer.say(JWKS, 500, "out of order");
    app.advance(30);
    assert_unavailable(&app, &with_fresh());
    // Within the cool-down too, when nobody asks; and the key that is known serves on.
    assert_unavailable(&app, &with_fresh());
    old().expect(200);
    issuer.publish(&[key.jwk("main"), fresh.jwk("fresh")]);
    app.advance(30);
    with_fresh().expect(200);
}

#[test]
fn an_issuer_that_was_never_reached_is_a_trouble_of_the_service() {
    let (folder, key) = (tempfile::TempDir::new().unwrap(), Signer::p256());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, make_certificates(folder.path())).unwrap();
    // A port that was free a moment ago: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("https://localhost:{port}");
    let app = trusting(&trusted(&url, &ca));
    trust(&app, &READER, &url, &json!({}));
    let text = key.sign(&key.header_with_kid("main"), &federated_claims(&app, &url));
    assert_unavailable(&app, &app.prove_as(&READER, &text));
    let started = Instant::now();
    for _ in 0..20 {
        assert_unavailable(&app, &app.prove_as(&READER, &text));
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // Other ways of proving are untouched.
    app.token_for(&READER, ISSUER, &[]).expect(200);
}

#[test]
fn an_issuer_that_hangs_slows_nobody_but_its_own_callers() {
    let (folder, key) = (tempfile::TempDir::new().unwrap(), Signer::p256());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, make_certificates(folder.path())).unwrap();
    // The kernel accepts; nobody ever says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let (slow, quick) = (Issuer::with_key(&key), Issuer::with_key(&key));
    let app = trusting(&format!("{}{}{}", trusted(&url, &ca), slow.entry(), quick.entry()));
    for issuer in [&url, &slow.url, &quick.url] {
        trust(&app, &READER, issuer, &json!({}));
    }
    let silent_text = key.sign(&key.header_with_kid("main"), &federated_claims(&app, &url));
    let timed = |text: &str| {
        let started = Instant::now();
        (app.prove_as(&READER, text), started.elapsed())
    };
    // Once it says nothing from the beginning, and once its discovery is nearly too slow and its keys are.
    slow.delay(900);
    let slow_text = token(&app, &slow, &key, &json!({}));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..8)
            .map(|n| {
                let text = if n % 2 == 0 { &silent_text } else { &slow_text };
                scope.spawn(|| timed(text))
            })
            .collect();
        // Meanwhile, on the same two workers.
        std::thread::sleep(Duration::from_millis(100));
        let text = token(&app, &quick, &key, &json!({}));
        let started = Instant::now();
        for _ in 0..20 {
            app.prove_as(&READER, &text).expect(200);
            app.token_for(&READER, ISSUER, &[]).expect(200);
        }
        assert!(started.elapsed() < Duration::from_millis(700), "{:?}", started.elapsed());
        for caller in waiting {
            let (answer, took) = caller.join().unwrap();
            assert!(took < Duration::from_millis(2500), "{took:?}");
            assert!([200, 503].contains(&answer.status), "{}", answer.text());
        }
    });
    // Until the next attempt is due nobody waits.
    let (answer, took) = timed(&silent_text);
    assert_unavailable(&app, &answer);
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[test]
fn an_answer_that_trickles_is_cut_off() {
    let (app, issuer, key, _) = with_issuer();
    issuer.trickle();
    let started = Instant::now();
    assert_unavailable(&app, &app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))));
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
}

#[test]
fn a_stale_key_serves_while_a_hanging_issuer_is_asked_again() {
    let (app, issuer, key, _) = with_issuer();
    let text = token(&app, &issuer, &key, &json!({}));
    app.prove_as(&READER, &text).expect(200);
    app.advance(600);
    issuer.delay(5000);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| app.prove_as(&READER, &text));
        std::thread::sleep(Duration::from_millis(200));
        let started = Instant::now();
        for _ in 0..10 {
            app.prove_as(&READER, &text).expect(200);
        }
        assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
        first.join().unwrap().expect(200);
    });
}

#[test]
fn a_caller_that_goes_away_does_not_take_the_keys_along() {
    let (app, issuer, key, _) = with_issuer();
    let text = token(&app, &issuer, &key, &json!({}));
    issuer.delay(300);
    // Its own agent gives up while the issuer is being asked.
    let impatient = ureq::Agent::config_builder()
        .tls_config(app.agent.config().tls_config().clone())
        .timeout_global(Some(Duration::from_millis(150)))
        .build();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", READER.client_id),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", &text),
        ("resource", ISSUER),
    ];
    let gone = ureq::Agent::from(impatient).post(app.url("/oauth2/token")).send_form(form);
    assert!(gone.is_err(), "{gone:?}");
    assert!(settles(|| app.prove_as(&READER, &text), 200), "what was fetched for it was thrown away");
    assert_eq!(issuer.all_fetches(), [DISCOVERY, JWKS]);
}

#[test]
fn answers_that_can_not_be_trusted_are_not() {
    let (app, issuer, key, _) = with_issuer();
    let elsewhere = Issuer::with_key(&key);
    let ask = || app.prove_as(&READER, &token(&app, &issuer, &key, &json!({})));
    let document = json!({ "issuer": issuer.url, "jwks_uri": format!("{}{JWKS}", issuer.url) });
    let jwks = json!({ "keys": [key.jwk("main")] }).to_string();
    let padded = |bytes: usize| format!("{jwks}{}", " ".repeat(bytes - jwks.len()));
    let many = |count: usize| {
        (1..count).map(|n| key.jwk(&format!("kid {n}"))).chain([key.jwk("main")]).collect::<Vec<_>>()
    };
    let wrong_documents = [
        json!({ "issuer": elsewhere.url, "jwks_uri": document["jwks_uri"] }),
        json!({ "issuer": format!("{}/", issuer.url), "jwks_uri": document["jwks_uri"] }),
        json!({ "issuer": issuer.url, "jwks_uri": format!("{}{JWKS}", elsewhere.url) }),
        json!({ "issuer": issuer.url, "jwks_uri": format!("http://localhost{JWKS}") }),
        json!({ "issuer": issuer.url, "jwks_uri": JWKS }),
        json!({ "issuer": issuer.url }),
        json!({ "jwks_uri": document["jwks_uri"] }),
        json!([]),
    ];
    for wrong in &wrong_documents {
        issuer.discovery(wrong);
        assert_eq!(ask().status, 503, "{wrong}");
        app.advance(30);
    }
    issuer.redirect(DISCOVERY, &format!("{}{DISCOVERY}", elsewhere.url));
    assert_unavailable(&app, &ask());
    app.advance(30);
    assert_eq!(issuer.fetches(DISCOVERY), wrong_documents.len() + 1);
    assert_eq!((issuer.fetches(JWKS), elsewhere.all_fetches()), (0, vec![]));
    issuer.discovery(&document);
    let mut no_kid = key.jwk("");
    no_kid.as_object_mut().unwrap().remove("kid");
    for (what, body) in [
        ("no JSON", "<html>".to_owned()),
        ("too long", padded(256 * 1024 + 1)),
        ("too many", json!({ "keys": many(101) }).to_string()),
        ("one kid twice", json!({ "keys": [key.jwk("main"), Signer::p256().jwk("main")] }).to_string()),
        ("no key", json!({ "keys": [] }).to_string()),
        ("no key of a name", json!({ "keys": [no_kid] }).to_string()),
        (
            "no key for signatures",
            json!({ "keys": [with(&key.jwk("main"), &json!({ "use": "enc" }))] }).to_string(),
        ),
    ] {
        issuer.say(JWKS, 200, &body);
        assert_eq!(ask().status, 503, "{what}");
        app.advance(30);
    }
    for status in [201, 204, 404, 500] {
        issuer.say(JWKS, status, &jwks);
        assert_eq!(ask().status, 503, "{status}");
        app.advance(30);
    }
    issuer.redirect(JWKS, &format!("{}{JWKS}", elsewhere.url));
    assert_eq!(ask().status, 503);
    issuer.redirect(JWKS, "/other-keys");
    issuer.say("/other-keys", 200, &jwks);
    app.advance(30);
    assert_eq!(ask().status, 503);
    assert_eq!((issuer.fetches("/other-keys"), elsewhere.all_fetches()), (0, vec![]));
    // And exactly what is still allowed.
    issuer.say(JWKS, 200, &padded(256 * 1024));
    app.advance(30);
    ask().expect(200);
    issuer.publish(&many(100));
    app.advance(600);
    ask().expect(200);
}

#[test]
fn keys_that_nobody_can_use_do_no_harm_to_the_others() {
    let (app, issuer, key, _) = with_issuer();
    let hopeless = |members: Value| with(&key.jwk("hopeless"), &members);
    issuer.publish(&[
        hopeless(json!({ "crv": "P-384" })),
        hopeless(json!({ "kty": "RSA" })),
        hopeless(json!({ "use": "enc" })),
        hopeless(json!({ "alg": "RS256" })),
        hopeless(json!({ "x": "AA" })),
        hopeless(json!({ "kid": null })),
        hopeless(json!({ "kid": 7 })),
        json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "hopeless" }),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "hopeless" }),
        json!("text"),
        with(&key.jwk("main"), &json!({ "use": null, "alg": "ES256", "x5c": ["x"], "key_ops": ["verify"] })),
    ]);
    app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))).expect(200);
    let claims = federated_claims(&app, &issuer.url);
    let answer = app.prove_as(&READER, &key.sign(&key.header_with_kid("hopeless"), &claims)).expect(401);
    assert_eq!(app.record_of(&answer).reason.as_deref(), Some("unknown_issuer_key"));
}

#[test]
fn a_key_that_names_its_algorithm_is_for_no_other() {
    let (app, issuer, key, _) = with_issuer();
    issuer.publish(&[with(&key.jwk("main"), &json!({ "alg": "ES256" }))]);
    app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))).expect(200);
    for algorithm in ["EdDSA", "RS256", "PS256"] {
        let header = with(&key.header_with_kid("main"), &json!({ "alg": algorithm }));
        let answer = app.prove_as(&READER, &key.sign(&header, &federated_claims(&app, &issuer.url)));
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some("wrong_signature"), "{algorithm}");
    }
    let symmetric = with(&key.header_with_kid("main"), &json!({ "alg": "HS256" }));
    let answer = app.prove_as(&READER, &key.sign(&symmetric, &federated_claims(&app, &issuer.url)));
    assert_refused(&app, &answer, UNREADABLE, "malformed_assertion");
}

#[test]
fn a_server_with_a_certificate_of_another_ca_is_not_the_issuer() {
    let (key, folder) = (Signer::p256(), tempfile::TempDir::new().unwrap());
    let issuer = Issuer::with_key(&key);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, make_certificates(folder.path())).unwrap();
    // Of another private CA, and of the public ones.
    let public =
        format!("[[federation.issuers]]\nissuer = \"{}\"\nallow_private_addresses = true\n", issuer.url);
    for entry in [trusted(&issuer.url, &ca), public] {
        let app = trusting(&entry);
        trust(&app, &READER, &issuer.url, &json!({}));
        assert_unavailable(&app, &app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))));
    }
    assert_eq!(issuer.all_fetches(), Vec::<String>::new());
}

#[test]
fn an_operator_may_say_where_the_keys_are() {
    let key = Signer::p256();
    let issuer = Issuer::start();
    issuer.say(DISCOVERY, 404, "");
    issuer.say("/elsewhere", 200, &json!({ "keys": [key.jwk("main")] }).to_string());
    let app = trusting(&format!("{}jwks_uri = \"{}/elsewhere\"\n", issuer.entry(), issuer.url));
    trust(&app, &READER, &issuer.url, &json!({}));
    app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))).expect(200);
    assert_eq!(issuer.all_fetches(), ["/elsewhere"]);
}

#[test]
fn issuers_that_can_not_be_are_refused_by_the_configuration() {
    let mut deployment = Deployment::new();
    let folder = tempfile::TempDir::new().unwrap();
    let empty = folder.path().join("empty.pem").display().to_string();
    std::fs::write(&empty, "").unwrap();
    let entry = |issuer: &str| format!("[[federation.issuers]]\nissuer = \"{issuer}\"\n");
    let good = entry("https://issuer.example");
    for (more, words) in [
        (entry("http://issuer.example"), "federation.issuers[0]: `http://issuer.example` must be an address"),
        (entry(""), "federation.issuers[0]"),
        (entry("issuer.example"), "that begins with https:// and a host"),
        (entry("https://"), "that begins with https:// and a host"),
        (entry("https://user@issuer.example"), "that begins with https:// and a host"),
        (format!("{good}{}", entry("http://x")), "federation.issuers[1]"),
        (format!("{good}jwks_uri = \"http://issuer.example/keys\"\n"), "`http://issuer.example/keys`"),
        (format!("{good}{good}"), "`https://issuer.example` is named twice"),
        (format!("{good}{}{good}", entry("https://x")), "`https://issuer.example` is named twice"),
        (entry(ISSUER), "`https://localhost` is this service itself"),
        (entry("https://LOCALHOST:443/"), "is this service itself"),
        (
            format!(
                "[[regions]]\nname = \"local\"\nurl = \"https://west.example\"\n{}",
                entry("https://west.example/")
            ),
            "is this service itself",
        ),
        (format!("{good}audience = \"x\"\n"), "audience"),
        ("[federation]\nissuer = \"https://issuer.example\"\n".to_owned(), "issuer"),
        ("[[federation.issuers]]\n".to_owned(), "issuer"),
        (format!("{good}ca_file = \"{empty}\"\n"), "empty.pem: no certificate in it"),
        (format!("{good}ca_file = \"{empty}.missing\"\n"), "empty.pem.missing: No such file"),
    ] {
        deployment.more_config = more;
        let error = deployment.try_config().expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    deployment.more_config = format!("{good}{}", entry("https://issuer.example/tenant"));
    assert_eq!(deployment.config().federation.issuers.len(), 2);
}
