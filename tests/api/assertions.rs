//! `private_key_jwt`: what a principal signs itself with the key of a registered certificate (RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::helpers::*;
use crate::signer::*;

// Entra's numbers, which Microsoft's clients print.
const UNREADABLE: u32 = 50_027;
const UNKNOWN_KEY: u32 = 700_027;
const AUDIENCE: u32 = 700_023;
const TIME: u32 = 700_024;
const CERTIFICATE_TIME: u32 = 1_000_502;
const CLOSED: u32 = 7_000_215;

/// A service with a key of READER's.
fn with_key() -> (TestApp, Signer, String) {
    let (app, signer) =
        (TestApp::with(|deployment| deployment.more_config = GUESS_FREELY.to_owned()), Signer::p256());
    let key_id = app.register(&READER, &signer);
    (app, signer, key_id)
}

#[test]
fn a_registered_certificate_proves_its_principal_until_it_is_removed() {
    let app = TestApp::start();
    for signer in [Signer::p256(), Signer::ed25519()] {
        let api = app.api(&OWNER);
        assert_refused(
            &app,
            &app.prove(&signer.assertion(&app, &READER)),
            UNKNOWN_KEY,
            "unknown_certificate",
        );
        let key_id = app.register(&READER, &signer);
        let answer = app.prove(&signer.assertion(&app, &READER)).expect(200);
        let claims = decoded(&answer.token()).1;
        assert_eq!((&claims["oid"], &claims["aud"]), (&json!(READER.object_id), &json!(ISSUER)));
        app.api_with(&answer.token()).get(WORKSPACE).expect(200);
        api.delete(&format!("{}/{key_id}", path_of(&READER, KEYS))).expect(204);
        assert_refused(
            &app,
            &app.prove(&signer.assertion(&app, &READER)),
            UNKNOWN_KEY,
            "unknown_certificate",
        );
    }
    // Its secret was there all the while.
    app.token_for(&READER, ISSUER, &[]).expect(200);
}

#[test]
fn the_audit_names_the_certificate_that_proved_the_caller() {
    let (app, signer, key_id) = with_key();
    let other = Signer::ed25519();
    let other_id = app.register(&READER, &other);
    for (signer, key_id) in [(&signer, &key_id), (&other, &other_id)] {
        let record = app.record_of(&app.prove(&signer.assertion(&app, &READER)).expect(200));
        assert_eq!((record.event.as_str(), record.outcome.as_str()), ("management_token", "issued"));
        assert_eq!(record.method.as_deref(), Some("private_key_jwt"));
        assert_eq!(record.credential_id.as_ref(), Some(key_id));
        assert_eq!(record.client_id.as_deref(), Some(READER.client_id));
        assert_eq!(record.object_id.as_deref(), Some(READER.object_id));
    }
    // A refusal has the id as it was claimed, and what was tried.
    let forged = Signer::p256().assertion(&app, &READER);
    let record = app.record_of(&app.prove_as(&READER, &forged).expect(401));
    assert_eq!(record.method.as_deref(), Some("client_assertion"));
    assert_eq!(record.client_id.as_deref(), Some(READER.client_id));
    assert_eq!((record.object_id, record.credential_id), (None, None));
    let rows = serde_json::to_string(&app.audit()).unwrap();
    assert!(!rows.contains(&forged[..40]), "an assertion in the audit");
}

#[test]
fn an_assertion_gives_a_webservice_token_in_one_round_trip() {
    let (app, signer, key_id) = with_key();
    let assertion = signer.assertion(&app, &READER);
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let answer = app.prove_at(&path, &assertion, &[("resource", &audience("scorer"))]).expect(200);
    let claims = decoded(&answer.token()).1;
    assert_eq!(claims["aud"], audience("scorer"));
    let record = app.record_of(&answer);
    assert_eq!(record.event, "webservice_token");
    assert_eq!(record.resource.as_deref(), Some(webservice("scorer").as_str()));
    assert_eq!(record.credential_id, Some(key_id));
    // What the principal may not do it may not do with a certificate either.
    let other = Signer::p256();
    app.register(&STRANGER, &other);
    let assertion = other.assertion(&app, &STRANGER);
    app.prove_at(&path, &assertion, &[("resource", &audience("scorer"))]).expect(400);
}

