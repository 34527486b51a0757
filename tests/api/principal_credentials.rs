//! `keyCredentials` and `federatedIdentityCredentials` of a principal, in the words of Microsoft Graph.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::helpers::*;
use crate::signer::*;

fn trust(name: &str) -> Value {
    json!({ "name": name, "issuer": "https://issuer.example", "subject": format!("subject of {name}"),
            "audiences": ["api://sts"] })
}

/// What a collection of READER's holds.
fn listed(app: &TestApp, collection: &str) -> Vec<Value> {
    let body = app.api(&OWNER).get(&path_of(&READER, collection)).expect(200).json();
    body["value"].as_array().unwrap().clone()
}

/// Posts to a collection of READER's, which must be refused and change nothing; gives the words.
#[track_caller]
fn refused(app: &TestApp, collection: &str, body: &Value, status: u16) -> String {
    let changes = || app.audit().iter().filter(|record| record.event == "change").count();
    let (before, changes_before) = (listed(app, collection), changes());
    let answer = app.api(&OWNER).post(&path_of(&READER, collection), body);
    assert_eq!(answer.status, status, "{body}: {}", answer.text());
    assert_eq!(listed(app, collection), before, "{body}");
    assert_eq!(changes(), changes_before, "{body}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[test]
fn a_certificate_is_registered_listed_without_its_key_and_removed() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let (signer, path) = (Signer::within((2026, 1, 1), (2028, 1, 1)), path_of(&READER, KEYS));
    let body = json!({ "displayName": "laptop", "type": "AsymmetricX509Cert", "usage": "Verify",
                       "key": STANDARD.encode(&signer.der) });
    let added = api.post(&path, &body).expect(201);
    let view = added.json();
    let expected = json!({
        "keyId": view["keyId"], "displayName": "laptop", "type": "AsymmetricX509Cert", "usage": "Verify",
        "customKeyIdentifier": signer.custom_key_identifier(),
        "startDateTime": "2026-01-01T00:00:00Z", "endDateTime": "2028-01-01T00:00:00Z",
    });
    assert_eq!(view, expected);
    let key_id = view["keyId"].as_str().unwrap();
    let record = app.record_of(&added);
    assert_eq!((record.event.as_str(), record.outcome.as_str()), ("change", "done"));
    assert_eq!(record.object_id.as_deref(), Some(OWNER.object_id));
    assert_eq!(record.resource, Some(format!("principal {}", READER.object_id)));
    assert_eq!(record.detail, Some(format!("add certificate {key_id} until 2028-01-01 00:00:00 UTC")));
    assert_eq!(listed(&app, KEYS), std::slice::from_ref(&expected));
    let shown = api.get(&format!("/v1.0/servicePrincipals/{}", READER.object_id)).expect(200).json();
    assert_eq!(shown["keyCredentials"], json!([expected]));
    // In PEM too, and without any of the members that say nothing.
    let pem = json!({ "key": STANDARD.encode(Signer::ed25519().pem) });
    assert_eq!(api.post(&path, &pem).expect(201).json()["displayName"], Value::Null);
    let removed = api.delete(&format!("{path}/{key_id}")).expect(204);
    assert_eq!(app.record_of(&removed).detail, Some(format!("remove certificate {key_id}")));
    assert_eq!(listed(&app, KEYS).len(), 1);
    api.delete(&format!("{path}/{key_id}")).expect(404);
}

#[test]
fn a_federated_credential_is_registered_listed_and_removed() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let path = path_of(&READER, FEDERATED);
    let claims = json!({ "ref": "refs/heads/main" });
    let added = api.post(&path, &with(&trust("ci"), &json!({ "claims": claims }))).expect(201);
    let view = added.json();
    let id = view["id"].as_str().unwrap();
    assert_eq!(view, with(&trust("ci"), &json!({ "id": id, "claims": claims })));
    let record = app.record_of(&added);
    assert_eq!((record.event.as_str(), record.outcome.as_str()), ("change", "done"));
    assert_eq!(record.resource, Some(format!("principal {}", READER.object_id)));
    let detail = format!("put federated credential {id} issuer=https://issuer.example subject=subject of ci");
    assert_eq!(record.detail, Some(detail));
    let other = api.post(&path, &trust("another")).expect(201).json();
    assert_eq!(other["claims"], json!({}));
    assert_eq!(listed(&app, FEDERATED), [other.clone(), view.clone()], "in the order of their names");
    let removed = api.delete(&format!("{path}/{id}")).expect(204);
    assert_eq!(app.record_of(&removed).detail, Some(format!("remove federated credential {id}")));
    assert_eq!(listed(&app, FEDERATED), [other]);
    api.delete(&format!("{path}/{id}")).expect(404);
}

