//! JWK Sets of other issuers, and any issuer's token against them (`wsts verify`).
//!
//! Unlike our own set, one of these may hold keys for others: what can't be used is passed over (RFC 7517, section 5).
//! What is ambiguous is refused whole.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::compact::{Compact, Kind, Malformed, seconds};
use super::public_key::{ForeignJwk, PublicKey};
use super::verifier::{Expected, JwksError, MAX_KEYS, VerifyError, check_times, prove};
use crate::strict_json;

/// Keys by kid.
pub type ForeignKeys = HashMap<String, Arc<PublicKey>>;

/// # Errors
/// It is no JWK Set, none of its keys can be used, or two of them can be taken for one another.
pub fn parse(json: &str) -> Result<ForeignKeys, JwksError> {
    let set = strict_json::object(json.as_bytes()).and_then(|mut members| members.remove("keys"));
    let Some(Value::Array(found)) = set else {
        return Err(JwksError::Malformed(
            "not one JSON object, without doubled members, with a list of keys".to_owned(),
        ));
    };
    if !(1..=MAX_KEYS).contains(&found.len()) {
        return Err(JwksError::Count(found.len()));
    }
    let mut usable: Vec<(String, ForeignJwk)> = Vec::with_capacity(found.len());
    let mut keys = ForeignKeys::new();
    for (kid, jwk, key) in found.into_iter().filter_map(usable_key) {
        // One key by two names is no harm, unless the names disagree about what it is for.
        let other = usable.iter().find(|(_, other)| other.is_ambiguous_with(&jwk));
        if let Some((other, _)) = other {
            return Err(JwksError::OneKey(other.clone(), kid));
        }
        if keys.insert(kid.clone(), Arc::new(key)).is_some() {
            return Err(JwksError::DoubledKid(kid));
        }
        usable.push((kid, jwk));
    }
    if keys.is_empty() { Err(JwksError::NoneUsable) } else { Ok(keys) }
}

fn usable_key(jwk: Value) -> Option<(String, ForeignJwk, PublicKey)> {
    let Value::Object(jwk) = jwk else { return None };
    let kid = jwk.get("kid")?.as_str()?.to_owned();
    let jwk = ForeignJwk::parse(jwk).ok()?;
    let key = PublicKey::from_foreign(&jwk).ok()?;
    Some((kid, jwk, key))
}