#[test]
fn every_name_that_the_header_gives_the_key_must_be_right() {
    let (app, signer, key_id) = with_key();
    let other = Signer::p256();
    let (x5t, s256) = (signer.x5t(), signer.x5t_s256());
    let padded = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    let claims = own_claims(&app, &READER);
    let ask = |names: Value| {
        let header = with(&json!({ "alg": "ES256", "typ": "JWT" }), &names);
        app.prove(&signer.sign(&header, &claims))
    };
    for names in [
        json!({ "x5t": x5t }),
        json!({ "x5t": padded(&x5t) }),
        json!({ "x5t#S256": s256 }),
        json!({ "x5t#S256": padded(&s256) }),
        json!({ "kid": key_id }),
        json!({ "x5t": x5t, "x5t#S256": s256 }),
        // Beside a thumbprint it is the client's own word: MSAL for Python sends the thumbprint in hexadecimal.
        json!({ "x5t": x5t, "kid": "my own word" }),
        json!({ "kid": key_id, "typ": "client-authentication+jwt" }),
        json!({ "kid": key_id, "typ": null }),
        json!({ "x5t": x5t, "x5c": ["never looked at"] }),
    ] {
        assert_eq!(ask(names.clone()).status, 200, "{names}");
    }
    for names in [
        json!({ "x5t": other.x5t() }),
        json!({ "x5t#S256": other.x5t_s256() }),
        json!({ "kid": READER.object_id }),
        json!({ "kid": READER.client_id }),
        json!({ "kid": x5t }),
        json!({ "kid": s256 }),
        json!({ "x5t": x5t, "x5t#S256": other.x5t_s256() }),
        json!({ "x5t": other.x5t(), "x5t#S256": s256 }),
        json!({ "x5t": other.x5t(), "kid": key_id }),
        json!({ "x5t": s256 }),
        json!({ "x5t#S256": x5t }),
        json!({ "x5t": "" }),
        json!({ "kid": "" }),
    ] {
        let answer = ask(names.clone());
        assert_eq!(answer.status, 401, "{names}");
        assert_refused(&app, &answer, UNKNOWN_KEY, "unknown_certificate");
    }
    for names in [
        json!({}),
        json!({ "x5t": "no base64url!" }),
        json!({ "kid": key_id, "typ": "at+jwt" }),
        json!({ "kid": key_id, "crit": ["exp"] }),
        json!({ "kid": key_id, "jku": "https://localhost/keys" }),
        json!({ "kid": key_id, "alg": "none" }),
        json!({ "kid": key_id, "alg": "HS256" }),
    ] {
        assert_refused(&app, &ask(names), UNREADABLE, "malformed_assertion");
    }
}

#[test]
fn the_audience_is_this_service_or_the_endpoint_that_was_called() {
    let (app, signer, _) = with_key();
    let short = "/oauth2/token".to_owned();
    let (old, new) = (format!("/{TENANT}/oauth2/token"), format!("/{TENANT}/oauth2/v2.0/token"));
    let ask = |path: &str, audience: Value| {
        let claims = with(&own_claims(&app, &READER), &json!({ "aud": audience }));
        app.prove_at(path, &signer.sign(&signer.header(), &claims), &[("resource", ISSUER)])
    };
    let paths = [&short, &old, &new];
    for path in paths {
        ask(path, json!(ISSUER)).expect(200);
        ask(path, json!([ISSUER])).expect(200);
        for named in paths {
            let answer = ask(path, json!(format!("{ISSUER}{named}")));
            if named == path {
                answer.expect(200);
            } else {
                assert_refused(&app, &answer, AUDIENCE, "assertion_audience");
            }
        }
    }
    let endpoint = format!("{ISSUER}{new}");
    for audience in [
        json!([]),
        json!([ISSUER, endpoint]),
        json!([ISSUER, ISSUER]),
        json!([ISSUER, "https://elsewhere.example"]),
        json!("https://elsewhere.example"),
        json!(format!("{ISSUER}/")),
        json!(ISSUER.to_uppercase()),
        json!(format!("{endpoint}/")),
        json!(format!("{endpoint}?x=1")),
        json!(""),
        json!(audience("scorer")),
        // The port that this service happens to listen on is not its configured name.
        json!(app.url(&new)),
    ] {
        assert_refused(&app, &ask(&new, audience), AUDIENCE, "assertion_audience");
    }
    let claims = with(&own_claims(&app, &READER), &json!({ "aud": null }));
    let answer = app.prove(&signer.sign(&signer.header(), &claims));
    assert_refused(&app, &answer, UNREADABLE, "malformed_assertion");
}

