//! Public keys of principals that come without a certificate: in PEM (RFC 7468, section 13) or as a JWK (RFC 7517).

use serde_json::{Map, Value};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificate::members;
use super::public_key::{ForeignJwk, PublicKey};
use crate::strict_json;

/// Longest text that is looked at, in bytes: an RSA key of 8192 bits has some 1,500.
const MAX_BARE_KEY_BYTES: usize = 8 * 1024;

/// Members that only the owner of a key may know (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareKey {
    /// Public JWK (RFC 7517) as JSON text.
    pub public_jwk: String,
    /// RFC 7638; assertions name it as `kid`.
    pub thumbprint: [u8; 32],
}

/// Why a key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BareKeyError {
    #[error("longer than {MAX_BARE_KEY_BYTES} bytes")]
    TooLong,
    #[error("neither one public key in PEM (-----BEGIN PUBLIC KEY-----) nor one JWK")]
    Form,
    #[error(
        "this is a private key, which nobody but its owner may hold: send the public one, and take another pair if this one has been where it should not"
    )]
    Private,
    #[error("{0}")]
    Key(&'static str),
}

impl BareKey {
    pub fn parse(text: &str) -> Result<Self, BareKeyError> {
        if text.len() > MAX_BARE_KEY_BYTES {
            return Err(BareKeyError::TooLong);
        }
        let jwk = if text.contains("-----BEGIN ") { from_pem(text) } else { from_jwk(text) }?;
        // The same door as for every other key: an RSA key of 1024 bits ends here.
        PublicKey::from_foreign(&jwk).map_err(BareKeyError::Key)?;
        let public_jwk = serde_json::to_string(&jwk).map_err(|_| BareKeyError::Form)?;
        Ok(Self { public_jwk, thumbprint: jwk.thumbprint() })
    }
}

fn from_pem(text: &str) -> Result<ForeignJwk, BareKeyError> {
    let blocks: Vec<_> = Pem::iter_from_buffer(text.as_bytes()).collect();
    if text.contains("PRIVATE KEY-----") {
        return Err(BareKeyError::Private);
    }
    let [Ok(block)] = blocks.as_slice() else { return Err(BareKeyError::Form) };
    if block.label != "PUBLIC KEY" {
        return Err(BareKeyError::Form);
    }
    match SubjectPublicKeyInfo::from_der(&block.contents) {
        Ok(([], key)) => members(&key)
            .map(ForeignJwk::from)
            .ok_or(BareKeyError::Key("its kind is not offered: RSA from 2048 bits on, P-256 or Ed25519")),
        _ => Err(BareKeyError::Form),
    }
}

fn from_jwk(text: &str) -> Result<ForeignJwk, BareKeyError> {
    let members: Map<String, Value> = strict_json::object(text.as_bytes()).ok_or(BareKeyError::Form)?;
    if PRIVATE_MEMBERS.into_iter().any(|name| members.contains_key(name)) {
        return Err(BareKeyError::Private);
    }
    serde_json::from_value(Value::Object(members)).map_err(|_| BareKeyError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendices A.2 and A.3.
    const ED25519: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    #[test]
    fn a_jwk_is_read_and_named_by_its_thumbprint() {
        let read = BareKey::parse(ED25519);
        // kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k
        let begin = [0x90, 0xfa, 0xca, 0xfe, 0xa9, 0xb1, 0x55, 0x66];
        assert!(read.is_ok_and(|key| key.thumbprint.starts_with(&begin)));
        // Members that say nothing of the key are passed over, and not kept.
        let named = ED25519.replacen('{', r#"{"kid":"mine","use":"sig","alg":"EdDSA","x5c":["AA"],"#, 1);
        let kept = BareKey::parse(&named).map(|key| key.public_jwk);
        assert!(kept.is_ok_and(|kept| !kept.contains("mine") && !kept.contains("x5c")));
    }

    #[test]
    fn a_private_key_is_refused_as_one() {
        for member in PRIVATE_MEMBERS {
            let text = ED25519.replacen('{', &format!(r#"{{"{member}":"AA","#), 1);
            assert_eq!(BareKey::parse(&text), Err(BareKeyError::Private), "{member}");
        }
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let text = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
            assert_eq!(BareKey::parse(&text), Err(BareKeyError::Private), "{label}");
        }
    }

    #[test]
    fn what_is_no_key_that_is_offered_is_refused() {
        let pem =
            |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        for text in [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            format!("{ED25519}{ED25519}"),
            ED25519.replace("\"kty\"", "\"kty\":\"OKP\",\"kty\""),
            ED25519.replace("Ed25519", "X25519"),
            ED25519.replace("OKP", "EC"),
            ED25519.replacen('{', r#"{"use":"enc","#, 1),
            ED25519.replacen('{', r#"{"alg":"ES256","#, 1),
            ED25519.replacen('{', r#"{"alg":"none","#, 1),
            ED25519.replace("URo", "URo="),
            r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#.to_owned(),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(),
            pem("PUBLIC KEY", "AAAA"),
            pem("CERTIFICATE", "AAAA"),
            pem("PUBLIC KEY", "not base64"),
            " ".repeat(MAX_BARE_KEY_BYTES + 1),
        ] {
            assert!(BareKey::parse(&text).is_err(), "{text:.120}");
        }
    }
}
