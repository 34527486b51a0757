//! A signature has one form (RFC 7518, sections 3.3 to 3.5; RFC 8037, section 3.1). ring holds to it, and these tests
//! hold ring to it: where a laxer library would take the case, the case says so.

// ring's signing calls take no other randomness.
#![allow(clippy::disallowed_types)]

use std::process::Command;

use num_bigint::BigUint;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use serde_json::{Value, json};
use workspace_sts::domain::signing_key::SigningAlgorithm;
use workspace_sts::signing::key_pair::KeyPair;
use workspace_sts::signing::provider;
use workspace_sts::signing::public_key::{ForeignJwk, PublicKey, VerificationAlgorithm};

use crate::doors::*;

const ES256: VerificationAlgorithm = VerificationAlgorithm::Es256;

fn public(jwk: Value) -> Result<PublicKey, &'static str> {
    provider::install();
    let Value::Object(jwk) = jwk else { panic!("no object") };
    PublicKey::from_foreign(&ForeignJwk::parse(jwk)?)
}

fn hex(text: &str) -> BigUint {
    BigUint::parse_bytes(text.as_bytes(), 16).unwrap()
}

/// Order of the group of P-256 (FIPS 186-4, appendix D.1.2.3).
fn n() -> BigUint {
    hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
}

fn fixed(number: &BigUint) -> [u8; 32] {
    let bytes = number.to_bytes_be();
    let mut fixed = [0; 32];
    fixed[32 - bytes.len()..].copy_from_slice(&bytes);
    fixed
}

/// A DER integer of a number below 2^256.
fn der_integer(number: &BigUint) -> Vec<u8> {
    let mut bytes = number.to_bytes_be();
    if bytes[0] >= 0x80 {
        bytes.insert(0, 0);
    }
    [&[2, bytes.len() as u8][..], &bytes].concat()
}

#[test]
fn an_ecdsa_signature_is_64_bytes_of_numbers_below_the_order() {
    // For a signature of one's choice there is a key: Q = r⁻¹(s·R − z·G). So both numbers can be so small that adding the
    // order leaves 32 bytes, which never happens by itself: a verifier that reduces takes all of these.
    let key = public(json!({ "kty": "EC", "crv": "P-256",
        "x": "0ZK2SyF4owKQaHJis_1VtLr9grtqVB8bpNekkQH0nzI", "y": "gR6iNFT6NFhKTR-nR3QA37JIRpcNgV8HCMwUxzwE1iU" }))
    .unwrap();
    let (r, s) = (BigUint::from(5_u32), BigUint::from(7_u32));
    let both = |r: &BigUint, s: &BigUint| [fixed(r), fixed(s)].concat();
    let takes = |signature: &[u8]| key.verifies(ES256, b"anything", signature);
    assert!(takes(&both(&r, &s)));
    // n − s is the same signature for ECDSA, and of the same form: it is lawful everywhere, and no token is known by it.
    assert!(takes(&both(&r, &(n() - &s))));
    for (what, signature) in [
        ("r + n", both(&(&r + n()), &s)),
        ("s + n", both(&r, &(&s + n()))),
        ("both + n", both(&(&r + n()), &(&s + n()))),
        ("r and s in turn", both(&s, &r)),
        ("without leading zeros", vec![5, 7]),
        ("31 bytes each", [&fixed(&r)[1..], &fixed(&s)[1..]].concat()),
        ("33 bytes each", [&[0], &fixed(&r)[..], &[0], &fixed(&s)].concat()),
        ("a byte behind", [both(&r, &s), vec![0]].concat()),
        ("a byte before", [vec![0], both(&r, &s)].concat()),
        ("a byte less", both(&r, &s)[..63].to_vec()),
        ("half of it", fixed(&r).to_vec()),
        ("twice", [both(&r, &s), both(&r, &s)].concat()),
        ("nothing", Vec::new()),
        ("DER", [&[0x30, 6][..], &der_integer(&r), &der_integer(&s)].concat()),
    ] {
        assert!(!takes(&signature), "{what}");
    }
}

