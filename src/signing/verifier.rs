//! The strict verifier of tokens, in front of the library.
//!
//! It takes what this service mints and nothing wider: read by `compact` as a token of ours, the algorithm decided by the
//! key alone (RFC 8725, section 3.1), every claim there and of its type.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::compact::{Compact, Kind, Malformed, seconds};
use super::jwks::{JwkSet, PublicJwk, check_members};
use super::public_key::{PublicKey, VerificationAlgorithm};
use crate::domain::claims::ReadClaims;
use crate::strict_json;

/// Most keys in a JWK Set.
pub const MAX_KEYS: usize = 100;

/// Why a token is refused. For operators and `wsts verify`; remote callers learn only that it is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("the token can't be read: {0}")]
    Malformed(#[from] Malformed),
    #[error("no key of the JWKS has kid `{0}`")]
    UnknownKid(String),
    #[error("the token says alg `{token}`, but its key is for `{key}`")]
    Algorithm { token: &'static str, key: &'static str },
    #[error("the signature is wrong")]
    Signature,
    #[error("the claims can't be read: {0}")]
    Claims(String),
    #[error("iss is `{found}`, not `{expected}`")]
    Issuer { found: String, expected: String },
    #[error("aud is `{found}`, not `{expected}`")]
    Audience { found: String, expected: String },
    #[error("the token expired at {0}")]
    Expired(DateTime<Utc>),
    #[error("the token is not valid before {0}")]
    NotYet(DateTime<Utc>),
}

/// Why a JWK Set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("this is not a JWK Set: {0}")]
    Malformed(String),
    #[error("the JWK Set holds {0} keys; 1 to {MAX_KEYS} are taken")]
    Count(usize),
    #[error("two keys have kid `{0}`")]
    DoubledKid(String),
    #[error("kid `{0}` and kid `{1}` are the same key")]
    OneKey(String, String),
    #[error("none of its keys can be used here")]
    NoneUsable,
    #[error("key `{0}`: {1}")]
    Key(String, &'static str),
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Not checked when absent (`wsts verify` without `--issuer`).
    pub issuer: Option<&'a str>,
    pub audience: Option<&'a str>,
    pub now: DateTime<Utc>,
    /// Clock error granted, in seconds.
    pub leeway_seconds: i64,
}

/// Public keys by kid.
#[derive(Default)]
pub struct KeySet(HashMap<String, PublicKey>);

impl KeySet {
    /// Parses a JWK Set; one unlawful key refuses it whole.
    pub fn parse(json: &str) -> Result<Self, JwksError> {
        let members = strict_json::object(json.as_bytes())
            .ok_or_else(|| JwksError::Malformed("not one JSON object without a doubled member".to_owned()))?;
        for jwk in members.get("keys").and_then(Value::as_array).into_iter().flatten() {
            let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
            jwk.as_object()
                .map_or(Err("no object"), check_members)
                .map_err(|what| JwksError::Key(kid.to_owned(), what))?;
        }
        let set: JwkSet = serde_json::from_value(Value::Object(members))
            .map_err(|error| JwksError::Malformed(error.to_string()))?;
        Self::from_jwks(&set.keys)
    }

    pub fn from_jwks(jwks: &[PublicJwk]) -> Result<Self, JwksError> {
        if !(1..=MAX_KEYS).contains(&jwks.len()) {
            return Err(JwksError::Count(jwks.len()));
        }
        let mut keys = HashMap::with_capacity(jwks.len());
        for (at, jwk) in jwks.iter().enumerate() {
            let same = jwks.iter().take(at).find(|other| other.members.is_same_key(&jwk.members));
            if let Some(other) = same.filter(|other| other.kid != jwk.kid) {
                return Err(JwksError::OneKey(other.kid.clone(), jwk.kid.clone()));
            }
            let key = public_key(jwk).map_err(|what| JwksError::Key(jwk.kid.clone(), what))?;
            if keys.insert(jwk.kid.clone(), key).is_some() {
                return Err(JwksError::DoubledKid(jwk.kid.clone()));
            }
        }
        Ok(Self(keys))
    }

    /// Verifies a token of this service.
    pub fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<ReadClaims, VerifyError> {
        let read = Compact::parse(Kind::OwnAccessToken, token)?;
        let kid = read.key.kid.as_deref().unwrap_or_default();
        prove(&read, kid, self.0.get(kid))?;
        for name in ["exp", "iat", "nbf", "refresh_by"] {
            seconds(&read.payload, name, "a time is no number of seconds")?;
        }
        let claims: ReadClaims = serde_json::from_value(Value::Object(read.payload))
            .map_err(|error| VerifyError::Claims(error.to_string()))?;
        check(&claims, expected)?;
        Ok(claims)
    }
}

fn check(claims: &ReadClaims, expected: &Expected<'_>) -> Result<(), VerifyError> {
    if let Some(issuer) = expected.issuer.filter(|issuer| *issuer != claims.iss) {
        return Err(VerifyError::Issuer { found: claims.iss.clone(), expected: issuer.to_owned() });
    }
    if let Some(audience) = expected.audience.filter(|audience| *audience != claims.aud) {
        return Err(VerifyError::Audience { found: claims.aud.clone(), expected: audience.to_owned() });
    }
    check_times(claims.nbf.max(claims.iat) as f64, claims.exp as f64, expected)
}

/// The key decides about the algorithm, then the signature about the token.
pub(super) fn prove(read: &Compact<'_>, kid: &str, key: Option<&PublicKey>) -> Result<(), VerifyError> {
    let key = key.ok_or_else(|| VerifyError::UnknownKid(kid.to_owned()))?;
    if !key.takes(read.algorithm) {
        return Err(VerifyError::Algorithm { token: read.algorithm.as_str(), key: key.algorithm() });
    }
    if read.is_signed_by(key) { Ok(()) } else { Err(VerifyError::Signature) }
}

/// From and until in seconds since 1970.
pub(super) fn check_times(begins: f64, expires_at: f64, expected: &Expected<'_>) -> Result<(), VerifyError> {
    // Exact to a quarter of a microsecond in this century.
    let now = expected.now.timestamp_micros() as f64 / 1e6;
    let leeway = expected.leeway_seconds as f64;
    let instant = |seconds: f64| DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default();
    if expires_at + leeway <= now {
        return Err(VerifyError::Expired(instant(expires_at)));
    }
    if begins - leeway > now {
        return Err(VerifyError::NotYet(instant(begins)));
    }
    Ok(())
}

/// Of this service's own keys `use` and `alg` are demanded, and the key is for that one algorithm.
fn public_key(jwk: &PublicJwk) -> Result<PublicKey, &'static str> {
    if jwk.usage != "sig" {
        return Err("`use` is not `sig`");
    }
    let algorithm =
        VerificationAlgorithm::parse(&jwk.alg).ok_or("`alg` is not offered (ES256, EdDSA, RS256)")?;
    PublicKey::new(&jwk.kty, &jwk.members)?.only(algorithm)
}
