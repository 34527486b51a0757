//! Assertions of callers (RFC 7523) and tokens of other issuers: the claims that every one of them has, typed.
//!
//! Times may have a fraction, as some of Microsoft's unmodified clients send them.

use serde_json::{Map, Value};

use super::compact::{Compact, Kind, seconds};
use super::public_key::{PublicKey, VerificationAlgorithm};

pub use super::compact::{KeyName, MAX_TOKEN_BYTES as MAX_ASSERTION_BYTES, Malformed};

/// An assertion that was read and not yet believed.
pub struct Assertion<'a> {
    pub algorithm: VerificationAlgorithm,
    pub key: KeyName,
    pub claims: Claims,
    token: Compact<'a>,
}

/// Members that are looked at; times in seconds since 1970.
#[derive(Debug, PartialEq)]
pub struct Claims {
    pub issuer: String,
    pub subject: String,
    pub audience: Vec<String>,
    pub expires_at: f64,
    pub issued_at: Option<f64>,
    pub not_before: Option<f64>,
    /// All members.
    pub all: Map<String, Value>,
}

impl Claims {
    /// `jti`, if there is one.
    pub fn id(&self) -> Option<&str> {
        self.all.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty())
    }
}

impl<'a> Assertion<'a> {
    pub fn parse(kind: Kind, text: &'a str) -> Result<Self, Malformed> {
        let mut token = Compact::parse(kind, text)?;
        let claims = claims(std::mem::take(&mut token.payload))?;
        let key = std::mem::take(&mut token.key);
        Ok(Self { algorithm: token.algorithm, key, claims, token })
    }

    /// Whether this key made the signature, and may be used with the algorithm.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.token.is_signed_by(key)
    }
}

fn claims(all: Map<String, Value>) -> Result<Claims, Malformed> {
    let text = |name: &str| all.get(name).and_then(Value::as_str).map(str::to_owned);
    let time = |name: &str, what| seconds(&all, name, what);
    let audience = match all.get("aud") {
        Some(Value::String(one)) => Some(vec![one.clone()]),
        Some(Value::Array(several)) => {
            several.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    Ok(Claims {
        issuer: text("iss").ok_or(Malformed("iss is missing or no text"))?,
        subject: text("sub").ok_or(Malformed("sub is missing or no text"))?,
        audience: audience.ok_or(Malformed("aud is missing, or neither a text nor a list of texts"))?,
        expires_at: time("exp", "exp is no number of seconds")?.ok_or(Malformed("exp is missing"))?,
        issued_at: time("iat", "iat is no number of seconds")?,
        not_before: time("nbf", "nbf is no number of seconds")?,
        all,
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;

    const CLAIMS: &str = r#"{"iss":"a","sub":"a","aud":"b","exp":1767323045.5,"jti":"1"}"#;

    fn assertion(header: &str, payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(payload), part("signature"))
    }

    fn error(header: &str, payload: &str) -> Option<&'static str> {
        Assertion::parse(Kind::ClientAssertion, &assertion(header, payload))
            .err()
            .map(|malformed| malformed.0)
    }

    #[test]
    fn what_these_clients_send_is_read() {
        for header in [
            json!({"alg": "RS256", "typ": "JWT", "x5t": "AAECAw=="}),
            json!({"alg": "PS256", "typ": "JWT", "x5t#S256": "AAECAw", "x5c": ["MII\nC"]}),
            json!({"alg": "ES256", "kid": "1"}),
        ] {
            assert_eq!(error(&header.to_string(), CLAIMS), None, "{header}");
        }
        let text = assertion(r#"{"alg":"RS256","x5t":"AAECAw=="}"#, CLAIMS);
        let read = Assertion::parse(Kind::ClientAssertion, &text)
            .ok()
            .map(|read| (read.key.x5t, read.claims.expires_at));
        assert_eq!(read, Some((Some(vec![0, 1, 2, 3]), 1_767_323_045.5)));
    }

    #[test]
    fn padding_is_whole_or_absent() {
        let padded = |text: &str| URL_SAFE.encode(text);
        let header = padded(r#"{"alg":"RS256","kid":"1"}"#);
        assert!(header.ends_with("=="));
        let text = format!("{header}.{}.{}", padded(CLAIMS), padded("signature"));
        assert!(Assertion::parse(Kind::ClientAssertion, &text).is_ok());
        for wrong in [text.replacen("==", "=", 1), text.replacen('.', "=.", 1), text.replacen('.', "\n.", 1)]
        {
            assert!(Assertion::parse(Kind::ClientAssertion, &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_headers_are_refused() {
        for header in [
            json!({"alg": "none", "kid": "1"}),
            json!({"alg": "HS256", "kid": "1"}),
            json!({"alg": "rs256", "kid": "1"}),
            json!({"alg": "RS256"}),
            json!({"alg": "RS256", "kid": 1}),
            json!({"alg": "RS256", "kid": "1", "crit": ["exp"]}),
            json!({"alg": "RS256", "kid": "1", "b64": false}),
            json!({"alg": "RS256", "kid": "1", "zip": "DEF"}),
            json!({"alg": "RS256", "kid": "1", "jku": "https://evil.example"}),
            json!({"alg": "RS256", "kid": "1", "jwk": {}}),
            json!({"alg": "RS256", "kid": "1", "typ": "at+jwt"}),
            json!(["RS256"]),
        ] {
            assert!(error(&header.to_string(), CLAIMS).is_some(), "{header}");
        }
        assert!(error(r#"{"alg":"RS256","alg":"RS256","kid":"1"}"#, CLAIMS).is_some(), "a member twice");
        assert!(error(r#"{"alg":"RS256","kid":"1"} {}"#, CLAIMS).is_some(), "something behind it");
    }

    #[test]
    fn other_claims_are_refused() {
        let header = r#"{"alg":"RS256","kid":"1"}"#;
        for (name, values) in [
            ("iss", json!([null, 1, ["a"]])),
            ("sub", json!([null, {}])),
            ("aud", json!([null, 1, [1], {}])),
            ("exp", json!([null, "1767323045", -1, 1e12, true])),
            ("iat", json!(["1", []])),
            ("nbf", json!(["1", null])),
        ] {
            for value in values.as_array().into_iter().flatten() {
                let mut claims: Map<String, Value> = serde_json::from_str(CLAIMS).unwrap_or_default();
                claims.insert(name.to_owned(), value.clone());
                assert!(error(header, &Value::Object(claims).to_string()).is_some(), "{name} {value}");
            }
        }
        let twice = CLAIMS.replacen('{', r#"{"x":{"y":1,"y":2},"#, 1);
        assert!(error(header, &twice).is_some(), "a member twice, deep inside");
    }
}