#[test]
fn only_an_owner_at_the_root_deals_with_credentials() {
    let app = TestApp::start();
    let bodies = [(KEYS, json!({ "key": STANDARD.encode(Signer::p256().der) })), (FEDERATED, trust("ci"))];
    let contributor_role = "b24988ac-6180-42a0-ab88-20f7382dd24c";
    let reader_role = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    for (collection, body) in &bodies {
        let (path, own) = (path_of(&READER, collection), app.api(&OWNER));
        let made = own.post(&path, body).expect(201).json();
        let id = made.get("keyId").or(made.get("id")).unwrap().as_str().unwrap();
        let before = listed(&app, collection);
        // Their roles are on the workspace, where no principal lives; the owner of another tenant sees none of these.
        for who in [&CONTRIBUTOR, &READER, &STRANGER, &FOREIGN_OWNER] {
            let api = app.api(who);
            for answer in [
                api.get(&path),
                api.post(&path, body),
                api.delete(&format!("{path}/{id}")),
                api.delete(&format!("{path}/{}", READER.object_id)),
            ] {
                answer.expect(404);
            }
        }
        let refused = app.api(&READER).post(&path, body);
        assert_eq!(
            app.record_of(&refused).detail.as_deref(),
            Some("Microsoft.Graph/servicePrincipals/credentials/action")
        );
        // At the root they read, and hear that they may do no more: neither can become somebody else.
        for (number, role) in [(1, contributor_role), (2, reader_role)] {
            let assignment = format!(
                "/providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-0000-0000-{number:012}"
            );
            let body_of =
                json!({ "properties": { "roleDefinitionId": role, "principalId": STRANGER.object_id } });
            own.put(&assignment, &body_of).expect(201);
            let api = app.api(&STRANGER);
            assert_eq!(api.get(&path).expect(200).json()["value"], json!(before));
            let refused = api.post(&path, body).expect(403);
            let record = app.record_of(&refused);
            assert_eq!(
                (record.outcome.as_str(), record.reason.as_deref()),
                ("refused", Some("no_role_for_action"))
            );
            api.delete(&format!("{path}/{id}")).expect(403);
            own.delete(&assignment).expect(200);
        }
        assert_eq!(&listed(&app, collection), &before);
        app.send("GET", &path, &[], b"").expect(401);
    }
}

#[test]
fn a_body_that_holds_no_usable_certificate_is_refused_and_named() {
    let app = TestApp::start();
    let signer = Signer::p256();
    let good = STANDARD.encode(&signer.der);
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p384 = rcgen::CertificateParams::default().self_signed(&p384).unwrap();
    let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let base64 = "`key`: must be in base64";
    let not_x509 = "`key`: not an X.509 certificate in DER";
    let not_pem = "`key`: not one certificate in PEM";
    let pem = |text: &str| json!({ "key": STANDARD.encode(text) });
    for (body, words) in [
        (json!({ "key": "no base64!" }), base64),
        (json!({ "key": format!("{good}\n") }), base64),
        (json!({ "key": URL_SAFE_NO_PAD.encode([0xff; 40]) }), base64),
        (json!({ "key": signer.pem }), base64),
        (json!({ "key": "" }), not_x509),
        (json!({ "key": STANDARD.encode("no certificate") }), not_x509),
        (json!({ "key": STANDARD.encode(&signer.der[..signer.der.len() - 1]) }), not_x509),
        (json!({ "key": STANDARD.encode([&signer.der[..], &[0]].concat()) }), not_x509),
        (pem(&format!("{}{}", signer.pem, Signer::p256().pem)), not_pem),
        (pem(&format!("{}{private}", signer.pem)), not_pem),
        (pem(&private), not_pem),
        (json!({ "key": STANDARD.encode(p384.der()) }), "`key`: its key is not offered"),
        (json!({ "key": STANDARD.encode(vec![0x30; 16 * 1024 + 1]) }), "`key`: longer than 16384 bytes"),
        (
            json!({ "key": good, "type": "Symmetric" }),
            "`type`: `AsymmetricX509Cert` and `PublicKey` are all that is offered",
        ),
        (json!({ "key": good, "type": "asymmetricx509cert" }), "`type`: "),
        (json!({ "key": good, "usage": "Sign" }), "`usage`: `Verify` is all that is offered"),
        (json!({ "key": good, "keyId": READER.object_id }), "unknown field `keyId`"),
        (
            json!({ "key": good, "endDateTime": "2030-01-01T00:00:00Z" }),
            "`endDateTime`: a certificate says its own end",
        ),
        (json!({ "key": 7 }), "`key`: invalid type"),
        (json!({}), "missing field `key`"),
    ] {
        let detail = refused(&app, KEYS, &body, 400);
        assert!(detail.contains(words), "{words}: {detail}");
        assert!(!detail.contains("PRIVATE"), "{detail}");
    }
    app.register(&READER, &signer);
}

