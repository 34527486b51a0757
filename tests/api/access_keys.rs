//! Access keys in both dialects: read, regenerated, kept through a change of the auth mode.

use serde_json::{Value, json};

use crate::helpers::*;

fn v1(name: &str, what: &str) -> String {
    // The v1 dialect has no api-version; the question mark keeps the helper from adding one.
    format!("/modelmanagement/v1.0{WORKSPACE}/services/{name}/{what}?")
}

fn v2(name: &str, what: &str) -> String {
    format!("{}/{what}", webservice(name))
}

#[track_caller]
fn keys(app: &TestApp) -> [String; 2] {
    let shown = app.api(&CONTRIBUTOR).post(&v2("keyed", "listKeys"), &json!({})).expect(200).json();
    ["primaryKey", "secondaryKey"].map(|name| shown[name].as_str().unwrap().to_owned())
}

#[test]
fn both_keys_are_there_from_the_start_and_both_dialects_show_the_same() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    let v2_answer = api.post(&v2("keyed", "listKeys"), &json!({})).expect(200);
    let v1_answer =
        app.send("POST", &v1("keyed", "listkeys"), &[("authorization", &bearer(&app, &CONTRIBUTOR))], b"");
    assert_eq!(v1_answer.status, 200, "{}", v1_answer.text());
    assert_eq!(v1_answer.json(), v2_answer.json());
    let [primary, secondary] = keys(&app);
    assert_ne!(primary, secondary);
    assert!(primary.len() >= 43 && primary.starts_with("wsts_"), "{primary}");
    for answer in [&v1_answer, &v2_answer] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let record = app.record_of(answer);
        assert_eq!((record.event.as_str(), record.outcome.as_str()), ("key_reading", "done"));
        assert_eq!(record.client_id.as_deref(), Some(CONTRIBUTOR.client_id));
        assert_eq!(record.resource, Some(webservice("keyed")));
    }
    let everything: String = app.audit().iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    assert!(!everything.contains(&primary) && !everything.contains(&secondary), "no key stands in the audit");
}

fn bearer(app: &TestApp, who: &Who) -> String {
    format!("Bearer {}", app.management_token(who))
}

#[test]
fn one_key_is_regenerated_while_the_other_stays() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    let [primary, secondary] = keys(&app);
    let answer = api.post(&v2("keyed", "regenerateKeys"), &json!({ "keyType": "Primary" })).expect(202);
    let [new_primary, same_secondary] = keys(&app);
    assert_ne!(new_primary, primary);
    assert_eq!(same_secondary, secondary);
    let record = app.record_of(&answer);
    assert_eq!(
        (record.event.as_str(), record.detail.as_deref()),
        ("change", Some("primary key, generation 2"))
    );
    // Both ways to ask for the end, as they were sent.
    assert_eq!(answer.header("retry-after"), Some("1"));
    for (header, status) in [("azure-asyncoperation", Some("Succeeded")), ("location", None)] {
        let link = answer.header(header).unwrap().strip_prefix(ISSUER).unwrap().to_owned();
        let found = api.get(&link).expect(200).json();
        assert_eq!(found.get("status").and_then(Value::as_str), status);
    }
    // It is that endpoint's operation and no other's.
    let link = answer.header("azure-asyncoperation").unwrap().strip_prefix(ISSUER).unwrap().to_owned();
    api.get(&link.replace("/keyed/", "/scorer/")).expect(404);
    let v1_answer = api
        .post(&v1("keyed", "regenerateKeys"), &json!({ "keyType": "secondary", "keyValue": null }))
        .expect(200);
    assert_eq!(keys(&app)[0], new_primary);
    assert_ne!(keys(&app)[1], secondary);
    let operation = v1_answer.header("operation-location").unwrap().strip_prefix(ISSUER).unwrap().to_owned();
    let found = api.get(&format!("{operation}?")).expect(200).json();
    assert_eq!(found["state"], "Succeeded");
    assert_eq!(found["resourceLocation"], webservice("keyed"));
}

#[test]
fn a_value_of_ones_own_is_taken_when_it_is_strong_and_new() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    let own = "0123456789abcdefABCDEF0123456789";
    let set = |value: Value| {
        api.post(&v1("keyed", "regenerateKeys"), &json!({ "keyType": "Primary", "keyValue": value }))
    };
    set(json!(own)).expect(200);
    assert_eq!(keys(&app)[0], own);
    // What the v2 SDK does: it sends the present value and wants a new one.
    let [present, secondary] = keys(&app);
    api.post(&v2("keyed", "regenerateKeys"), &json!({ "keyType": "Primary", "keyValue": present }))
        .expect(202);
    assert_ne!(keys(&app)[0], own);
    let before = keys(&app);
    for bad in [
        json!("short"),
        json!(""),
        json!("a".repeat(40)),
        json!(secondary),
        json!("x y".repeat(20)),
        json!(7),
    ] {
        let answer = set(bad.clone());
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
        assert_eq!(answer.json()["statusCode"], 400, "in v1's shape");
    }
    let weak = app.record_of(&set(json!("short")));
    assert_eq!((weak.outcome.as_str(), weak.reason.as_deref()), ("refused", Some("unlawful_key_value")));
    assert_eq!(keys(&app), before, "nothing changed");
}

