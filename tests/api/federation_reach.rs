//! Where the service goes for an issuer's keys, and whom one issuer's trouble reaches.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::federation::*;
use crate::helpers::*;
use crate::issuer::*;
use crate::signer::*;

#[test]
fn an_issuer_at_a_private_address_is_asked_only_when_its_entry_says_so() {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    for (entry, reached) in
        [(issuer.entry().replace("allow_private_addresses = true\n", ""), false), (issuer.entry(), true)]
    {
        let app = trusting(&entry);
        trust(&app, &READER, &issuer.url, &json!({}));
        let answer = app.prove_as(&READER, &token(&app, &issuer, &key, &json!({})));
        if reached {
            answer.expect(200);
        } else {
            assert_unavailable(&app, &answer);
            assert_eq!(issuer.all_fetches(), Vec::<String>::new());
        }
    }
}

#[test]
fn plain_http_is_for_loopback_and_only_when_the_entry_says_so() {
    let key = Signer::p256();
    let issuer = Issuer::start_as("http");
    issuer.publish(&[key.jwk("main")]);
    let entry = format!("[[federation.issuers]]\nissuer = \"{}\"\n", issuer.url);
    let app = trusting(&format!("{entry}allow_plain_http = true\n"));
    trust(&app, &READER, &issuer.url, &json!({}));
    app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))).expect(200);
    let mut deployment = Deployment::new();
    for more in [
        entry,
        "[[federation.issuers]]\nissuer = \"http://issuer.example\"\nallow_plain_http = true\n".to_owned(),
    ] {
        deployment.more_config = more;
        let error = deployment.try_config().expect_err("plain HTTP").to_string();
        assert!(error.contains("http:// needs allow_plain_http = true and a loopback address"), "{error}");
    }
}

#[test]
fn nothing_is_inflated() {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    issuer.encode();
    let app = trusting(&issuer.entry());
    trust(&app, &READER, &issuer.url, &json!({}));
    assert_unavailable(&app, &app.prove_as(&READER, &token(&app, &issuer, &key, &json!({}))));
    assert_eq!(issuer.all_fetches(), [DISCOVERY]);
    assert!(!issuer.was_asked_to_encode());
}

#[test]
fn issuers_that_hang_do_not_hold_up_another() {
    let key = Signer::p256();
    let hanging: Vec<Issuer> = (0..5).map(|_| Issuer::with_key(&key)).collect();
    let good = Issuer::with_key(&key);
    let entries: String = hanging.iter().chain([&good]).map(Issuer::entry).collect();
    let app = trusting(&entries);
    for issuer in &hanging {
        trust(&app, &READER, &issuer.url, &json!({}));
        issuer.delay(60_000);
    }
    trust(&app, &READER, &good.url, &json!({}));
    std::thread::scope(|scope| {
        let ask = |issuer| app.prove_as(&READER, &token(&app, issuer, &key, &json!({}))).status;
        let waiting: Vec<_> = hanging.iter().map(|issuer| scope.spawn(move || ask(issuer))).collect();
        while !hanging.iter().all(|issuer| issuer.fetches(DISCOVERY) == 1) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let begun = Instant::now();
        assert_eq!(ask(&good), 200);
        println!("beside five issuers that hang, the first token of a good one took {:?}", begun.elapsed());
        assert!(waiting.iter().any(|thread| !thread.is_finished()), "it waited for the others to fail");
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == 503));
    });
}