#[test]
fn the_host_header_names_no_audience() {
    let (app, signer, _) = with_key();
    let claims = with(&own_claims(&app, &READER), &json!({ "aud": "https://other.example/oauth2/token" }));
    let assertion = signer.sign(&signer.header(), &claims);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion.as_str()),
        ("resource", ISSUER),
    ];
    let headers = [("host", "other.example"), ("x-forwarded-host", "other.example")];
    assert_refused(&app, &app.form("/oauth2/token", &headers, &fields), AUDIENCE, "assertion_audience");
}

#[test]
fn claims_out_of_order_are_refused_and_named_to_the_holder_of_the_key() {
    let (app, signer, _) = with_key();
    let ask = |members: Value| {
        let claims = with(&own_claims(&app, &READER), &members);
        app.prove_as(&READER, &signer.sign(&signer.header(), &claims))
    };
    for (members, word) in [
        (json!({ "sub": STRANGER.client_id }), "sub is not the client id"),
        (json!({ "sub": READER.client_id.to_uppercase() }), "sub is not the client id"),
        (json!({ "sub": READER.object_id }), "sub is not the client id"),
        (json!({ "sub": null }), "sub is missing"),
        (json!({ "iss": null }), "iss is missing"),
        (json!({ "jti": null }), "jti is missing"),
        (json!({ "jti": "" }), "jti is missing"),
        (json!({ "jti": 7 }), "jti is missing"),
        (json!({ "exp": null }), "exp is missing"),
        (json!({ "exp": "1767323045" }), "exp is no number"),
        (json!({ "exp": -1 }), "exp is no number"),
        (json!({ "exp": app.now() * 1000 }), "exp is no number"),
        (json!({ "nbf": "now" }), "nbf is no number"),
        (json!({ "iat": [] }), "iat is no number"),
    ] {
        let answer = ask(members);
        assert_refused(&app, &answer, UNREADABLE, "malformed_assertion");
        let text = answer.json()["error_description"].as_str().unwrap().to_owned();
        assert!(text.contains(word), "{text}");
    }
    // Further members are nobody's business; iat and nbf may be missing.
    ask(json!({ "iat": null, "nbf": null, "scope": "x", "aud_": [1, { "a": null }] })).expect(200);
    // Another issuer's token, as far as anyone can tell.
    let answer = ask(json!({ "iss": "someone" }));
    assert_refused(&app, &answer, 700_213, "no_federated_credential");
}

#[test]
fn a_client_id_beside_the_assertion_is_optional_and_must_agree() {
    let (app, signer, _) = with_key();
    app.register(&STRANGER, &Signer::p256());
    let assertion = signer.assertion(&app, &READER);
    let ask = |client_id: &str| {
        let more = [("client_id", client_id), ("resource", ISSUER)];
        app.prove_at("/oauth2/token", &assertion, &more)
    };
    app.prove(&assertion).expect(200);
    for same in [READER.client_id, &READER.client_id.to_uppercase(), ""] {
        ask(same).expect(200);
    }
    for other in [STRANGER.client_id, "c0000000-0000-0000-0000-00000000dead", "no uuid", READER.object_id] {
        assert_refused(&app, &ask(other), UNKNOWN_KEY, "unknown_client");
    }
}

