//! Ways to prove oneself, and public keys, in a file.

use super::credentials::{assert_nothing, mistake, pem, trust};
use super::*;

#[test]
fn a_principal_that_is_held_to_some_ways_has_no_credentials_of_another() {
    let ways = ["client_secret", "private_key_jwt", "federated_credential"];
    for (name, value, way) in [
        ("secret_lifetime_days", json!(30), 0),
        ("certificates", json!([pem()]), 1),
        ("federated_credentials", json!([trust("ci")]), 2),
    ] {
        let mut file = whole();
        let entry = &mut file["principals"][0];
        entry["secret_lifetime_days"] = json!(null);
        entry[name] = value;
        entry["methods"] = json!([ways[way]]);
        let difference = compared(file.clone(), &applied(), false, 2).expect("lawful");
        assert_eq!(texts(&difference)[0], format!("~ principal {CLIENT} `Caller` (by {} only)", ways[way]),);
        let mut paper = Paper(applied());
        paper.apply(&difference);
        assert_nothing(&compared(file.clone(), &paper.0, true, 3).expect("lawful"));
        file["principals"][0]["methods"] = json!([ways[(way + 1) % 3]]);
        let words = format!("{name} beside methods without `{}`", ways[way]);
        assert!(mistake(file).ends_with(&words), "{words}");
    }
    for methods in [json!([]), json!(["secret"])] {
        let mut file = whole();
        file["principals"][0]["methods"] = methods;
        assert!(serde_json::from_value::<RegistryFile>(file).is_err());
    }
}

#[test]
fn public_keys_are_put_once_and_again_when_their_end_moves() {
    const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let file = |key: &str, end: &str| {
        let mut file = whole();
        file["principals"][0]["public_keys"] = json!([{"key": key, "expires_at": end}]);
        file
    };
    let mut paper = Paper(applied());
    for (end, sign) in [("1970-06-01T00:00:00Z", '+'), ("1970-07-01T00:00:00Z", '~')] {
        let difference = compared(file(KEY, end), &paper.0, false, 2).expect("lawful");
        let day = end.split('T').next().expect("a day");
        assert_eq!(texts(&difference), [format!("{sign} public key until {day} of principal {CLIENT}")]);
        paper.apply(&difference);
        assert_eq!(paper.0.key_credentials.len(), 1);
        for prune in [false, true] {
            // Also long after it has ended.
            assert_nothing(&compared(file(KEY, end), &paper.0, prune, 1 << 30).expect("lawful"));
        }
    }
    let difference = compared(whole(), &paper.0, true, 3).expect("lawful");
    let id = paper.0.key_credentials[0].id;
    assert_eq!(texts(&difference), [format!("- public key {id} of principal {CLIENT}")]);
    for (key, end, words) in [
        ("{}", "1970-06-01T00:00:00Z", "public_keys[0]: neither"),
        (
            &KEY.replace("\"x\"", "\"d\":\"AA\",\"x\""),
            "1970-06-01T00:00:00Z",
            "public_keys[0]: this is a private key",
        ),
        (KEY, "1973-01-01T00:00:00Z", "public_keys[0]: expires_at must be at most 730 days ahead"),
    ] {
        let mistake = mistake(file(key, end));
        assert!(mistake.contains(words), "{mistake}");
    }
}
