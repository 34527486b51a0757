//! The text of a token: three parts of strict base64url (RFC 7515, sections 2 and 7.1), and no other serialization.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};
use serde_json::json;
use workspace_sts::signing::compact::{Kind, MAX_TOKEN_BYTES};

use crate::doors::*;

#[test]
fn parts_are_three() {
    let key = Key::new();
    type Alteration = fn(&str) -> String;
    let alterations: [(&str, Alteration); 12] = [
        ("nothing", |_| String::new()),
        ("one part", |token| token.replace('.', "")),
        ("two parts", |token| token.rsplit_once('.').unwrap().0.to_owned()),
        ("a part before", |token| format!(".{token}")),
        ("a part behind", |token| format!("{token}.")),
        ("five parts, as JWE has", |token| format!("{token}.AA.AA")),
        ("two dots together", |token| token.replacen('.', "..", 1)),
        ("another separator", |token| token.replace('.', "\u{ff0e}")),
        ("an empty header", |token| format!(".{}", token.split_once('.').unwrap().1)),
        ("an empty signature", |token| format!("{}.", token.rsplit_once('.').unwrap().0)),
        ("dots alone", |_| "..".to_owned()),
        ("a prefix", |token| format!("Bearer {token}")),
    ];
    for (what, alter) in alterations {
        key.assert_refused_everywhere(what, |door| alter(&key.good(door)));
    }
    // Told before the signature is looked at, which would be that of another text.
    for door in DOORS {
        let good = key.good(door);
        for token in [format!("{good}."), format!("{good}.AA.AA"), format!(".{good}")] {
            let told = key.shown(door, &token).unwrap_err();
            assert!(told.ends_with("not three parts with dots between them"), "{door:?}: {told}");
        }
    }
    key.assert_refused_everywhere("an empty payload", |door| {
        key.sign_encoded(&encode(header(door).to_string()), "")
    });
}

/// Each part in turn is written in another way; header and payload are signed as they are then written.
fn assert_lax_base64_is_refused(what: &str, alter: impl Fn(&str) -> String, doors: &[Kind]) {
    let key = Key::new();
    for door in doors {
        assert_eq!(key.shown(*door, &key.good(*door)), Ok(()));
        let (header, claims) = (encode(header(*door).to_string()), encode(claims().to_string()));
        let good = key.sign_encoded(&header, &claims);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        for (part, token) in [
            ("header", key.sign_encoded(&alter(&header), &claims)),
            ("payload", key.sign_encoded(&header, &alter(&claims))),
            ("signature", format!("{signed}.{}", alter(signature))),
        ] {
            let refused = key.shown(*door, &token);
            assert!(refused.is_err(), "{door:?} takes {what} in its {part}: {token}");
        }
    }
}

#[test]
fn base64_has_neither_white_space_nor_foreign_characters() {
    for (what, text) in [
        ("a space", " "),
        ("a tab", "\t"),
        ("a line feed", "\n"),
        ("a carriage return", "\r\n"),
        ("a zero", "\0"),
        ("a no-break space", "\u{a0}"),
        ("a byte order mark", "\u{feff}"),
        ("padding", "="),
        ("a percent sign", "%3D"),
        ("a star", "*"),
        ("standard base64", "+"),
        ("standard base64", "/"),
    ] {
        assert_lax_base64_is_refused(what, |part| format!("{part}{text}"), &DOORS);
        assert_lax_base64_is_refused(what, |part| format!("{text}{part}"), &DOORS);
        assert_lax_base64_is_refused(what, |part| format!("{}{text}{}", &part[..8], &part[8..]), &DOORS);
    }
}