#[test]
fn fractional_times_and_padded_parts_are_taken() {
    let (app, signer, _) = with_key();
    let now = app.now() as f64;
    let times = json!({ "iat": now + 0.25, "nbf": now - 0.5, "exp": now + 599.123_456 });
    let claims = with(&own_claims(&app, &READER), &times);
    app.prove(&signer.sign(&signer.header(), &claims)).expect(200);
    // azure.identity.aio pads every part, and signs the padded text.
    let (mut header, mut payload) = (signer.header().to_string(), claims.to_string());
    while header.len() % 3 != 1 {
        header.push(' ');
    }
    while payload.len() % 3 != 2 {
        payload.push(' ');
    }
    let padded = |text: &str| URL_SAFE.encode(text);
    let signed = signer.sign_text(&format!("{}.{}", padded(&header), padded(&payload)));
    let (text, signature) = signed.rsplit_once('.').unwrap();
    let signature = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    let whole = format!("{text}.{signature}");
    assert!(whole.ends_with("==") && whole.contains("==.") && whole.contains("=."), "{whole}");
    app.prove(&whole).expect(200);
    // The padding is part of what was signed.
    let stripped = format!("{}.{signature}", text.replace('=', ""));
    assert_refused(&app, &app.prove(&stripped), UNKNOWN_KEY, "wrong_signature");
}

#[test]
fn times_are_held_to_within_a_minute() {
    let (app, signer, _) = with_key();
    let now = app.now();
    let ask = |members: Value| {
        let claims = with(&own_claims(&app, &READER), &members);
        app.prove(&signer.sign(&signer.header(), &claims))
    };
    for members in [
        json!({ "exp": now - 59 }),
        json!({ "exp": now as f64 - 59.999 }),
        json!({ "exp": now + 1860 }),
        json!({ "nbf": now + 60 }),
        json!({ "iat": now + 60 }),
        // Only its end limits an assertion's age.
        json!({ "iat": 0, "nbf": 0 }),
    ] {
        assert_eq!(ask(members.clone()).status, 200, "{members}");
    }
    for members in [
        json!({ "exp": now - 60 }),
        json!({ "exp": 0 }),
        json!({ "exp": now + 1861 }),
        json!({ "exp": now + 24 * 3600 }),
        json!({ "exp": 99_999_999_999_i64 }),
        json!({ "nbf": now + 61 }),
        json!({ "nbf": now as f64 + 60.001 }),
        json!({ "iat": now + 61 }),
        json!({ "iat": now - 100, "nbf": now + 61 }),
    ] {
        let answer = ask(members.clone());
        assert_eq!(answer.status, 401, "{members}");
        assert_refused(&app, &answer, TIME, "assertion_time");
    }
    // The same by the clock, and it may be shown again and again until then.
    let assertion = signer.assertion(&app, &READER);
    app.prove(&assertion).expect(200);
    app.advance(659);
    let (first, second) = (app.prove(&assertion).expect(200), app.prove(&assertion).expect(200));
    assert_ne!(first.token(), second.token());
    app.advance(1);
    assert_refused(&app, &app.prove(&assertion), TIME, "assertion_time");
}

#[test]
fn a_certificate_proves_nothing_outside_its_validity() {
    let app = TestApp::start();
    let (past, future) =
        (Signer::within((2026, 2, 27), (2026, 3, 1)), Signer::within((2026, 3, 2), (2026, 3, 3)));
    let refused = |signer: &Signer| {
        let answer = app.prove(&signer.assertion(&app, &READER));
        assert_refused(&app, &answer, CERTIFICATE_TIME, "certificate_expired");
    };
    // Registered all the same: it may be ahead of its time.
    for signer in [&past, &future] {
        app.register(&READER, signer);
        refused(signer);
    }
    app.advance(12 * 3600 - 1);
    refused(&future);
    app.advance(1);
    app.prove(&future.assertion(&app, &READER)).expect(200);
    app.advance(24 * 3600 - 1);
    app.prove(&future.assertion(&app, &READER)).expect(200);
    app.advance(1);
    refused(&future);
    // Who can't sign learns nothing of the certificate's age.
    let forged = Signer::p256().sign(&past.header(), &own_claims(&app, &READER));
    assert_refused(&app, &app.prove(&forged), UNKNOWN_KEY, "wrong_signature");
}

