//! Public keys on the wire: JWK and JWK Set (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A public key with every member that some validator insists on: `kty`, `kid`, `use`, `alg`.
///
/// `region` and `iss` tell which region signs with it (ours; validators ignore them).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicJwk {
    pub kty: String,
    pub kid: String,
    #[serde(rename = "use")]
    pub usage: String,
    pub alg: String,
    #[serde(flatten)]
    pub members: KeyMembers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
}

/// The members that are the key itself, base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyMembers {
    Ec { crv: String, x: String, y: String },
    Rsa { n: String, e: String },
    Okp { crv: String, x: String },
}

/// A JWK Set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    pub keys: Vec<PublicJwk>,
}

impl KeyMembers {
    /// From an uncompressed point: 0x04, 32 bytes of x, 32 bytes of y.
    pub fn p256(point: &[u8]) -> Self {
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        Self::Ec { crv: "P-256".to_owned(), x: encode(x), y: encode(y) }
    }

    pub fn ed25519(public: &[u8]) -> Self {
        Self::Okp { crv: "Ed25519".to_owned(), x: encode(public) }
    }

    /// From big-endian modulus and exponent.
    pub fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self::Rsa { n: encode(n), e: encode(e) }
    }

    /// Whether both are one key: a modulus under two exponents is.
    pub fn is_same_key(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rsa { n, .. }, Self::Rsa { n: other, .. }) => n == other,
            _ => self == other,
        }
    }

    /// RFC 7518, section 6.1; RFC 8037, section 2.
    pub const fn kty(&self) -> &'static str {
        match self {
            Self::Ec { .. } => "EC",
            Self::Rsa { .. } => "RSA",
            Self::Okp { .. } => "OKP",
        }
    }

    /// RFC 7638, section 3: SHA-256 over the required members in lexicographic order.
    pub fn thumbprint(&self) -> [u8; 32] {
        let kty = self.kty();
        let canonical = match self {
            Self::Ec { crv, x, y } => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#),
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"{kty}","n":"{n}"}}"#),
            Self::Okp { crv, x } => format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"}}"#),
        };
        let mut thumbprint = [0; 32];
        // SHA-256 has 32 bytes.
        thumbprint.copy_from_slice(digest(&SHA256, canonical.as_bytes()).as_ref());
        thumbprint
    }
}

impl PublicJwk {
    pub fn p256(point: &[u8]) -> Self {
        Self::new("ES256", KeyMembers::p256(point))
    }

    pub fn ed25519(public: &[u8]) -> Self {
        Self::new("EdDSA", KeyMembers::ed25519(public))
    }

    pub fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self::new("RS256", KeyMembers::rsa(n, e))
    }

    fn new(alg: &str, members: KeyMembers) -> Self {
        Self {
            kid: thumbprint(&members),
            kty: members.kty().to_owned(),
            usage: "sig".to_owned(),
            alg: alg.to_owned(),
            members,
            region: None,
            iss: None,
        }
    }
}

impl PublicJwk {
    /// Whether its kid is the thumbprint of this key and no other.
    pub fn is_named_after_itself(&self) -> bool {
        self.kid == thumbprint(&self.members)
    }
}

/// A published key shows no private half, is for verifying if it says for what, and has members of its own family only (RFC 7518, section 6): with those of
/// two it is one key to one reader and another to the next.
pub fn check_members(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err("it shows private members");
    }
    // RFC 7517, section 4.3: values are unique.
    let verifies =
        |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().filter(|op| *op == "verify").count() == 1);
    if jwk.get("key_ops").is_some_and(|ops| !verifies(ops)) {
        return Err("`key_ops` has not `verify`, once");
    }
    let of_others: &[&str] = match jwk.get("kty").and_then(Value::as_str) {
        Some("EC") => &["n", "e"],
        Some("OKP") => &["n", "e", "y"],
        _ => &["crv", "x", "y"],
    };
    if of_others.iter().any(|name| jwk.contains_key(*name)) {
        return Err("it mixes the members of two kinds of keys");
    }
    Ok(())
}

/// As `kid` has it.
fn thumbprint(members: &KeyMembers) -> String {
    encode(&members.thumbprint())
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_of_rfc_7638_is_reproduced() {
        // RFC 7638, section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let members = KeyMembers::Rsa { n: n.to_owned(), e: "AQAB".to_owned() };
        assert_eq!(thumbprint(&members), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
