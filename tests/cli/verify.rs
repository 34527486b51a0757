//! `wsts verify` and `wsts healthcheck`: exit code 0 or 1, with the reason.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::helpers::*;

/// The demo serving, with a token in the file `token`.
fn with_token() -> (Place, Serving) {
    let place = Place::with_demo();
    let serving = place.serve();
    let secret_file = format!("wsts-data/{READER}.secret");
    let args = ["--client-id", READER, "--client-secret-file", &secret_file];
    let token = crate::token::token(&place, &args).expect(0).out;
    place.write("token", &token);
    (place, serving)
}

fn verify(place: &Place, more: &[&str]) -> Ended {
    let jwks = place.url("/.well-known/jwks.json");
    let args = ["verify", "--jwks", &jwks, "--ca", "wsts-data/ca.pem", "--token", "token"];
    place.run(&[&args, more].concat())
}

#[test]
fn a_good_token_is_valid_for_its_audience_and_issuer() {
    let (place, serving) = with_token();
    let audience = place.url(&format!("{WORKSPACE}/onlineEndpoints/scorer"));
    let ended = verify(&place, &["--audience", &audience, "--issuer", &place.url("")]).expect(0);
    assert!(ended.out.starts_with(&format!("valid: {READER} for {audience}")), "{}", ended.out);
    // Without the network, from a file.
    let jwks = place.url("/.well-known/jwks.json");
    let agent = agent(&place);
    let text = agent.get(&jwks).call().unwrap().body_mut().read_to_string().unwrap();
    place.write("jwks.json", &text);
    drop(serving);
    place.run(&["verify", "--jwks", "jwks.json", "--token", "token"]).expect(0);
    verify(&place, &[]).expect(1);
}

fn agent(place: &Place) -> ureq::Agent {
    let ca = ureq::tls::Certificate::from_pem(place.read("wsts-data/ca.pem").as_bytes()).unwrap();
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[ca])).build();
    ureq::Agent::config_builder().tls_config(tls).build().into()
}

#[test]
fn a_wrong_audience_or_issuer_is_refused_with_both() {
    let (place, _serving) = with_token();
    let ended = verify(&place, &["--audience", "https://other.example"]).expect(1);
    assert!(ended.err.starts_with("refused: aud is `https://localhost"), "{}", ended.err);
    assert!(ended.err.contains("not `https://other.example`"), "{}", ended.err);
    let ended = verify(&place, &["--issuer", "https://other.example"]).expect(1);
    assert!(ended.err.starts_with("refused: iss is"), "{}", ended.err);
}

#[test]
fn every_alteration_is_refused_with_its_reason() {
    let (place, _serving) = with_token();
    let good = place.read("token").trim().to_owned();
    let parts: Vec<&str> = good.split('.').collect();
    let altered = |at: usize, from: &str, to: &str| {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[at]).unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        let part = URL_SAFE_NO_PAD.encode(text.replace(from, to));
        let mut new = parts.clone();
        new[at] = &part;
        new.join(".")
    };
    let mut flipped = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    flipped[10] ^= 1;
    for (token, reason) in [
        (altered(1, "\"score\"", "\"admin\""), "the signature is wrong"),
        (format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(&flipped)), "the signature is wrong"),
        (altered(0, "\"kid\":\"", "\"kid\":\"x"), "no key of the JWKS has kid `x"),
        (altered(0, "ES256", "none"), "alg is none of RS256"),
        (altered(0, "ES256", "HS256"), "alg is none of RS256"),
        (altered(0, "at+jwt", "JWT"), "typ is not at+jwt"),
        (altered(0, "{", "{\"jwk\":{},"), "other members than alg, typ and kid"),
        (format!("{}.{}.", parts[0], parts[1]), "the signature is wrong"),
        (format!("{good}=="), "not base64url"),
        ("nonsense".to_owned(), "not three parts"),
    ] {
        place.write("token", &token);
        let ended = verify(&place, &[]).expect(1);
        assert!(ended.err.starts_with("refused: ") && ended.err.contains(reason), "{reason}: {}", ended.err);
        assert!(ended.out.is_empty());
    }
}

#[test]
fn a_token_of_another_deployment_has_an_unknown_kid() {
    let (place, _serving) = with_token();
    let (other, _other_serving) = with_token();
    place.write("token", &other.read("token"));
    let ended = verify(&place, &[]).expect(1);
    assert!(ended.err.contains("no key of the JWKS has kid"), "{}", ended.err);
}

#[test]
fn a_jwks_that_can_not_be_had_is_named() {
    let place = Place::new();
    place.write("token", "a.b.c");
    let ended = place.run(&["verify", "--jwks", "none.json", "--token", "token"]).expect(1);
    assert!(ended.err.contains("none.json"), "{}", ended.err);
    place.write("jwks.json", "{\"keys\":[]}");
    let ended = place.run(&["verify", "--jwks", "jwks.json", "--token", "token"]).expect(1);
    assert!(ended.err.contains("0 keys"), "{}", ended.err);
}

#[test]
fn a_healthcheck_that_fails_says_why() {
    let place = Place::new();
    let ended = place.healthcheck().expect(1);
    let url = format!("http://127.0.0.1:{}/readyz", place.ops_port);
    assert!(ended.err.contains(&url), "{}", ended.err);
    let listener = std::net::TcpListener::bind(("127.0.0.1", place.ops_port)).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let answer = "HTTP/1.1 503 x\r\nContent-Length: 20\r\nConnection: close\r\n\r\nnot ready: draining\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let ended = place.healthcheck().expect(1);
    answering.join().unwrap();
    assert_eq!(ended.err, format!("wsts: {url} answered 503: not ready: draining\n"));
    assert_eq!(ended.out, "");
}