#[test]
fn a_proven_principal_that_is_closed_or_elsewhere_is_refused() {
    let (app, signer, _) = with_key();
    let path = format!("/v1.0/servicePrincipals/{}", READER.object_id);
    let assertion = signer.assertion(&app, &READER);
    let elsewhere = format!("/{OTHER_TENANT}/oauth2/v2.0/token");
    let answer = app.prove_at(&elsewhere, &assertion, &[("resource", ISSUER)]);
    assert_refused(&app, &answer, CLOSED, "wrong_tenant");
    app.prove_at("/77777777-7777-7777-7777-777777777777/oauth2/token", &assertion, &[("resource", ISSUER)])
        .expect(400);
    app.api(&OWNER).patch(&path, &json!({ "accountEnabled": false })).expect(204);
    assert_refused(&app, &app.prove(&assertion), CLOSED, "principal_disabled");
    app.api(&OWNER).patch(&path, &json!({ "accountEnabled": true })).expect(204);
    app.prove(&assertion).expect(200);
    app.api(&OWNER).delete(&path).expect(204);
    assert_refused(&app, &app.prove(&assertion), UNKNOWN_KEY, "unknown_client");
}

#[test]
fn a_key_proves_its_own_principal_and_no_other() {
    let (app, signer, _) = with_key();
    let other = Signer::p256();
    app.register(&STRANGER, &other);
    // Says that it is the other, with a key of its own; and signs for the other with the name of the other's key.
    let answer = app.prove(&signer.assertion(&app, &STRANGER));
    assert_refused(&app, &answer, UNKNOWN_KEY, "unknown_certificate");
    let answer = app.prove(&signer.sign(&other.header(), &own_claims(&app, &STRANGER)));
    assert_refused(&app, &answer, UNKNOWN_KEY, "wrong_signature");
    // One certificate of two principals proves either.
    app.register(&STRANGER, &signer);
    for who in [&READER, &STRANGER] {
        let token = app.prove(&signer.assertion(&app, who)).expect(200).token();
        assert_eq!(decoded(&token).1["oid"], who.object_id);
    }
}

#[test]
fn tokens_of_this_service_are_no_assertions() {
    let (app, _, _) = with_key();
    // Not even when somebody trusts this very issuer.
    let claims = decoded(&app.management_token(&READER)).1;
    let trust =
        json!({ "name": "itself", "issuer": ISSUER, "subject": claims["sub"], "audiences": [ISSUER] });
    app.api(&OWNER).post(&path_of(&READER, FEDERATED), &trust).expect(201);
    for token in [app.management_token(&READER), app.token_as(&READER, "scorer").expect(200).token()] {
        for answer in [app.prove(&token), app.prove_as(&READER, &token)] {
            let reason = app.record_of(&answer).reason.unwrap();
            assert_eq!((answer.status, reason.as_str()), (401, "malformed_assertion"), "{}", answer.text());
        }
    }
}

#[test]
fn the_key_decides_the_algorithm() {
    let app = TestApp::start();
    let (p256, ed25519) = (Signer::p256(), Signer::ed25519());
    for signer in [&p256, &ed25519] {
        app.register(&READER, signer);
    }
    for signer in [&p256, &ed25519] {
        for algorithm in ["ES256", "EdDSA", "RS256", "PS256"] {
            let header = with(&signer.header(), &json!({ "alg": algorithm }));
            let answer = app.prove(&signer.sign(&header, &own_claims(&app, &READER)));
            if algorithm == signer.algorithm() {
                answer.expect(200);
            } else {
                assert_refused(&app, &answer, UNKNOWN_KEY, "wrong_signature");
            }
        }
        // Signed by the one, said to be by the other.
        let other = if signer.algorithm() == "ES256" { &ed25519 } else { &p256 };
        let answer = app.prove(&signer.sign(&other.header(), &own_claims(&app, &READER)));
        assert_refused(&app, &answer, UNKNOWN_KEY, "wrong_signature");
    }
}

#[test]
fn a_bit_flipped_anywhere_is_refused() {
    let (app, signer, _) = with_key();
    let assertion = signer.assertion(&app, &READER);
    let parts: Vec<Vec<u8>> =
        assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    for place in 0..3 {
        for at in (0..parts[place].len()).step_by(5) {
            let mut flipped = parts.clone();
            flipped[place][at] ^= 1 << (at % 8);
            let texts: Vec<String> = flipped.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
            let answer = app.prove(&texts.join("."));
            assert_eq!(answer.status, 401, "byte {at} of part {place}: {}", answer.text());
        }
    }
    for cut in [&assertion[..assertion.len() - 4], &assertion[..assertion.rfind('.').unwrap() + 1]] {
        app.prove(cut).expect(401);
    }
    app.prove(&assertion).expect(200);
}

