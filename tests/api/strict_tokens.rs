//! Tokens that break a rule of `tests/strict`, over HTTP: refused in the shape of the dialect, and never a 5xx.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::helpers::*;
use crate::signer::*;

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// One of each class, from header and claims that are in order. Signed by the signer's key where there is a text to sign.
fn unlawful(signer: &Signer, header: &Value, claims: &Value) -> Vec<(&'static str, String)> {
    let good = signer.sign(header, claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let sign =
        |header: &str, claims: &str| signer.sign_text(&format!("{}.{}", encode(header), encode(claims)));
    let first = |object: &Value, text: &str| object.to_string().replacen('{', &format!("{{{text},"), 1);
    let (head, body) = (header.to_string(), claims.to_string());
    let swapped = header.to_string().replace("ES256", "none");
    vec![
        ("no token", "x".to_owned()),
        ("dots", "..".to_owned()),
        ("five parts", format!("{good}.AA.AA")),
        ("a space in it", good.replacen('.', " .", 1)),
        ("a space at its start", format!(" .{good}")),
        ("standard base64", format!("{signed}.{}", "+/".repeat(43))),
        ("no signature", format!("{signed}.")),
        ("half a signature", format!("{signed}.{}", &signature[..43])),
        ("a signature of zeros", format!("{signed}.{}", encode([0; 64]))),
        ("a long signature", format!("{signed}.{signature}AAAA")),
        ("alg none", format!("{}.{}.", encode(&swapped), encode(&body))),
        ("alg none, signed", sign(&swapped, &body)),
        ("crit", sign(&first(header, r#""crit":["exp"]"#), &body)),
        ("b64", sign(&first(header, r#""b64":false"#), &body)),
        ("jku", sign(&first(header, r#""jku":"https://127.0.0.1:1/keys""#), &body)),
        ("a member twice", sign(&first(header, r#""alg":"none""#), &body)),
        ("a claim twice", sign(&head, &first(claims, r#""exp":9999999999"#))),
        ("exp as a text", sign(&head, &with(claims, &json!({ "exp": "9999999999" })).to_string())),
        ("exp beyond numbers", sign(&head, &body.replacen("\"exp\":", "\"exp\":1e400,\"x\":", 1))),
        ("a list", sign(&head, "[]")),
        ("a deep list", sign(&head, &format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)))),
        (
            "bytes that are no text",
            signer.sign_text(&format!("{}.{}", encode(&head), encode(b"{\"\xff\":1}"))),
        ),
        ("a token in a token", sign(&first(header, r#""cty":"JWT""#), &good)),
        ("17 KiB", sign(&head, &format!("{body}{}", " ".repeat(17 * 1024 * 3 / 4)))),
    ]
}

#[test]
fn an_assertion_that_breaks_a_rule_is_refused_as_oauth_refuses() {
    let (app, signer) = (TestApp::start(), Signer::p256());
    app.register(&READER, &signer);
    let claims = own_claims(&app, &READER);
    app.prove(&signer.sign(&signer.header(), &claims)).expect(200);
    for (what, token) in unlawful(&signer, &signer.header(), &claims) {
        let answer = app.prove(&token);
        assert!(matches!(answer.status, 400 | 401), "{what}: {} {}", answer.status, answer.text());
        let body = answer.json();
        let error = body["error"].as_str().unwrap_or_default();
        assert!(matches!(error, "invalid_client" | "invalid_request"), "{what}: {body}");
        assert!(!answer.text().contains(&token) || token.len() < 8, "{what}: the token comes back");
    }
    app.prove(&signer.sign(&signer.header(), &claims)).expect(200);
}

#[test]
fn a_bearer_token_that_breaks_a_rule_is_refused_as_arm_refuses() {
    let (app, signer) = (TestApp::start(), Signer::p256());
    let good = app.token_for(&OWNER, ISSUER, &[]).expect(200).token();
    app.api_with(&good).get(WORKSPACE).expect(200);
    // By a stranger's key, with the header and the claims of a token that is good.
    let (header, claims) = decoded(&good);
    for (what, token) in unlawful(&signer, &header, &claims) {
        let answer = app.api_with(&token).get(WORKSPACE);
        // A head may be no longer than 16 KiB.
        let lawful = if what == "17 KiB" { &[431][..] } else { &[400, 401] };
        assert!(lawful.contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
        if answer.status == 401 {
            assert!(answer.json()["error"]["code"].is_string(), "{what}: {}", answer.text());
        }
    }
    // Our own, written in another way.
    for other in
        [good.replace('.', " ."), format!("{good}="), format!("{good}\t."), good.replacen('.', "..", 1)]
    {
        assert_eq!(app.api_with(&other).get(WORKSPACE).status, 401, "{other}");
    }
    app.api_with(&good).get(WORKSPACE).expect(200);
}
