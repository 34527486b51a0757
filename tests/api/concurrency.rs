//! Many at once: each answered, each recorded exactly once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

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
