//! Assertions of callers (RFC 7523, and tokens of other issuers): parsed here, strictly, before anything is believed.
//!
//! What Microsoft's unmodified clients send is taken, by name, and nothing else: six header members, times with a
//! fraction, and parts whose base64url is padded (`azure.identity.aio` pads all three, and signs the padded text).

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::public_key::{PublicKey, VerificationAlgorithm};
use crate::strict_json;

/// Longest assertion that is looked at, in bytes: with a chain in `x5c` it has some 10 KiB.
pub const MAX_ASSERTION_BYTES: usize = 16 * 1024;

/// Why an assertion can't be read. Constant texts: nothing of what was sent comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// An assertion that was read and not yet believed.
pub struct Assertion<'a> {
    pub algorithm: VerificationAlgorithm,
    pub key: KeyName,
    pub claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

/// What the header calls the key by; at least one is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyName {
    pub kid: Option<String>,
    /// SHA-1 thumbprint of the certificate.
    pub x5t: Option<Vec<u8>>,
    /// SHA-256 thumbprint of the certificate.
    pub x5t_s256: Option<Vec<u8>>,
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
    pub has_id: bool,
    /// All members.
    pub all: Map<String, Value>,
}

/// The members that these clients send, and no other: not `crit`, `b64`, `zip` or `enc`, and no key or address of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
    /// Sent by clients that renew certificates under one name; never used.
    #[serde(rename = "x5c")]
    _x5c: Option<Vec<String>>,
}

impl<'a> Assertion<'a> {
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_ASSERTION_BYTES {
            return Err(Malformed("longer than 16384 bytes"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed("not three parts with dots between them"));
        };
        let header = object(header, "the header is not one JSON object in base64url")?;
        let header: Header = serde_json::from_value(Value::Object(header)).map_err(|_| {
            Malformed("the header has other members than alg, typ, kid, x5t, x5t#S256 and x5c")
        })?;
        let algorithm = VerificationAlgorithm::parse(&header.alg)
            .ok_or(Malformed("alg is none of RS256, PS256, ES256 and EdDSA"))?;
        // RFC 8725, section 3.11: an access token or an id token of some other kind is no assertion.
        let lawful_type = |typ: &String| {
            typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("client-authentication+jwt")
        };
        if !header.typ.as_ref().is_none_or(lawful_type) {
            return Err(Malformed("typ is neither JWT nor client-authentication+jwt"));
        }
        let thumbprint = |text: Option<String>| {
            text.map(|text| decode(&text, "a thumbprint is not base64url")).transpose()
        };
        let key =
            KeyName { kid: header.kid, x5t: thumbprint(header.x5t)?, x5t_s256: thumbprint(header.x5t_s256)? };
        if key == KeyName::default() {
            return Err(Malformed("the header names no key by kid, x5t or x5t#S256"));
        }
        let claims = claims(object(payload, "the payload is not one JSON object in base64url")?)?;
        let signed = text.get(..text.len() - signature.len() - 1).unwrap_or_default();
        let signature = decode(signature, "the signature is not base64url")?;
        Ok(Self { algorithm, key, claims, signed, signature })
    }

    /// Whether this key made the signature, and may be used with the algorithm.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature)
    }
}

fn claims(all: Map<String, Value>) -> Result<Claims, Malformed> {
    let text = |name: &str| all.get(name).and_then(Value::as_str).map(str::to_owned);
    let time = |name: &str, what: &'static str| match all.get(name) {
        None => Ok(None),
        // Up to the year 5138; a larger number is milliseconds or nonsense.
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..1e11).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(Malformed(what)),
        },
    };
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
        has_id: text("jti").is_some_and(|id| !id.is_empty()),
        all,
    })
}

fn object(part: &str, what: &'static str) -> Result<Map<String, Value>, Malformed> {
    strict_json::object(&decode(part, what)?).ok_or(Malformed(what))
}

/// Base64url with all of its padding or with none, and zero bits at the end (RFC 7515, section 2).
fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, Malformed> {
    let engine = if text.ends_with('=') { URL_SAFE } else { URL_SAFE_NO_PAD };
    engine.decode(text).map_err(|_| Malformed(what))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLAIMS: &str = r#"{"iss":"a","sub":"a","aud":"b","exp":1767323045.5,"jti":"1"}"#;

    fn assertion(header: &str, payload: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(payload), part("signature"))
    }

    fn error(header: &str, payload: &str) -> Option<&'static str> {
        Assertion::parse(&assertion(header, payload)).err().map(|malformed| malformed.0)
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
        let read = Assertion::parse(&text).ok().map(|read| (read.key.x5t, read.claims.expires_at));
        assert_eq!(read, Some((Some(vec![0, 1, 2, 3]), 1_767_323_045.5)));
    }

    #[test]
    fn padding_is_whole_or_absent() {
        let padded = |text: &str| URL_SAFE.encode(text);
        let header = padded(r#"{"alg":"RS256","kid":"1"}"#);
        assert!(header.ends_with("=="));
        let text = format!("{header}.{}.{}", padded(CLAIMS), padded("signature"));
        assert!(Assertion::parse(&text).is_ok_and(|read| text.starts_with(read.signed)));
        for wrong in [text.replacen("==", "=", 1), text.replacen('.', "=.", 1), text.replacen('.', "\n.", 1)]
        {
            assert!(Assertion::parse(&wrong).is_err(), "{wrong}");
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
