//! `allowedCredentialMethods`: the ways by which a principal may prove itself, whatever credentials it holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::helpers::*;
use crate::issuer::*;
use crate::signer::*;

const ALL: [&str; 3] = ["client_secret", "private_key_jwt", "federated_credential"];
const NOT_ALLOWED: u32 = 53_003;

fn principal_path(who: &Who) -> String {
    format!("/v1.0/servicePrincipals/{}", who.object_id)
}

fn restrict(app: &TestApp, who: &Who, methods: &[&str]) -> Answer {
    app.api(&OWNER).patch(&principal_path(who), &json!({ "allowedCredentialMethods": methods }))
}

fn methods_of(app: &TestApp, who: &Who) -> Value {
    app.api(&OWNER).get(&principal_path(who)).expect(200).json()["allowedCredentialMethods"].clone()
}

#[test]
fn a_principal_comes_in_by_the_ways_that_it_is_held_to_and_by_no_other() {
    let key = Signer::p256();
    let issuer = Issuer::with_key(&key);
    let app = TestApp::with(|deployment| deployment.more_config = issuer.entry());
    app.register(&READER, &key);
    trust(&app, &READER, &issuer.url, &json!({}));
    assert_eq!(methods_of(&app, &READER), json!(ALL), "every way when nobody says");
    let federated = key.sign(&key.header_with_kid("main"), &federated_claims(&app, &issuer.url));
    let ask = |method: &str| match method {
        "client_secret" => app.token_for(&READER, ISSUER, &[]),
        "private_key_jwt" => app.prove(&key.assertion(&app, &READER)),
        _ => app.prove_as(&READER, &federated),
    };
    for allowed in [vec![ALL[0]], vec![ALL[1]], vec![ALL[2]], vec![ALL[1], ALL[2]], ALL.to_vec()] {
        let changed = restrict(&app, &READER, &allowed).expect(204);
        let detail = format!("update methods={}", allowed.join(","));
        assert_eq!(app.record_of(&changed).detail, Some(detail));
        assert_eq!(methods_of(&app, &READER), json!(allowed));
        for method in ALL {
            let answer = ask(method);
            if allowed.contains(&method) {
                answer.expect(200);
                continue;
            }
            assert_eq!(answer.status, 401, "{method} beside {allowed:?}");
            let body = answer.json();
            assert_eq!(
                (&body["error"], &body["error_codes"]),
                (&json!("invalid_client"), &json!([NOT_ALLOWED]))
            );
            assert!(body["error_description"].as_str().unwrap().contains(method), "{body}");
            let record = app.record_of(&answer);
            assert_eq!(
                (record.outcome.as_str(), record.reason.as_deref()),
                ("refused", Some("method_not_allowed"))
            );
            assert_eq!(record.object_id.as_deref(), Some(READER.object_id));
            assert_eq!(record.method.as_deref(), Some(method));
        }
    }
    let metrics = app.get_ops("/metrics").text();
    for method in ["client_secret", "client_assertion"] {
        let labels = [format!("method=\"{method}\""), "result=\"not_allowed\"".to_owned()];
        let line = metrics.lines().find(|line| labels.iter().all(|label| line.contains(label)));
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
    }
}

#[test]
fn who_does_not_hold_the_credential_does_not_learn_that_it_would_be_refused() {
    let (app, key) = (TestApp::start(), Signer::p256());
    app.register(&READER, &key);
    let wrong_secret = || {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", READER.client_id),
            ("client_secret", app.secret(&OWNER)),
            ("resource", ISSUER),
        ];
        anonymous(&app.form("/oauth2/token", &[], &fields))
    };
    let forged = Signer::p256().sign(&key.header(), &own_claims(&app, &READER));
    let wrong_key = || anonymous(&app.prove(&forged));
    let before = (wrong_secret(), wrong_key());
    assert_eq!((before.0.0, before.1.0), (401, 401));
    restrict(&app, &READER, &["federated_credential"]).expect(204);
    assert_eq!((wrong_secret(), wrong_key()), before);
}

#[test]
fn nobody_is_given_a_credential_that_will_be_refused() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let path = principal_path(&READER);
    let (secret, key) = (json!({}), json!({ "key": STANDARD.encode(Signer::p256().der) }));
    let trust =
        json!({ "name": "ci", "issuer": "https://issuer.example", "subject": "s", "audiences": ["a"] });
    let collections = [("addPassword", &secret), (KEYS, &key), (FEDERATED, &trust)];
    for ((collection, body), method) in collections.into_iter().zip(ALL) {
        let others: Vec<_> = ALL.into_iter().filter(|other| *other != method).collect();
        restrict(&app, &READER, &others).expect(204);
        let answer = api.post(&format!("{path}/{collection}"), body).expect(409);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains(&format!("`{method}`")) && detail.contains("allowedCredentialMethods"),
            "{detail}"
        );
    }
    restrict(&app, &READER, &ALL).expect(204);
    for (collection, body) in collections {
        assert!(api.post(&format!("{path}/{collection}"), body).status < 300, "{collection}");
    }
}

#[test]
fn a_list_of_ways_names_some_and_no_other_words() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    for wrong in [json!([]), json!("client_secret"), json!(["secret"]), json!([1]), json!({}), json!([null])]
    {
        let body = json!({ "allowedCredentialMethods": wrong });
        api.patch(&principal_path(&READER), &body).expect(400);
        api.post("/v1.0/servicePrincipals", &with(&body, &json!({ "displayName": "new" }))).expect(400);
    }
    assert_eq!(methods_of(&app, &READER), json!(ALL));
    let empty = restrict(&app, &READER, &[]).expect(400);
    assert!(empty.text().contains("disable the principal"), "{}", empty.text());
    // One that is made with a list has it; null says nothing.
    let body = json!({ "displayName": "new", "allowedCredentialMethods": ["private_key_jwt"] });
    let made = api.post("/v1.0/servicePrincipals", &body).expect(201).json();
    assert_eq!(made["allowedCredentialMethods"], json!(["private_key_jwt"]));
    let path = format!("/v1.0/servicePrincipals/{}", made["id"].as_str().unwrap());
    api.patch(&path, &json!({ "displayName": "renamed", "allowedCredentialMethods": null })).expect(204);
    let found = api.get(&path).expect(200).json();
    assert_eq!(found["allowedCredentialMethods"], json!(["private_key_jwt"]));
    api.post(&format!("{path}/addPassword"), &json!({})).expect(409);
}

#[test]
fn a_registry_file_says_it_too() {
    let mut app = TestApp::start();
    let entry = |methods: &str| {
        format!(
            "[[principals]]\nclient_id = \"{}\"\ntenant = \"{TENANT}\"\nname = \"reader\"\n{methods}\n",
            READER.client_id
        )
    };
    app.apply(&entry("methods = [\"federated_credential\"]"));
    app.token_for(&READER, ISSUER, &[]).expect(401);
    assert_eq!(methods_of(&app, &READER), json!(["federated_credential"]));
    app.apply(&entry(""));
    app.token_for(&READER, ISSUER, &[]).expect(200);
}
