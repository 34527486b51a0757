//! What is tried on any bytes, a function for each parser that callers reach. `fuzz_targets/` hands them to cargo-fuzz,
//! `tests/fuzz.rs` runs them over the kept corpus on every build. Each panics when a property does not hold.

// Each of cargo-fuzz's programs runs one of them. A property that does not hold has no caller to hand an error to.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use chrono::DateTime;
use workspace_sts::domain::ids::RoleDefinitionId;
use workspace_sts::domain::resource::{Scope, WebserviceId, WorkspaceId};
use workspace_sts::domain::role::{ActionPattern, READER, RoleDefinition};
use workspace_sts::domain::signing_key::SigningAlgorithm;
use workspace_sts::http::oauth::form::TokenForm;
use workspace_sts::signing::assertion::Assertion;
use workspace_sts::signing::compact::{Kind, MAX_TOKEN_BYTES};
use workspace_sts::signing::foreign_keys;
use workspace_sts::signing::key_pair::KeyPair;
use workspace_sts::signing::provider;
use workspace_sts::signing::public_key::{PublicKey, VerificationAlgorithm};
use workspace_sts::signing::verifier::{Expected, KeySet};

/// Panics when a property does not hold for these bytes.
type Target = fn(&[u8]);

/// Names of the targets, as their functions and the folders of the corpus are called.
pub const ALL: [(&str, Target); 6] = [
    ("assertion", assertion),
    ("own_token", own_token),
    ("token_form", token_form),
    ("jwks", jwks),
    ("resource", resource),
    ("role", role),
];

/// Within the life of the corpus' tokens.
const NOW: i64 = 1_767_323_045;

/// An Ed25519 key that everyone knows (PKCS#8, RFC 8410): its signatures are the same each time.
fn known_key() -> KeyPair {
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    KeyPair::from_pkcs8(SigningAlgorithm::EdDsa, &[&head[..], &[7; 32]].concat()).unwrap()
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// What is read as an assertion is in the one form, and says the same when it is written again.
pub fn assertion(data: &[u8]) {
    let Some(text) = text(data) else { return };
    provider::install();
    for kind in [Kind::ClientAssertion, Kind::SubjectToken, Kind::ForeignAccessToken, Kind::AnyJwt] {
        let Ok(read) = Assertion::parse(kind, text) else { continue };
        assert!(text.len() <= MAX_TOKEN_BYTES);
        let parts: Vec<&str> = text.split('.').collect();
        assert_eq!(parts.len(), 3, "{text}");
        for part in &parts {
            let engine =
                if kind == Kind::ClientAssertion && part.ends_with('=') { URL_SAFE } else { URL_SAFE_NO_PAD };
            let bytes = engine.decode(part).unwrap();
            assert_eq!(engine.encode(bytes), **part);
        }
        for time in [Some(read.claims.expires_at), read.claims.issued_at, read.claims.not_before] {
            assert!(time.is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0));
        }
        assert!(!read.is_signed_by(&PublicKey::decoy(read.algorithm)));
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&read.claims.all).unwrap());
        let again = format!("{}.{payload}.{}", parts[0], parts[2]);
        let again = Assertion::parse(kind, &again).unwrap();
        assert_eq!((again.algorithm, &again.key), (read.algorithm, &read.key));
        assert_eq!(again.claims.issuer, read.claims.issuer);
        assert_eq!(again.claims.subject, read.claims.subject);
        assert_eq!(again.claims.audience, read.claims.audience);
    }
}

/// What verifies is to the letter what the key signs: no other text is a name of the same token.
pub fn own_token(data: &[u8]) {
    let Some(text) = text(data) else { return };
    provider::install();
    let key = known_key();
    let mut jwk = key.public_jwk();
    jwk.kid = "known".to_owned();
    let keys = KeySet::from_jwks(&[jwk]).unwrap();
    let now = DateTime::from_timestamp(NOW, 0).unwrap();
    let expected = Expected { issuer: Some("https://sts.example"), audience: None, now, leeway_seconds: 0 };
    let Ok(claims) = keys.verify(text, &expected) else { return };
    let (signed, _) = text.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    assert_eq!(text, format!("{signed}.{signature}"));
    assert_eq!(claims.iss, "https://sts.example");
    assert!(claims.exp > NOW && claims.nbf <= NOW && claims.iat <= NOW);
    for part in signed.split('.') {
        assert_eq!(URL_SAFE_NO_PAD.encode(URL_SAFE_NO_PAD.decode(part).unwrap()), part);
    }
    // It is of no other kind.
    assert!(Assertion::parse(Kind::ClientAssertion, text).is_err());
    assert!(Assertion::parse(Kind::SubjectToken, text).is_err());
}

const PARAMETERS: [&str; 15] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "resource",
    "token_lifetime_seconds",
    "token",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "audience",
    "actor_token",
    "actor_token_type",
];

