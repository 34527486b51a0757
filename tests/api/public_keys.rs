//! Public keys without a certificate: registered in PEM or as a JWK, named in assertions by their thumbprint (RFC 7638).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::helpers::*;
use crate::signer::*;

const UNKNOWN_KEY: u32 = 700_027;
const KEY_TIME: u32 = 1_000_502;
const END: &str = "2026-06-01T00:00:00Z";

fn body(key: &str) -> Value {
    json!({ "type": "PublicKey", "key": STANDARD.encode(key), "endDateTime": END })
}

/// RFC 7638 by hand: the required members in their order.
fn thumbprint(signer: &Signer) -> String {
    let jwk = signer.jwk("");
    let members: Vec<_> = ["crv", "kty", "x", "y"]
        .into_iter()
        .filter_map(|name| jwk.get(name).map(|value| format!("\"{name}\":{value}")))
        .collect();
    URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes()))
}

#[test]
fn a_public_key_proves_its_principal_by_its_thumbprint_or_its_id() {
    let app = TestApp::with(|deployment| deployment.more_config = GUESS_FREELY.to_owned());
    let api = app.api(&OWNER);
    let path = path_of(&READER, KEYS);
    for (signer, in_pem) in [
        (Signer::p256(), true),
        (Signer::p256(), false),
        (Signer::ed25519(), true),
        (Signer::ed25519(), false),
    ] {
        let key = if in_pem { signer.public_pem.clone() } else { signer.jwk("my own name").to_string() };
        let added = api.post(&path, &body(&key)).expect(201);
        let view = added.json();
        let id = view["keyId"].as_str().unwrap();
        let expected = json!({
            "keyId": id, "displayName": null, "type": "PublicKey", "usage": "Verify",
            "customKeyIdentifier": thumbprint(&signer), "startDateTime": "2026-03-01T12:00:00Z", "endDateTime": END,
        });
        assert_eq!(view, expected);
        let detail = format!("add public key {id} until 2026-06-01 00:00:00 UTC");
        assert_eq!(app.record_of(&added).detail, Some(detail));
        let prove = |header: Value| app.prove(&signer.sign(&header, &own_claims(&app, &READER)));
        for kid in [thumbprint(&signer), id.to_owned()] {
            let record = app.record_of(&prove(signer.header_with_kid(&kid)).expect(200));
            assert_eq!(record.method.as_deref(), Some("private_key_jwt"));
            assert_eq!(record.credential_id.as_deref(), Some(id));
        }
        // It has no certificate to be named by, and no other name.
        for header in [
            signer.header(),
            with(&signer.header(), &json!({ "kid": thumbprint(&signer) })),
            with(&signer.header(), &json!({ "x5t": URL_SAFE_NO_PAD.encode([0; 20]) })),
            with(&signer.header(), &json!({ "x5t": null, "x5t#S256": thumbprint(&signer) })),
            signer.header_with_kid("my own name"),
            signer.header_with_kid(&thumbprint(&Signer::p256())),
            signer.header_with_kid(""),
        ] {
            assert_refused(&app, &prove(header), UNKNOWN_KEY, "unknown_certificate");
        }
        let forged = Signer::p256().sign(&signer.header_with_kid(id), &own_claims(&app, &READER));
        assert_refused(&app, &app.prove(&forged), UNKNOWN_KEY, "wrong_signature");
        // The other spelling is the same key.
        let again = if in_pem { signer.jwk("k").to_string() } else { signer.public_pem.clone() };
        assert!(api.post(&path, &body(&again)).expect(409).text().contains("public key of principal"));
        api.delete(&format!("{path}/{id}")).expect(204);
        assert_refused(&app, &prove(signer.header_with_kid(id)), UNKNOWN_KEY, "unknown_certificate");
    }
}

