//! Header and payload: one JSON object each, no member twice, nothing of a wrong type.

use serde_json::{Value, json};
use workspace_sts::signing::compact::Kind;

use crate::doors::*;

/// The text of an object with this before its first member.
fn before(object: &Value, text: &str) -> String {
    object.to_string().replacen('{', &format!("{{{text},"), 1)
}

#[test]
fn a_member_comes_once() {
    let key = Key::new();
    for twice in
        [r#""alg":"ES256""#, r#""alg":"none""#, r#""kid":"other""#, r#""typ":"JWT""#, r#""\u0061lg":"ES256""#]
    {
        key.assert_refused_everywhere(twice, |door| {
            key.sign(before(&header(door), twice), claims().to_string())
        });
    }
    for twice in [
        r#""sub":"other""#,
        r#""exp":9999999999"#,
        r#""aud":[]"#,
        r#""\u0065xp":9999999999"#,
        r#""x":{"y":1,"y":1}"#,
        r#""x":[{"y":{"z":1,"z":2}}]"#,
    ] {
        key.assert_refused_everywhere(twice, |door| {
            key.sign(header(door).to_string(), before(&claims(), twice))
        });
    }
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    let key = Key::new();
    let nested = key.good(Kind::ClientAssertion);
    let quoted = json!(nested).to_string();
    let others: [&[u8]; 14] = [
        b"null",
        b"1",
        b"\"text\"",
        b"[]",
        b"{}",
        b"{",
        b"{} {}",
        b"{\"x\":1,}",
        b"{'x':1}",
        b"{x:1}",
        b"\xff\xfe{\x00}\x00",
        b"\x00",
        // A token in a token (RFC 7519, section 5.2), bare and as a text.
        nested.as_bytes(),
        quoted.as_bytes(),
    ];
    for other in others {
        let what = String::from_utf8_lossy(other);
        key.assert_refused_everywhere(&what, |_| key.sign(other, claims().to_string()));
        key.assert_refused_everywhere(&what, |door| key.sign(header(door).to_string(), other));
    }
    type Alteration = fn(String) -> Vec<u8>;
    let alterations: [(&str, Alteration); 8] = [
        ("a byte order mark", |json| format!("\u{feff}{json}").into_bytes()),
        ("a text behind it", |json| format!("{json}x").into_bytes()),
        ("a second object", |json| format!("{json}{json}").into_bytes()),
        ("a zero behind it", |json| format!("{json}\0").into_bytes()),
        ("a list around it", |json| format!("[{json}]").into_bytes()),
        ("a comment", |json| format!("{json}/**/").into_bytes()),
        ("UTF-16", |json| json.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("Latin-1", |json| [&b"{\"x\":\"\xe9\","[..], &json.as_bytes()[1..]].concat()),
    ];
    for (what, alter) in alterations {
        key.assert_refused_everywhere(what, |door| {
            key.sign(alter(header(door).to_string()), claims().to_string())
        });
        key.assert_refused_everywhere(what, |door| {
            key.sign(header(door).to_string(), alter(claims().to_string()))
        });
    }
    for text in [r#""x":"\ud800""#, "\"x\":\"\n\"", r#""x":"\x""#, r#""x":truE"#] {
        key.assert_refused_everywhere(text, |door| {
            key.sign(header(door).to_string(), before(&claims(), text))
        });
    }
}

#[test]
fn nesting_is_bounded_before_anything_is_parsed() {
    let key = Key::new();
    for levels in [32, 128, 5_000] {
        for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
            let deep = format!("\"x\":{}1{}", open.repeat(levels), close.repeat(levels));
            key.assert_refused_everywhere("a deep payload", |door| {
                key.sign(header(door).to_string(), before(&claims(), &deep))
            });
            key.assert_refused_everywhere("a deep header", |door| {
                key.sign(before(&header(door), &deep), claims().to_string())
            });
        }
    }
    // What is never closed costs no more.
    key.assert_refused_everywhere("an open end", |door| {
        key.sign(header(door).to_string(), "[".repeat(9_000))
    });
    let lawful = format!("\"x\":{}1{}", "[".repeat(31), "]".repeat(31));
    for door in DOORS {
        let token = key.sign(header(door).to_string(), before(&claims(), &lawful));
        assert_eq!(key.shown(door, &token), Ok(()), "{door:?}");
    }
}

#[test]
fn times_are_numbers_of_seconds() {
    let key = Key::new();
    for name in ["exp", "iat", "nbf"] {
        for value in [
            "\"1767323645\"",
            "1e400",
            "-1e400",
            "-1",
            "NaN",
            "Infinity",
            "true",
            "false",
            "null",
            "[1767323645]",
            "{}",
            "1767323645000",
            "18446744073709551616",
            "0x10",
            "01767323645",
            "+1767323645",
            "",
        ] {
            let claims = claims();
            let text = claims.to_string().replacen(
                &format!("\"{name}\":{}", claims[name]),
                &format!("\"{name}\":{value}"),
                1,
            );
            assert_ne!(text, claims.to_string());
            key.assert_refused_everywhere(&format!("{name} {value}"), |door| {
                key.sign(header(door).to_string(), &text)
            });
        }
    }
}

#[test]
fn texts_are_texts() {
    let key = Key::new();
    let with = |mut object: Value, name: &str, value: &Value| {
        object[name] = value.clone();
        object.to_string()
    };
    for value in [json!(null), json!(1), json!(true), json!(["x"]), json!({})] {
        for name in ["iss", "sub"] {
            key.assert_refused_everywhere(name, |door| {
                key.sign(header(door).to_string(), with(claims(), name, &value))
            });
        }
        for name in ["alg", "typ", "kid", "x5t", "x5t#S256"] {
            key.assert_refused_everywhere(name, |door| {
                key.sign(with(header(door), name, &value), claims().to_string())
            });
        }
    }
    for value in [json!(null), json!(1), json!([1]), json!(["x", null]), json!({ "x": "y" })] {
        key.assert_refused_everywhere("aud", |door| {
            key.sign(header(door).to_string(), with(claims(), "aud", &value))
        });
    }
}
