//! Many at once: each answered, each recorded exactly once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::helpers::*;

#[test]
fn two_hundred_tokens_at_once_have_two_hundred_records() {
    let app = TestApp::start();
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    (0..10).map(|_| app.token_as(&READER, "scorer").expect(200).token()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let ids: HashSet<String> =
        tokens.iter().map(|token| decoded(token).1["jti"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 200);
    let recorded: Vec<String> = app
        .audit()
        .into_iter()
        .filter(|row| row.event == "webservice_token" && row.outcome == "issued")
        .filter_map(|row| row.token_id)
        .collect();
    assert_eq!(recorded.len(), 200, "no record twice");
    assert_eq!(recorded.into_iter().collect::<HashSet<_>>(), ids);
}

#[test]
fn of_many_secrets_asked_for_at_once_two_are_made() {
    let app = TestApp::start();
    let token = app.management_token(&OWNER);
    let path = format!("/v1.0/servicePrincipals/{}/addPassword", READER.object_id);
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| app.api_with(&token).post(&path, &json!({})).status)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // One place was free.
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 409).count(), 7, "{answers:?}");
}

#[test]
fn a_role_revoked_under_load_gives_no_token_afterwards() {
    let app = TestApp::start();
    let owner = app.api(&OWNER);
    let list = format!("{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments");
    let found = owner.get(&list).json();
    let held = found["value"].as_array().unwrap().iter();
    let held =
        held.map(|one| (one["properties"]["principalId"].clone(), one["id"].as_str().unwrap().to_owned()));
    let (_, id) = held.into_iter().find(|(principal, _)| *principal == READER.object_id).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Set on every way out, or a failed assertion would wait for the readers for ever.
        let _stopped = SetOnDrop(&stop);
        // Others keep reading the same facts into memory, before, during and after.
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    app.token_as(&READER, "scorer");
                }
            });
        }
        for _ in 0..10 {
            app.token_as(&READER, "scorer").expect(200);
            owner.delete(&id).expect(200);
            for _ in 0..3 {
                app.token_as(&READER, "scorer").expect(400);
            }
            let role = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
            let body = json!({ "properties": { "roleDefinitionId": role, "principalId": READER.object_id } });
            owner.put(&id, &body).expect(201);
        }
    });
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends a JSON Patch in v1's words; the status.
fn patch(app: &TestApp, token: &str, name: &str, path: &str, value: &Value) -> u16 {
    let steps = json!([{ "op": "replace", "path": path, "value": value }]).to_string();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json-patch+json")];
    app.send("PATCH", &services(name), &headers, steps.as_bytes()).status
}

fn services(name: &str) -> String {
    format!("/modelmanagement/v1.0{WORKSPACE}/services/{name}")
}

#[test]
fn changes_of_one_webservice_at_once_are_all_made() {
    let app = TestApp::start();
    let token = app.management_token(&CONTRIBUTOR);
    for round in 0..20 {
        let (description, uri) = (format!("round {round}"), format!("https://gateway.example/{round}"));
        let auth = json!(round % 2 == 0);
        let changes = [
            ("/description", json!(description)),
            ("/scoringUri", json!(uri)),
            ("/kvTags", json!({ "round": description })),
            ("/authEnabled", auth.clone()),
        ];
        std::thread::scope(|scope| {
            for (path, value) in &changes {
                scope.spawn(|| assert_eq!(patch(&app, &token, "keyed", path, value), 200));
            }
        });
        let found = app.api_with(&token).get(&format!("{}?", services("keyed"))).expect(200).json();
        for (member, value) in [
            ("description", &changes[0].1),
            ("scoringUri", &changes[1].1),
            ("kvTags", &changes[2].1),
            ("authEnabled", &auth),
        ] {
            assert_eq!(&found[member], value, "round {round}: {member}");
        }
    }
}

#[test]
fn a_deleted_webservice_stays_deleted_whatever_comes_beside() {
    let app = TestApp::start();
    let token = app.management_token(&CONTRIBUTOR);
    for round in 0..20 {
        let body = json!({ "properties": { "authMode": "Key" } });
        app.api_with(&token).put(&webservice("doomed"), &body).expect(201);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let status = patch(&app, &token, "doomed", "/description", &json!("late"));
                assert!(matches!(status, 200 | 404), "{status}");
            });
            scope.spawn(|| {
                let path = format!("{}/regenerateKeys", webservice("doomed"));
                let status = app.api_with(&token).post(&path, &json!({ "keyType": "Primary" })).status;
                // 409 when it was changed between the reading and the writing.
                assert!(matches!(status, 202 | 404 | 409), "{status}");
            });
            scope.spawn(|| {
                let path = format!("{}/listKeys", webservice("doomed"));
                let status = app.api_with(&token).post(&path, &json!({})).status;
                assert!(matches!(status, 200 | 404), "{status}");
            });
            scope.spawn(|| app.api_with(&token).delete(&webservice("doomed")).expect(200));
        });
        assert_eq!(app.api_with(&token).get(&webservice("doomed")).status, 404, "round {round}");
    }
}

#[test]
fn both_keys_never_get_one_value() {
    let app = TestApp::start();
    let token = app.management_token(&CONTRIBUTOR);
    let path = |what: &str| format!("{}/{what}", webservice("keyed"));
    for round in 0..10 {
        let value = format!("0123456789abcdefABCDEF0123456789-{round}");
        std::thread::scope(|scope| {
            for name in ["Primary", "Secondary"] {
                let body = json!({ "keyType": name, "keyValue": value });
                let path = path("regenerateKeys");
                let (app, token) = (&app, &token);
                scope.spawn(move || {
                    let status = app.api_with(token).post(&path, &body).status;
                    assert!(matches!(status, 202 | 400 | 409), "{status}");
                });
            }
        });
        let keys = app.api_with(&token).post(&path("listKeys"), &json!({})).expect(200).json();
        assert_ne!(keys["primaryKey"], keys["secondaryKey"], "round {round}");
    }
}