/// A parameter twice, however it is written, is never taken.
pub fn token_form(data: &[u8]) {
    let Ok(_form) = TokenForm::parse(data) else { return };
    let names: Vec<Vec<u8>> = data
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| decoded(pair.split(|byte| *byte == b'=').next().unwrap_or_default()))
        .collect();
    for parameter in PARAMETERS {
        let count = names.iter().filter(|name| *name == parameter.as_bytes()).count();
        assert!(count <= 1, "{parameter} is taken {count} times");
    }
}

/// The encoding of forms (WHATWG URL, section 5.1), as slowly as it is written.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while let Some(byte) = name.get(at) {
        let escaped = name.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = escaped.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let (byte, width) = match (byte, escaped) {
            (b'%', Some(two)) => (u8::from_str_radix(two, 16).unwrap(), 3),
            (b'+', _) => (b' ', 1),
            (other, _) => (*other, 1),
        };
        bytes.push(byte);
        at += width;
    }
    bytes
}

/// A set that could be ours is one that others can use, whole; and no key of a set takes a signature of zeros.
pub fn jwks(data: &[u8]) {
    let Some(text) = text(data) else { return };
    provider::install();
    let foreign = foreign_keys::parse(text);
    if KeySet::parse(text).is_ok() {
        let set: serde_json::Value = serde_json::from_str(text).unwrap();
        let count = set["keys"].as_array().unwrap().len();
        assert_eq!(foreign.as_ref().map(|keys| keys.len()), Ok(count));
    }
    let Ok(keys) = foreign else { return };
    assert!((1..=100).contains(&keys.len()));
    for key in keys.values() {
        let of_key = VerificationAlgorithm::ALL.into_iter().filter(|algorithm| key.takes(*algorithm));
        let mut count = 0;
        for algorithm in of_key {
            count += 1;
            for bytes in [0, 64, 256, 512] {
                assert!(!key.verifies(algorithm, b"anything", &vec![0; bytes]));
            }
        }
        assert!((1..=2).contains(&count));
    }
}

/// Ids are read, written and read again as the same, in one spelling of each segment; a scope holds whole segments.
pub fn resource(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    if let Ok(id) = WorkspaceId::parse(first) {
        assert_eq!(WorkspaceId::parse(&id.text()).as_ref(), Ok(&id));
        assert_eq!(id.key(), id.text().to_ascii_lowercase());
        assert_eq!(WorkspaceId::parse(&id.key()).map(|other| other.key()), Ok(id.key()));
        assert_eq!(Scope::parse(first).map(|scope| scope.key().to_owned()), Ok(id.key()));
    }
    if let Ok(id) = WebserviceId::parse(first) {
        assert_eq!(WebserviceId::parse(&id.text()).as_ref(), Ok(&id));
        assert_eq!(id.audience("https://sts.example"), format!("https://sts.example{}", id.text()));
        assert!(Scope::from(id.workspace()).contains_key(&id.key()));
        assert_eq!(Scope::parse(first).map(|scope| scope.key().to_owned()), Ok(id.key()));
    }
    let (Ok(outer), Ok(inner)) = (Scope::parse(first), Scope::parse(second)) else { return };
    assert!(outer.to_string().is_ascii());
    assert_eq!(Scope::parse(&outer.to_string()), Ok(outer.clone()));
    let segments = |scope: &Scope| -> Vec<String> {
        scope
            .to_string()
            .to_lowercase()
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(outer.contains_key(inner.key()), segments(&inner).starts_with(&segments(&outer)));
}

/// The matcher agrees with one that is written as plainly as can be. Three lines: what is granted, what is not, the action.
pub fn role(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut patterns = || -> Option<Vec<ActionPattern>> {
        lines
            .next()?
            .split(' ')
            .filter(|one| !one.is_empty())
            .map(|one| ActionPattern::parse(one).ok())
            .collect()
    };
    let (Some(actions), Some(not_actions)) = (patterns(), patterns()) else { return };
    let action = lines.next().unwrap_or_default();
    for pattern in actions.iter().chain(&not_actions) {
        assert_eq!(pattern.matches(action), matches(pattern.as_str(), action), "{pattern:?} {action:?}");
    }
    let holds = |patterns: &[ActionPattern]| patterns.iter().any(|one| matches(one.as_str(), action));
    let granted = holds(&actions) && !holds(&not_actions);
    let id: RoleDefinitionId = READER;
    let (name, description) = (String::new(), String::new());
    let role = RoleDefinition { id, name, description, actions, not_actions, built_in: false };
    assert_eq!(role.grants(action), granted);
}

/// Row by row: whether the pattern so far matches the text so far.
fn matches(pattern: &str, text: &str) -> bool {
    let text = text.as_bytes();
    let mut row: Vec<bool> = (0..=text.len()).map(|length| length == 0).collect();
    for byte in pattern.bytes() {
        let mut next = vec![byte == b'*' && row[0]];
        for at in 0..text.len() {
            next.push(match byte {
                b'*' => row[at + 1] || next[at],
                _ => row[at] && text[at].eq_ignore_ascii_case(&byte),
            });
        }
        row = next;
    }
    row[text.len()]
}