/// The claims of any issuer's JWT, if one of the keys signed it. `exp` must be there; `iss`, `aud` and the other times
/// are held to their types and to what is expected where they are there.
pub fn verify(
    keys: &ForeignKeys,
    token: &str,
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, VerifyError> {
    let read = Compact::parse(Kind::AnyJwt, token)?;
    let kid = read.key.kid.as_deref().unwrap_or_default();
    prove(&read, kid, keys.get(kid).map(Arc::as_ref))?;
    let claims = read.payload;
    for name in ["iss", "sub", "jti"] {
        if claims.get(name).is_some_and(|value| !value.is_string()) {
            return Err(Malformed("iss, sub or jti is no text").into());
        }
    }
    let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
    if let Some(expected) = expected.issuer.filter(|expected| *expected != issuer) {
        return Err(VerifyError::Issuer { found: issuer.to_owned(), expected: expected.to_owned() });
    }
    let audience = audience(&claims)?;
    if let Some(expected) = expected.audience.filter(|expected| !audience.contains(expected)) {
        return Err(VerifyError::Audience { found: audience.join(", "), expected: expected.to_owned() });
    }
    let time = |name| seconds(&claims, name, "exp, nbf or iat is no number of seconds");
    let expires_at = time("exp")?.ok_or(Malformed("exp is missing"))?;
    let begins = [time("nbf")?, time("iat")?].into_iter().flatten().fold(0.0, f64::max);
    check_times(begins, expires_at, expected)?;
    Ok(claims)
}

/// One text or a list of texts (RFC 7519, section 4.1.3); none when absent.
pub fn audience(claims: &Map<String, Value>) -> Result<Vec<&str>, Malformed> {
    const WHAT: Malformed = Malformed("aud is neither a text nor a list of texts");
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(several)) => several.iter().map(|one| one.as_str().ok_or(WHAT)).collect(),
        Some(_) => Err(WHAT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    const EDWARDS: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn set(keys: &[String]) -> Result<Vec<String>, JwksError> {
        let mut kids: Vec<_> = parse(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")))?.into_keys().collect();
        kids.sort();
        Ok(kids)
    }

    fn rsa(kid: &str, more: &str) -> String {
        // 2048 bits; nobody knows its factors, and nobody looks for them here.
        let n = "xcXF".repeat(85) + "xQ";
        format!(r#"{{"kty":"RSA","kid":"{kid}","n":"{n}",{more}}}"#)
    }

    #[test]
    fn a_set_that_can_be_read_in_two_ways_is_refused_whole() {
        let key = |kid: &str, more: &str| format!(r#"{{{POINT},"kid":"{kid}"{more}}}"#);
        let one_key = Err(JwksError::OneKey("1".to_owned(), "2".to_owned()));
        assert_eq!(set(&[key("1", ""), key("1", "")]), Err(JwksError::DoubledKid("1".to_owned())));
        assert_eq!(set(&[key("1", ""), key("2", "")]), Ok(vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(set(&[key("1", ""), key("2", r#","alg":"ES256""#)]), one_key);
        let (f4, three) = (r#""e":"AQAB""#, r#""e":"Aw""#);
        assert_eq!(set(&[rsa("1", f4), rsa("2", f4)]), Ok(vec!["1".to_owned(), "2".to_owned()]));
        assert_eq!(set(&[rsa("1", f4), rsa("2", three)]), one_key);
        let bound = |alg: &str| format!(r#"{f4},"alg":"{alg}""#);
        assert_eq!(set(&[rsa("1", &bound("RS256")), rsa("2", &bound("PS256"))]), one_key);
        let doubled = format!(r#"{{"keys":[],"keys":[{}]}}"#, key("1", ""));
        assert!(matches!(parse(&doubled), Err(JwksError::Malformed(_))));
    }

    #[test]
    fn what_is_not_for_signatures_or_not_a_sound_key_is_passed_over() {
        let good = format!(r#"{{{EDWARDS},"kid":"good","key_ops":["verify"],"use":"sig"}}"#);
        let off_curve = POINT.replace("x_FE", "x_FF");
        for bad in [
            format!(r#"{{{POINT},"kid":"1","use":"enc"}}"#),
            format!(r#"{{{POINT},"kid":"1","key_ops":["sign"]}}"#),
            format!(r#"{{{POINT},"kid":"1","key_ops":[]}}"#),
            format!(r#"{{{POINT},"kid":"1","key_ops":["verify","verify"]}}"#),
            format!(r#"{{{POINT},"kid":"1","alg":"RS256"}}"#),
            format!(r#"{{{POINT},"kid":"1","alg":"ES384"}}"#),
            format!(r#"{{{POINT},"kid":"1","alg":"HS256"}}"#),
            format!(r#"{{{POINT},"kid":"1","d":"AQ"}}"#),
            format!(r#"{{{POINT},"kid":"1","k":"AQ"}}"#),
            format!(r#"{{{POINT},"kid":"1","n":"AQ"}}"#),
            format!(r#"{{{POINT},"kid":1}}"#),
            format!(r#"{{{POINT}}}"#),
            format!(r#"{{{off_curve},"kid":"1"}}"#),
            format!(r#"{{{EDWARDS},"kid":"1","y":"AQ"}}"#),
            format!(r#"{{{},"kid":"1"}}"#, EDWARDS.replace("Ed25519", "X25519")),
            rsa("1", r#""e":"AQ""#),
            rsa("1", r#""e":"AQAB","crv":"P-256""#),
            rsa("1", r#""e":"AQAB","alg":"RS512""#),
            r#"{"kty":"oct","kid":"1","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(),
        ] {
            assert_eq!(set(&[bad.clone(), good.clone()]), Ok(vec!["good".to_owned()]), "{bad}");
            assert_eq!(set(std::slice::from_ref(&bad)), Err(JwksError::NoneUsable), "{bad}");
        }
    }
}
