//! The header: which members, which kinds of tokens, which algorithms, and that the key decides.

use ring::hmac;
use serde_json::{Value, json};
use workspace_sts::signing::compact::Kind;
use workspace_sts::signing::verifier::KeySet;

use crate::doors::*;

fn with(door: Kind, name: &str, value: Value) -> String {
    let mut header = header(door);
    header[name] = value;
    header.to_string()
}

#[test]
fn extensions_and_keys_of_the_callers_choice_are_refused() {
    let key = Key::new();
    for (name, value) in [
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!(["alg"])),
        ("crit", json!(["unknown"])),
        ("crit", json!("exp")),
        ("crit", json!(null)),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain")),
        ("jwk", key.jwk()),
        ("epk", json!({})),
        ("nonce", json!("x")),
        ("exp", json!(NOW + 600)),
        ("iss", json!("https://sts.example")),
        ("ALG", json!("ES256")),
        ("", json!("")),
    ] {
        key.assert_refused_everywhere(name, |door| {
            key.sign(with(door, name, value.clone()), claims().to_string())
        });
    }
}

#[test]
fn certificates_are_for_client_assertions_and_never_used() {
    let key = Key::new();
    for door in DOORS {
        let token = key.sign(with(door, "x5c", json!(["MII"])), claims().to_string());
        assert_eq!(key.shown(door, &token).is_ok(), door == Kind::ClientAssertion, "{door:?}");
        let token = key.sign(with(door, "x5c", json!([1])), claims().to_string());
        assert!(key.shown(door, &token).is_err(), "{door:?}");
        let token = key.sign(with(door, "x5t", json!("AAAA")), claims().to_string());
        assert_eq!(key.shown(door, &token).is_ok(), door != Kind::OwnAccessToken, "{door:?}");
    }
}

#[test]
fn kinds_of_tokens_do_not_mix() {
    use Kind::{AnyJwt, ClientAssertion, ForeignAccessToken, OwnAccessToken, SubjectToken};
    let key = Key::new();
    for (typ, takers) in [
        (Some("at+jwt"), &[OwnAccessToken, ForeignAccessToken, AnyJwt][..]),
        (Some("AT+JWT"), &[ForeignAccessToken, AnyJwt]),
        (Some("application/at+jwt"), &[ForeignAccessToken, AnyJwt]),
        (Some("JWT"), &[ClientAssertion, SubjectToken, ForeignAccessToken, AnyJwt]),
        (Some("jwt"), &[ClientAssertion, SubjectToken, ForeignAccessToken, AnyJwt]),
        (Some("client-authentication+jwt"), &[ClientAssertion, AnyJwt]),
        (None, &[ClientAssertion, SubjectToken, AnyJwt]),
        (Some("dpop+jwt"), &[]),
        (Some("secevent+jwt"), &[]),
        (Some("token-introspection+jwt"), &[]),
        (Some("JOSE"), &[]),
        (Some("at+jwt "), &[]),
        (Some(""), &[]),
    ] {
        for door in DOORS {
            let mut header = header(door);
            match typ {
                Some(typ) => header["typ"] = typ.into(),
                None => drop(header.as_object_mut().unwrap().remove("typ")),
            }
            let token = key.sign(header.to_string(), claims().to_string());
            assert_eq!(key.shown(door, &token).is_ok(), takers.contains(&door), "{typ:?} at {door:?}");
        }
    }
}

#[test]
fn the_key_is_named_and_decides_the_algorithm() {
    let key = Key::new();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "es256", "Es256", "ES256 ", "ES384", "ES512", "ES256K", "RS256",
        "RS384", "PS256", "PS512", "HS256", "HS384", "HS512", "EdDSA", "Ed25519", "dir", "RSA-OAEP",
        "A128KW", "ECDH-ES",
    ] {
        key.assert_refused_everywhere(alg, |door| {
            key.sign(with(door, "alg", alg.into()), claims().to_string())
        });
        // As a token without a signature is written (RFC 7519, section 6.1).
        key.assert_refused_everywhere(alg, |door| {
            format!("{}.{}.", encode(with(door, "alg", alg.into())), encode(claims().to_string()))
        });
    }
    for kid in ["", "the-ke", "the-key ", "The-key", "the-key\0", "../the-key", "' or 1=1 --"] {
        key.assert_refused_everywhere(kid, |door| {
            key.sign(with(door, "kid", kid.into()), claims().to_string())
        });
    }
    for name in ["alg", "kid"] {
        key.assert_refused_everywhere(name, |door| {
            let mut header = header(door);
            header.as_object_mut().unwrap().remove(name);
            key.sign(header.to_string(), claims().to_string())
        });
    }
    for door in DOORS {
        let mut header = header(door);
        header.as_object_mut().unwrap().remove("kid");
        let told = key.shown(door, &key.sign(header.to_string(), claims().to_string())).unwrap_err();
        assert!(told.contains("the header names no key by kid"), "{door:?}: {told}");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let key = Key::new();
    let jwk = key.jwk();
    let x = jwk["x"].as_str().unwrap();
    for secret in [jwk.to_string(), x.to_owned(), json!({ "keys": [jwk] }).to_string()] {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        for alg in ["HS256", "ES256"] {
            key.assert_refused_everywhere("HMAC with the public key", |door| {
                let signed =
                    format!("{}.{}", encode(with(door, "alg", alg.into())), encode(claims().to_string()));
                let signature = encode(hmac::sign(&secret, signed.as_bytes()));
                format!("{signed}.{signature}")
            });
        }
    }
}

#[test]
fn our_own_set_holds_each_key_once_and_nothing_unsound() {
    let key = Key::new();
    let told =
        |keys: &[Value]| KeySet::parse(&json!({ "keys": keys }).to_string()).err().map(|e| e.to_string());
    let with = |name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    assert_eq!(told(&[key.jwk(), Key::new().jwk()]).as_deref(), Some("two keys have kid `the-key`"));
    assert_eq!(told(&[key.jwk()]), None);
    let twice = told(&[key.jwk(), with("kid", json!("other"))]);
    assert_eq!(twice.as_deref(), Some("kid `the-key` and kid `other` are the same key"));
    for (name, value) in [
        ("d", json!("AQ")),
        ("n", json!("AQ")),
        ("key_ops", json!(["sign"])),
        ("use", json!("enc")),
        ("alg", json!("EdDSA")),
        ("y", key.jwk()["x"].clone()),
    ] {
        assert!(told(&[with(name, value)]).is_some(), "{name}");
    }
}