#[test]
fn what_is_wrong_with_a_regeneration_is_said_in_the_dialects_shape() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    let before = keys(&app);
    for bad in [
        json!({}),
        json!({ "keyType": "Tertiary" }),
        json!({ "keyType": 1 }),
        json!(["Primary", null]),
        json!({ "keyType": "Primary", "keyvalue": "x" }),
        json!(null),
    ] {
        let v1_answer = api.post(&v1("keyed", "regenerateKeys"), &bad);
        assert_eq!((v1_answer.status, &v1_answer.json()["statusCode"]), (400, &json!(400)), "{bad}");
        assert!(v1_answer.json()["message"].is_string());
        let v2_answer = api.post(&v2("keyed", "regenerateKeys"), &bad);
        assert_eq!(v2_answer.status, 400, "{bad}");
        assert!(v2_answer.json()["error"]["code"].is_string());
    }
    assert_eq!(api.post(&v2("keyed", "regenerateKeys?x=1"), &json!({ "keyType": "Primary" })).status, 400);
    assert_eq!(keys(&app), before);
    api.get(&format!("/modelmanagement/v1.0{WORKSPACE}/operations/{}?", uuid::Uuid::nil())).expect(404);
    api.get(&format!("/modelmanagement/v1.0{WORKSPACE}/operations/none?")).expect(404);
}

#[test]
fn only_a_webservice_with_key_auth_shows_its_keys() {
    let app = TestApp::start();
    let api = app.api(&CONTRIBUTOR);
    for name in ["scorer", "open"] {
        let listed = api.post(&v2(name, "listKeys"), &json!({})).expect(400);
        assert_eq!(listed.json()["error"]["code"], "AuthModeMismatch");
        let record = app.record_of(&listed);
        assert_eq!((record.event.as_str(), record.outcome.as_str()), ("key_reading", "refused"));
        assert_eq!(record.reason.as_deref(), Some("not_key_auth"));
        let listed = api.post(&v1(name, "listkeys"), &json!({})).expect(400);
        assert_eq!(listed.json()["code"], "AuthModeMismatch");
        for path in [v1(name, "regenerateKeys"), v2(name, "regenerateKeys")] {
            let refused = api.post(&path, &json!({ "keyType": "Primary" })).expect(400);
            let record = app.record_of(&refused);
            assert_eq!((record.event.as_str(), record.outcome.as_str()), ("key_regeneration", "refused"));
            assert_eq!(record.reason.as_deref(), Some("not_key_auth"));
        }
    }
    api.post(&v2("absent", "listKeys"), &json!({})).expect(404);
}

#[test]
fn a_reader_never_sees_keys_and_a_stranger_not_even_the_webservice() {
    let app = TestApp::start();
    for path in [v1("keyed", "listkeys"), v2("keyed", "listKeys")] {
        app.api(&READER).post(&path, &json!({})).expect(403);
        let stranger = app.api(&STRANGER).post(&path, &json!({})).expect(404);
        let absent = app.api(&CONTRIBUTOR).post(&path.replace("keyed", "absent"), &json!({})).expect(404);
        assert_eq!(without_ids(stranger.json()), without_ids(absent.json()));
    }
    for path in [v1("keyed", "regenerateKeys"), v2("keyed", "regenerateKeys")] {
        app.api(&READER).post(&path, &json!({ "keyType": "Primary" })).expect(403);
        app.api(&STRANGER).post(&path, &json!({ "keyType": "Primary" })).expect(404);
    }
}

fn without_ids(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.remove("correlation");
    }
    body
}

#[test]
fn keys_survive_a_restart_and_a_change_of_the_auth_mode() {
    let app = TestApp::start();
    let before = keys(&app);
    let app = app.restart();
    assert_eq!(keys(&app), before);
    let patch = |key: bool, token: bool| {
        let steps = json!([
            { "op": "replace", "path": "/authEnabled", "value": key },
            { "op": "replace", "path": "/aadAuthEnabled", "value": token },
        ]);
        let path = format!("/modelmanagement/v1.0{WORKSPACE}/services/keyed");
        let headers = [
            ("authorization", &*bearer(&app, &CONTRIBUTOR)),
            ("content-type", "application/json-patch+json"),
        ];
        let answer = app.send("PATCH", &path, &headers, steps.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    patch(false, true);
    app.api(&CONTRIBUTOR).post(&v2("keyed", "listKeys"), &json!({})).expect(400);
    app.token_as(&READER, "keyed").expect(200);
    patch(true, false);
    assert_eq!(keys(&app), before);
    app.token_as(&READER, "keyed").expect(400);
}

#[test]
fn a_webservice_made_anew_has_other_keys() {
    let app = TestApp::start();
    let before = keys(&app);
    let api = app.api(&CONTRIBUTOR);
    let body = json!({ "properties": { "authMode": "Key", "computeType": "AKS" } });
    api.put(&webservice("keyed"), &body).expect(200);
    assert_eq!(keys(&app), before, "a put of what is there keeps them");
    api.delete(&webservice("keyed")).expect(200);
    api.put(&webservice("keyed"), &body).expect(201);
    let after = keys(&app);
    assert!(after.iter().all(|key| !before.contains(key)));
}

#[test]
fn of_two_regenerations_at_once_each_generation_has_one_winner() {
    let app = TestApp::start();
    let token = app.management_token(&CONTRIBUTOR);
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let path = v2("keyed", "regenerateKeys");
                    app.api_with(&token).post(&path, &json!({ "keyType": "Primary" })).status
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|status| [202, 409].contains(status)), "{answers:?}");
    let won = answers.iter().filter(|status| **status == 202).count();
    let changes = app.audit().into_iter().filter(|entry| {
        entry
            .detail
            .as_deref()
            .is_some_and(|detail| detail.starts_with("primary key") && !detail.ends_with("generation 1"))
    });
    let mut generations: Vec<_> = changes.map(|entry| entry.detail.unwrap()).collect();
    generations.sort();
    let expected: Vec<_> = (2..2 + won).map(|n| format!("primary key, generation {n}")).collect();
    assert_eq!(generations, expected);
}