#[test]
fn a_signature_that_is_no_number_of_the_group_is_refused_for_any_message() {
    let key = Key::new();
    let (zero, one, p) = (
        BigUint::ZERO,
        BigUint::from(1_u32),
        hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
    );
    // Zeros are the "psychic" signature (CVE-2022-21449), which verified everything.
    let numbers = [zero, one.clone(), n() - &one, n(), n() + &one, p, (one << 256_u32) - 1_u32];
    for r in &numbers {
        for s in &numbers {
            let signature = encode([fixed(r), fixed(s)].concat());
            key.assert_refused_everywhere(&format!("r {r}, s {s}"), |door| {
                let good = key.good(door);
                format!("{}.{signature}", good.rsplit_once('.').unwrap().0)
            });
        }
    }
    key.assert_refused_everywhere("DER", |door| {
        let good = key.good(door);
        let signed = good.rsplit_once('.').unwrap().0;
        let signature = key.signature(signed);
        let [r, s] = [&signature[..32], &signature[32..]].map(BigUint::from_bytes_be);
        let integers = [der_integer(&r), der_integer(&s)].concat();
        format!("{signed}.{}", encode([&[0x30, integers.len() as u8][..], &integers].concat()))
    });
}

#[test]
fn an_eddsa_signature_is_64_bytes_with_s_below_the_order() {
    let algorithm = SigningAlgorithm::EdDsa;
    let pair = KeyPair::from_pkcs8(algorithm, &KeyPair::generate(algorithm).unwrap()).unwrap();
    let key = public(serde_json::to_value(pair.public_jwk()).unwrap()).unwrap();
    let takes = |signature: &[u8]| key.verifies(VerificationAlgorithm::EdDsa, b"anything", signature);
    let good = pair.sign(b"anything").unwrap();
    assert!(takes(&good));
    let order = (BigUint::from(1_u32) << 252_u32) + hex("14def9dea2f79cd65812631a5cf5d3ed");
    let mut malleable = BigUint::from_bytes_le(&good[32..]);
    for _ in 0..7 {
        // RFC 8032, section 5.1.7: s is below the order; a verifier that reduces takes these.
        malleable += &order;
        let mut s = malleable.to_bytes_le();
        s.resize(32, 0);
        assert!(!takes(&[&good[..32], &s].concat()));
    }
    for wrong in [&good[..63], &[&good[..], &[0]].concat(), &[0; 64], &[0xff; 64], &[]] {
        assert!(!takes(wrong), "{} bytes", wrong.len());
    }
}

/// A new RSA key of 2048 bits; ring makes none.
fn rsa() -> (RsaKeyPair, Value) {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER"])
        .output()
        .expect("openssl is installed");
    assert!(made.status.success());
    let pair = RsaKeyPair::from_pkcs8(&made.stdout).or_else(|_| RsaKeyPair::from_der(&made.stdout)).unwrap();
    let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let jwk = json!({ "kty": "RSA", "n": encode(&parts.n), "e": encode(&parts.e) });
    (pair, jwk)
}