#[test]
fn the_last_character_has_no_bits_that_mean_nothing() {
    // The alphabet in order; the next character differs in the lowest bit, which a part of 3n + 1 or 3n + 2 bytes leaves out.
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let alter = |part: &str| {
        let last = part.len() - 1;
        let at = ALPHABET.iter().position(|byte| *byte == part.as_bytes()[last]).unwrap();
        format!("{}{}", &part[..last], char::from(ALPHABET[at ^ 1]))
    };
    let key = Key::new();
    for door in DOORS {
        for spaces in 0..3 {
            // White space in JSON is lawful, and gives each length in turn.
            let header = header(door).to_string() + &" ".repeat(spaces);
            let claims = claims().to_string() + &" ".repeat(spaces);
            assert_eq!(key.shown(door, &key.sign(&header, &claims)), Ok(()));
            let (header, claims) = (encode(header), encode(claims));
            for (is_lax, token) in [
                (header.len() % 4 != 0, key.sign_encoded(&alter(&header), &claims)),
                (claims.len() % 4 != 0, key.sign_encoded(&header, &alter(&claims))),
            ] {
                assert!(!is_lax || key.shown(door, &token).is_err(), "{door:?} takes {token}");
            }
        }
        let good = key.good(door);
        // 64 bytes are 85 characters and a third.
        assert!(key.shown(door, &alter(&good)).is_err(), "{door:?}: the signature");
    }
}

#[test]
fn the_standard_alphabet_is_refused_where_it_differs() {
    let key = Key::new();
    // Of these characters the last sextets are 62 and 63.
    let payload = claims().to_string().replace("\"j\"", "\"\u{fb}\u{ff}~~~???>>>\"");
    let standard = STANDARD_NO_PAD.encode(&payload);
    assert!(standard.contains(['+', '/']), "{standard}");
    key.assert_refused_everywhere("the standard alphabet", |door| {
        assert_eq!(key.shown(door, &key.sign(header(door).to_string(), &payload)), Ok(()));
        key.sign_encoded(&encode(header(door).to_string()), &standard)
    });
}

#[test]
fn padding_is_for_client_assertions_alone_and_whole() {
    let key = Key::new();
    for door in DOORS {
        let header = header(door).to_string();
        let spaces = (0..3).find(|n| (header.len() + n) % 3 == 1).unwrap();
        let header = URL_SAFE.encode(header + &" ".repeat(spaces));
        let claims = URL_SAFE.encode(claims().to_string() + " ");
        assert!(header.ends_with("=="));
        let signed = format!("{header}.{claims}");
        let token = format!("{signed}.{}", URL_SAFE.encode(key.signature(&signed)));
        assert_eq!(key.shown(door, &token).is_ok(), door == Kind::ClientAssertion, "{door:?}");
        // One of two, and one too many.
        for header in [header.replace("==", "="), header.replace("==", "===")] {
            assert!(key.shown(door, &key.sign_encoded(&header, &claims)).is_err(), "{door:?} {header}");
        }
    }
}

#[test]
fn the_json_serializations_are_refused() {
    let key = Key::new();
    for is_general in [false, true] {
        key.assert_refused_everywhere("JSON serialization", |door| {
            let good = key.good(door);
            let parts: Vec<&str> = good.split('.').collect();
            let one = json!({ "protected": parts[0], "signature": parts[2] });
            match is_general {
                true => json!({ "payload": parts[1], "signatures": [one] }),
                false => json!({ "payload": parts[1], "protected": parts[0], "signature": parts[2] }),
            }
            .to_string()
        });
    }
}

#[test]
fn a_token_has_at_most_16_kib() {
    let key = Key::new();
    for door in DOORS {
        let empty = key.good(door).len();
        let padded = |bytes: usize| {
            let claims = claims().to_string();
            key.sign(header(door).to_string(), claims + &" ".repeat(bytes))
        };
        let (mut most, mut taken) = ((MAX_TOKEN_BYTES - empty) / 4 * 3 + 3, 0);
        while padded(most).len() > MAX_TOKEN_BYTES {
            (most, taken) = (most - 1, taken + 1);
        }
        assert!(taken < 9);
        assert_eq!(key.shown(door, &padded(most)), Ok(()), "{door:?}");
        assert!(key.shown(door, &padded(most + 3)).is_err(), "{door:?}");
    }
}