#[test]
fn the_same_certificate_again_and_the_twenty_first_are_refused() {
    let app = TestApp::start();
    let signer = Signer::p256();
    let first = app.register(&READER, &signer);
    let again = json!({ "key": STANDARD.encode(&signer.der) });
    assert!(refused(&app, KEYS, &again, 409).contains("certificate of principal"));
    let in_pem = json!({ "key": STANDARD.encode(&signer.pem), "displayName": "again" });
    refused(&app, KEYS, &in_pem, 409);
    // Of another principal it is the first.
    app.register(&STRANGER, &signer);
    for _ in 1..20 {
        app.register(&READER, &Signer::p256());
    }
    let one_more = json!({ "key": STANDARD.encode(Signer::p256().der) });
    let detail = refused(&app, KEYS, &one_more, 409);
    assert_eq!(detail, "the principal has 20 certificates and keys: remove one first");
    app.api(&OWNER).delete(&format!("{}/{first}", path_of(&READER, KEYS))).expect(204);
    app.api(&OWNER).post(&path_of(&READER, KEYS), &one_more).expect(201);
}

#[test]
fn a_federated_credential_outside_the_rules_is_refused_and_named() {
    let app = TestApp::start();
    let texts = "must have 1 to 600 bytes and no control characters";
    let many: serde_json::Map<String, Value> = (0..11).map(|n| (format!("claim {n}"), json!("x"))).collect();
    let many = Value::Object(many);
    for (members, words) in [
        (json!({ "audiences": ["a", "b"] }), "`audiences`"),
        (json!({ "audiences": [] }), "`audiences`"),
        (json!({ "audiences": "a" }), "`audiences`"),
        (json!({ "audiences": [""] }), "`audience` must have"),
        (json!({ "issuer": "http://issuer.example" }), "`issuer` must begin with https://"),
        (json!({ "issuer": "issuer.example" }), "`issuer` must begin with https://"),
        (json!({ "issuer": "" }), "`issuer` must have"),
        (json!({ "description": "x" }), "unknown field `description`"),
        (json!({ "claimsMatchingExpression": {} }), "unknown field"),
        (json!({ "name": null }), "missing field `name`"),
        (json!({ "subject": null }), "missing field `subject`"),
        (json!({ "name": "" }), texts),
        (json!({ "name": "x".repeat(601) }), texts),
        (json!({ "issuer": format!("https://{}", "x".repeat(593)) }), texts),
        (json!({ "subject": "x".repeat(601) }), texts),
        (json!({ "subject": "ä".repeat(301) }), texts),
        (json!({ "subject": "a\u{0}b" }), texts),
        (json!({ "audiences": ["x".repeat(601)] }), texts),
        (json!({ "claims": { "ref": "x".repeat(601) } }), texts),
        (json!({ "claims": { "x".repeat(601): "ref" } }), texts),
        (json!({ "claims": { "ref": ["main"] } }), "`claims.ref`"),
        (json!({ "claims": many }), "more than 10 claims"),
    ] {
        let detail = refused(&app, FEDERATED, &with(&trust("ci"), &members), 400);
        assert!(detail.contains(words), "{words}: {detail}");
    }
    let longest =
        json!({ "name": "x".repeat(600), "subject": "x".repeat(600), "audiences": ["x".repeat(600)] });
    app.api(&OWNER).post(&path_of(&READER, FEDERATED), &with(&trust("ci"), &longest)).expect(201);
}