fn rsa_sign(pair: &RsaKeyPair, form: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(form, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

#[test]
fn an_rsa_signature_is_as_long_as_the_modulus_and_below_it() {
    let (pair, jwk) = rsa();
    let key = public(jwk.clone()).unwrap();
    let modulus = BigUint::from_bytes_be(&ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public()).n);
    let forms: [(VerificationAlgorithm, &'static dyn RsaEncoding); 2] =
        [(VerificationAlgorithm::Rs256, &RSA_PKCS1_SHA256), (VerificationAlgorithm::Ps256, &RSA_PSS_SHA256)];
    for (algorithm, form) in forms {
        let (mut with_zero, mut above) = (false, false);
        for number in 0_u32.. {
            let message = number.to_be_bytes();
            let good = rsa_sign(&pair, form, &message);
            let takes = |signature: &[u8]| key.verifies(algorithm, &message, signature);
            assert!(takes(&good));
            for wrong in
                [&[&[0], &good[..]].concat()[..], &[&good[..], &[0]].concat(), &good[1..], &good[..255], &[]]
            {
                assert!(!takes(wrong), "{} bytes", wrong.len());
            }
            // As a big number the short form is the same one.
            with_zero |= good[0] == 0;
            let sum = (BigUint::from_bytes_be(&good) + &modulus).to_bytes_be();
            if sum.len() == 256 {
                above = true;
                assert!(!takes(&sum), "the modulus added");
            }
            if with_zero && above || number == 4_000 {
                break;
            }
        }
        assert!(with_zero && above, "no such signature among 4,000");
    }
    // One form is not the other, and a key that is bound to one is not for the other.
    let (pkcs1, pss) = (rsa_sign(&pair, &RSA_PKCS1_SHA256, b"x"), rsa_sign(&pair, &RSA_PSS_SHA256, b"x"));
    use VerificationAlgorithm::{EdDsa, Es256, Ps256, Rs256};
    assert!(key.verifies(Rs256, b"x", &pkcs1) && key.verifies(Ps256, b"x", &pss));
    assert!(!key.verifies(Ps256, b"x", &pkcs1) && !key.verifies(Rs256, b"x", &pss));
    let mut bound = jwk;
    bound["alg"] = "PS256".into();
    let bound = public(bound).unwrap();
    assert!(bound.verifies(Ps256, b"x", &pss) && !bound.verifies(Rs256, b"x", &pkcs1));
    assert!(!key.verifies(Es256, b"x", &pkcs1) && !key.verifies(EdDsa, b"x", &pkcs1));
}

#[test]
fn a_weak_key_is_refused_when_it_is_loaded() {
    let f4 = "AQAB";
    let rsa =
        |n: &BigUint, e: &str| public(json!({ "kty": "RSA", "n": encode(n.to_bytes_be()), "e": e })).err();
    let odd = (BigUint::from(0xc5_u32) << 2040_u32) + 12_345_u32;
    assert_eq!(rsa(&odd, f4), None);
    for (what, n, e) in [
        ("1024 bits", &(&odd >> 1024_u32) | BigUint::from(1_u32), f4),
        ("2047 bits", &(&odd >> 1_u32) | BigUint::from(1_u32), f4),
        ("an even modulus", &odd + 1_u32, f4),
        ("e = 1", odd.clone(), "AQ"),
        ("e = 2", odd.clone(), "Ag"),
        ("an even e", odd.clone(), "AQAC"),
        ("no e", odd.clone(), ""),
        ("e = 0", odd.clone(), "AA"),
        ("a long e", odd.clone(), "AQAAAAAAAAAB"),
        ("a leading zero", odd.clone(), "AAEAAQ"),
    ] {
        assert!(rsa(&n, e).is_some(), "{what}");
    }
    // Factors of the form k·M + (65537^a mod M), in all but being primes: that is what the mark shows.
    let m: BigUint = (2_u32..=701).filter(|n| (2..*n).all(|d| n % d != 0)).map(BigUint::from).product();
    let factor = |k: u32, a: u32| &m * k + BigUint::from(65_537_u32).modpow(&a.into(), &m);
    // Two factors, as the library makes them, have some 40 bits less than what is looked at.
    let roca = factor(4_000_000_007, 99) * factor(3_999_999_979, 1234) * factor(1, 5);
    assert_eq!(rsa(&roca, f4), Some("an RSA modulus that can be factored (ROCA, CVE-2017-15361)"));
    let ec = |x: [u8; 32], y: [u8; 32]| {
        public(json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })).err()
    };
    assert_eq!(ec([0; 32], [0; 32]), Some("x and y are no point of P-256"));
    assert_eq!(ec([5; 32], [7; 32]), Some("x and y are no point of P-256"));
    for jwk in [
        json!({ "kty": "EC", "crv": "P-384", "x": encode([5; 48]), "y": encode([7; 48]) }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": encode([5; 32]), "y": encode([7; 32]) }),
        json!({ "kty": "RSA", "crv": "P-256", "x": encode([5; 32]), "y": encode([7; 32]) }),
        json!({ "kty": "OKP", "crv": "P-256", "x": encode([5; 32]) }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": encode([1; 31]) }),
        json!({ "kty": "oct", "k": encode("secret") }),
    ] {
        assert!(public(jwk.clone()).is_err(), "{jwk}");
    }
}