#[test]
fn a_public_key_ends_when_it_was_said_to() {
    let (app, signer) = (TestApp::start(), Signer::p256());
    let soon = with(&body(&signer.public_pem), &json!({ "endDateTime": "2026-03-01T12:00:10Z" }));
    app.api(&OWNER).post(&path_of(&READER, KEYS), &soon).expect(201);
    let prove =
        || app.prove(&signer.sign(&signer.header_with_kid(&thumbprint(&signer)), &own_claims(&app, &READER)));
    app.advance(9);
    prove().expect(200);
    app.advance(1);
    assert_refused(&app, &prove(), KEY_TIME, "certificate_expired");
}

#[test]
fn what_is_no_public_key_is_refused_and_a_private_one_loudly() {
    let app = TestApp::start();
    let signer = Signer::p256();
    let good = body(&signer.public_pem);
    let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let jwk = |members: Value| body(&with(&signer.jwk("k"), &members).to_string());
    let is_private = "`key`: this is a private key";
    for (body, words) in [
        (body(&private), is_private),
        (body(&format!("{}{private}", signer.public_pem)), is_private),
        (jwk(json!({ "d": "AA" })), is_private),
        (jwk(json!({ "k": "AA" })), is_private),
        (jwk(json!({ "x": "AA" })), "`key`: a P-256 coordinate has 32 bytes"),
        (jwk(json!({ "crv": "P-384" })), "`key`: kty and crv"),
        (jwk(json!({ "use": "enc" })), "`key`: `use` is not `sig`"),
        (jwk(json!({ "alg": "RS256" })), "`key`: `kty` and `alg`"),
        (jwk(json!({ "alg": "HS256" })), "`key`: `alg` is not offered"),
        (body("no key"), "`key`: neither"),
        (body(&signer.pem), "`key`: neither"),
        (body(&signer.public_pem.repeat(2)), "`key`: neither"),
        (body(&" ".repeat(9000)), "`key`: longer than 8192 bytes"),
        (with(&good, &json!({ "key": STANDARD.encode([0xff; 40]) })), "`key`: must be a public key"),
        (with(&good, &json!({ "key": signer.public_pem })), "`key`: must be in base64"),
        (with(&good, &json!({ "endDateTime": null })), "`endDateTime`: missing"),
        (
            with(&good, &json!({ "endDateTime": "2026-03-01T12:00:00Z" })),
            "endDateTime must lie in the future",
        ),
        (with(&good, &json!({ "endDateTime": "2029-01-01T00:00:00Z" })), "at most 730 days ahead"),
        (with(&good, &json!({ "type": "publickey" })), "`type`: "),
        (with(&good, &json!({ "type": null, "endDateTime": null })), "`key`: not one certificate in PEM"),
    ] {
        let answer = app.api(&OWNER).post(&path_of(&READER, KEYS), &body).expect(400);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{words}: {detail}");
    }
    let kept = app.api(&OWNER).get(&path_of(&READER, KEYS)).expect(200).json();
    assert_eq!(kept["value"], json!([]));
}

#[test]
fn a_registry_file_names_public_keys_and_moves_their_end() {
    let (mut app, signer) = (TestApp::start(), Signer::ed25519());
    let file = |end: &str| {
        format!(
            "[[principals]]\nclient_id = \"{}\"\ntenant = \"{TENANT}\"\nname = \"reader\"\n\
             [[principals.public_keys]]\nkey = '{}'\nexpires_at = \"{end}\"\n",
            READER.client_id,
            signer.jwk("k"),
        )
    };
    let ends = |app: &TestApp| -> Vec<Value> {
        let listed = app.api(&OWNER).get(&path_of(&READER, KEYS)).expect(200).json();
        listed["value"].as_array().unwrap().iter().map(|key| key["endDateTime"].clone()).collect()
    };
    for end in [END, END, "2026-07-01T00:00:00Z"] {
        app.apply(&file(end));
        assert_eq!(ends(&app), [end]);
        let header = signer.header_with_kid(&thumbprint(&signer));
        app.prove(&signer.sign(&header, &own_claims(&app, &READER))).expect(200);
    }
}