#[test]
fn a_doubled_federated_credential_and_the_twenty_first_are_refused() {
    let app = TestApp::start();
    let (api, path) = (app.api(&OWNER), path_of(&READER, FEDERATED));
    let first = api.post(&path, &trust("ci")).expect(201).json();
    refused(&app, FEDERATED, &trust("ci"), 409);
    refused(&app, FEDERATED, &with(&trust("ci"), &json!({ "subject": "another" })), 409);
    let same_match = with(&trust("ci"), &json!({ "name": "another", "claims": { "ref": "main" } }));
    let detail = refused(&app, FEDERATED, &same_match, 409);
    assert!(detail.contains("federated credential `another`"), "{detail}");
    api.post(&path_of(&STRANGER, FEDERATED), &trust("ci")).expect(201);
    for n in 1..20 {
        api.post(&path, &trust(&format!("trust {n}"))).expect(201);
    }
    let detail = refused(&app, FEDERATED, &trust("one more"), 409);
    assert_eq!(detail, "the principal has 20 federated credentials: remove one first");
    api.delete(&format!("{path}/{}", first["id"].as_str().unwrap())).expect(204);
    api.post(&path, &trust("one more")).expect(201);
}

#[test]
fn credentials_are_found_only_with_their_principal_and_kind() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let key_id = app.register(&READER, &Signer::p256());
    let made = api.post(&path_of(&READER, FEDERATED), &trust("ci")).expect(201).json();
    let id = made["id"].as_str().unwrap();
    let secret = api.get(&format!("/v1.0/servicePrincipals/{}", READER.object_id)).json();
    let secret = secret["passwordCredentials"][0]["keyId"].as_str().unwrap().to_owned();
    for path in [
        format!("{}/{key_id}", path_of(&STRANGER, KEYS)),
        format!("{}/{id}", path_of(&STRANGER, FEDERATED)),
        format!("{}/{id}", path_of(&READER, KEYS)),
        format!("{}/{key_id}", path_of(&READER, FEDERATED)),
        format!("{}/{secret}", path_of(&READER, KEYS)),
        format!("{}/{secret}", path_of(&READER, FEDERATED)),
        format!("{}/{key_id}", path_of(&FOREIGN_OWNER, KEYS)),
    ] {
        let answer = api.delete(&path);
        assert_eq!(answer.status, 404, "{path}");
    }
    for collection in [KEYS, FEDERATED] {
        api.delete(&format!("{}/no-uuid", path_of(&READER, collection))).expect(400);
        let nobody = Who { object_id: "0b000000-0000-0000-0000-00000000dead", ..READER };
        for who in [&nobody, &FOREIGN_OWNER] {
            api.get(&path_of(who, collection)).expect(404);
            let body = if collection == KEYS { json!({ "key": "" }) } else { trust("ci") };
            api.post(&path_of(who, collection), &body).expect(404);
        }
    }
    assert_eq!(listed(&app, KEYS).len(), 1);
    assert_eq!(listed(&app, FEDERATED), [made]);
    app.token_for(&READER, ISSUER, &[]).expect(200);
}

#[test]
fn a_deleted_principal_leaves_no_credential_behind() {
    let app = TestApp::start();
    let (api, signer) = (app.api(&OWNER), Signer::p256());
    let made =
        api.post("/v1.0/servicePrincipals", &json!({ "displayName": "short-lived" })).expect(201).json();
    let path = format!("/v1.0/servicePrincipals/{}", made["id"].as_str().unwrap());
    let body = json!({ "key": STANDARD.encode(&signer.der) });
    api.post(&format!("{path}/{KEYS}"), &body).expect(201);
    api.post(&format!("{path}/{FEDERATED}"), &trust("ci")).expect(201);
    api.delete(&path).expect(204);
    // The same client id again is another principal.
    let again = json!({ "displayName": "again", "appId": made["appId"] });
    let again = api.post("/v1.0/servicePrincipals", &again).expect(201).json();
    let path = format!("/v1.0/servicePrincipals/{}", again["id"].as_str().unwrap());
    for collection in [KEYS, FEDERATED] {
        assert_eq!(api.get(&format!("{path}/{collection}")).expect(200).json()["value"], json!([]));
    }
}