#[test]
fn who_can_not_sign_does_not_learn_which_clients_and_keys_there_are() {
    let (app, signer, _) = with_key();
    let nobody = Who { client_id: "c0000000-0000-0000-0000-00000000dead", ..READER };
    let forger = Signer::p256();
    let forged =
        |header: &Value, members: Value| forger.sign(header, &with(&own_claims(&app, &READER), &members));
    let unknown = anonymous(&app.prove(&forger.assertion(&app, &nobody)));
    assert!(unknown.2.contains("700027"), "{unknown:?}");
    for (assertion, reason) in [
        (forger.assertion(&app, &READER), "unknown_certificate"),
        (forged(&signer.header(), json!({})), "wrong_signature"),
        // What is wrong besides is not said either.
        (forged(&signer.header(), json!({ "exp": 0 })), "wrong_signature"),
        (forged(&signer.header(), json!({ "sub": STRANGER.client_id })), "wrong_signature"),
        (forged(&signer.header(), json!({ "aud": "x" })), "wrong_signature"),
        (forger.assertion(&app, &DISABLED), "unknown_certificate"),
    ] {
        let answer = app.prove(&assertion);
        assert_eq!(anonymous(&answer), unknown, "{reason}");
        assert_eq!(app.record_of(&answer).reason.as_deref(), Some(reason));
    }
}

#[test]
fn a_form_that_proves_twice_or_badly_is_refused() {
    let (app, signer, _) = with_key();
    let assertion = signer.assertion(&app, &READER);
    let (secret, too_long) = (app.secret(&READER).to_owned(), "a".repeat(17 * 1024));
    let header = basic(READER.client_id, &secret);
    let ask = |headers: &[(&str, &str)], of_type: &str, assertion: &str, more: &[(&str, &str)]| {
        let mut fields =
            vec![("grant_type", "client_credentials"), ("resource", ISSUER), ("client_assertion", assertion)];
        if !of_type.is_empty() {
            fields.push(("client_assertion_type", of_type));
        }
        fields.extend_from_slice(more);
        app.form("/oauth2/token", headers, &fields)
    };
    let before = app.audit().len();
    let saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer";
    for (answer, word) in [
        (ask(&[], JWT_BEARER, &assertion, &[("client_secret", &secret)]), "client_assertion"),
        (ask(&[("authorization", &header)], JWT_BEARER, &assertion, &[]), "client_assertion"),
        (ask(&[("authorization", "Bearer x")], JWT_BEARER, &assertion, &[]), "client_assertion"),
        (ask(&[], saml, &assertion, &[]), "client_assertion_type"),
        (ask(&[], &JWT_BEARER.to_uppercase(), &assertion, &[]), "client_assertion_type"),
        (ask(&[], "", &assertion, &[]), "client_assertion_type"),
        (ask(&[], JWT_BEARER, "", &[("client_id", READER.client_id)]), "client_secret"),
        (ask(&[], JWT_BEARER, "", &[]), "client_id"),
        (ask(&[], JWT_BEARER, &too_long, &[]), "client_assertion"),
        (ask(&[], JWT_BEARER, &assertion, &[("client_assertion", &assertion)]), "client_assertion"),
        (ask(&[], JWT_BEARER, &assertion, &[("client_assertion_type", JWT_BEARER)]), "client_assertion_type"),
        (ask(&[], JWT_BEARER, &assertion, &[("client_id", "a"), ("client_id", "b")]), "client_id"),
    ] {
        let body = answer.expect(400).json();
        assert_eq!(body["error"], "invalid_request");
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("`{word}`: ")), "{text}");
    }
    assert_eq!(app.audit().len(), before, "nobody was judged");
    // An empty secret counts as none (RFC 6749, section 3.1).
    ask(&[], JWT_BEARER, &assertion, &[("client_secret", "")]).expect(200);
    // Text that is no assertion at all is a wrong proof, not a wrong form.
    for text in ["x", "a.b.c", "..", "a.b", "ä.ö.ü", &"a".repeat(16 * 1024)] {
        assert_refused(&app, &ask(&[], JWT_BEARER, text, &[]), UNREADABLE, "malformed_assertion");
    }
}
