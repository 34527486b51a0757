//! `wsts verify` and `wsts healthcheck`: exit code 0 or 1, with the reason.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use workspace_sts::domain::signing_key::SigningAlgorithm;
use workspace_sts::signing::key_pair::KeyPair;

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
    for more in [&["--strict"][..], &[]] {
        let asked = ["--audience", &audience, "--issuer", &place.url("")];
        let ended = verify(&place, &[&asked, more].concat()).expect(0);
        assert!(ended.out.starts_with(&format!("valid: {READER} for {audience}, until ")), "{}", ended.out);
        assert!(ended.out.contains(", refresh by "), "{}", ended.out);
    }
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
    let (wrong, no_algorithm) = ("the signature is wrong", "alg is none of RS256, PS256, ES256 and EdDSA");
    // By default, and with --strict.
    for (token, reason, strict) in [
        (altered(1, "\"score\"", "\"admin\""), wrong, wrong),
        (format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(&flipped)), wrong, wrong),
        (altered(0, "\"kid\":\"", "\"kid\":\"x"), "has kid `x", "has kid `x"),
        (altered(0, "\"kid\":\"", "\"kid\":\"\\u001b[2J"), "has kid `\\u{1b}[2J", "has kid `\\u{1b}[2J"),
        (altered(0, "ES256", "none"), no_algorithm, no_algorithm),
        (altered(0, "ES256", "HS256"), no_algorithm, no_algorithm),
        (altered(0, "ES256", "RS256"), "but its key is for `ES256`", "but its key is for `ES256`"),
        (altered(0, "at+jwt", "JWT"), wrong, "typ is not at+jwt"),
        (altered(0, "{", "{\"jwk\":{},"), "x5t and x5t#S256", "other members than alg, typ and kid"),
        (format!("{}.{}.", parts[0], parts[1]), wrong, wrong),
        (format!("{good}=="), "not base64url", "not base64url"),
        (format!("{good} "), "not base64url", "not base64url"),
        ("nonsense".to_owned(), "not three parts", "not three parts"),
    ] {
        place.write("token", &token);
        for (more, reason) in [(&[][..], reason), (&["--strict"][..], strict)] {
            let ended = verify(&place, more).expect(1);
            let found = ended.err.starts_with("refused: ") && ended.err.contains(reason);
            assert!(found, "{more:?} {reason}: {}", ended.err);
            assert!(ended.out.is_empty());
        }
    }
}

/// A JWT of somebody else's, and the set with its key.
fn foreign(claims: &serde_json::Value) -> (String, String) {
    let algorithm = SigningAlgorithm::Es256;
    let pair = KeyPair::from_pkcs8(algorithm, &KeyPair::generate(algorithm).unwrap()).unwrap();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(r#"{"alg":"ES256","kid":"theirs"}"#), part(&claims.to_string()));
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()).unwrap()));
    let mut jwk = serde_json::to_value(pair.public_jwk()).unwrap();
    jwk["kid"] = "theirs".into();
    let others = serde_json::json!({ "kty": "oct", "kid": "secret", "k": "c2VjcmV0" });
    (token, serde_json::json!({ "keys": [others, jwk] }).to_string())
}

#[test]
fn any_issuers_token_is_verified_but_not_by_the_strict_form() {
    let place = Place::new();
    let claims = serde_json::json!({ "iss": "https://issuer.example", "sub": "repo:a/b", "aud": ["one", "two"],
                                     "iat": 1_700_000_000, "exp": 4_000_000_000_u64 });
    let (token, jwks) = foreign(&claims);
    place.write("jwks.json", &jwks);
    place.write("token", &format!("{token}\n"));
    let verify = |more: &[&str]| {
        place.run(&[&["verify", "--jwks", "jwks.json", "--token", "token"][..], more].concat())
    };
    let valid = "valid: repo:a/b for one, two, until 2096-10-02 07:06:40 UTC, from https://issuer.example\n";
    assert_eq!(verify(&[]).expect(0).out, valid);
    verify(&["--audience", "two", "--issuer", "https://issuer.example"]).expect(0);
    let ended = verify(&["--audience", "three"]).expect(1);
    assert_eq!(ended.err, "refused: aud is `one, two`, not `three`\n");
    assert!(verify(&["--issuer", "https://issuer.example/"]).expect(1).err.starts_with("refused: iss is"));
    // The strict form wants a set of our own keys alone.
    let ended = verify(&["--strict"]).expect(1);
    assert!(ended.err.contains("key `secret`: it shows private members"), "{}", ended.err);
    for (member, value) in [("exp", 1_700_000_000.into()), ("exp", "4000000000".into()), ("nbf", 3e9.into())]
    {
        let (mut claims, value): (_, serde_json::Value) = (claims.clone(), value);
        claims[member] = value;
        let (token, jwks) = foreign(&claims);
        place.write("jwks.json", &jwks);
        place.write("token", &token);
        assert!(verify(&[]).expect(1).err.starts_with("refused: "), "{claims}");
    }
    place.run(&["verify", "--strict"]).expect(2);
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
