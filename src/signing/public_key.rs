//! Public keys from their JWK members, and the one place that says which algorithms a key is for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};

use super::jwks::KeyMembers;

/// Algorithms of tokens and assertions. Nothing else is ever verified: no `none`, no HMAC (RFC 8725, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationAlgorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl VerificationAlgorithm {
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// As `alg` names it (RFC 7518, section 3.1; RFC 8037).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }

    const fn library(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Ps256 => Algorithm::PS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    Ed25519,
}

/// A key that checks signatures.
pub struct PublicKey {
    family: Family,
    /// What the key says of itself (`alg`), if it does.
    only: Option<VerificationAlgorithm>,
    key: DecodingKey,
}

/// A JWK as other issuers and principals give it: `use` and `alg` may be missing.
#[derive(Deserialize, Serialize)]
pub struct ForeignJwk {
    kty: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(flatten)]
    members: KeyMembers,
}

impl From<KeyMembers> for ForeignJwk {
    fn from(members: KeyMembers) -> Self {
        Self { kty: members.kty().to_owned(), usage: None, alg: None, members }
    }
}

impl PublicKey {
    /// # Errors
    /// What is wrong with the key, or that its kind is not offered.
    pub fn new(kty: &str, members: &KeyMembers) -> Result<Self, &'static str> {
        const NOT_OFFERED: &str =
            "kty and crv do not belong together, or are not offered (RSA, P-256, Ed25519)";
        if kty != members.kty() {
            return Err(NOT_OFFERED);
        }
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member is not strict base64url");
        let (family, key) = match members {
            KeyMembers::Ec { crv, x, y } if crv == "P-256" => {
                if bytes(x)?.len() != 32 || bytes(y)?.len() != 32 {
                    return Err("a P-256 coordinate has 32 bytes");
                }
                let key = DecodingKey::from_ec_components(x, y).map_err(|_| "not a P-256 key")?;
                (Family::P256, key)
            }
            KeyMembers::Okp { crv, x } if crv == "Ed25519" => {
                if bytes(x)?.len() != 32 {
                    return Err("an Ed25519 key has 32 bytes");
                }
                let key = DecodingKey::from_ed_components(x).map_err(|_| "not an Ed25519 key")?;
                (Family::Ed25519, key)
            }
            KeyMembers::Rsa { n, e } => {
                let (n, e) = (bytes(n)?, bytes(e)?);
                let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
                if bits < 2048 || n.first() == Some(&0) {
                    return Err("an RSA modulus has at least 2048 bits and no leading zero");
                }
                (Family::Rsa, DecodingKey::from_rsa_raw_components(&n, &e))
            }
            _ => return Err(NOT_OFFERED),
        };
        Ok(Self { family, only: None, key })
    }

    /// # Errors
    /// What is wrong with the key, or that its kind is not offered.
    pub fn from_foreign(jwk: &ForeignJwk) -> Result<Self, &'static str> {
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err("`use` is not `sig`");
        }
        let key = Self::new(&jwk.kty, &jwk.members)?;
        match &jwk.alg {
            None => Ok(key),
            Some(alg) => key.only(VerificationAlgorithm::parse(alg).ok_or("`alg` is not offered")?),
        }
    }

    /// Binds the key to one algorithm.
    ///
    /// # Errors
    /// The algorithm is of another family.
    pub fn only(self, algorithm: VerificationAlgorithm) -> Result<Self, &'static str> {
        if !self.takes(algorithm) {
            return Err("`kty` and `alg` do not belong together");
        }
        Ok(Self { only: Some(algorithm), ..self })
    }

    /// The key decides (RFC 8725, section 3.1): one algorithm for each curve, and for RSA both paddings unless it is
    /// bound to one.
    pub fn takes(&self, algorithm: VerificationAlgorithm) -> bool {
        use VerificationAlgorithm::{EdDsa, Es256, Ps256, Rs256};
        let of_family = matches!(
            (self.family, algorithm),
            (Family::Rsa, Rs256 | Ps256) | (Family::P256, Es256) | (Family::Ed25519, EdDsa)
        );
        of_family && self.only.is_none_or(|only| only == algorithm)
    }

    /// The one algorithm, or for RSA of no single one the first.
    pub fn algorithm(&self) -> &'static str {
        let of_key = VerificationAlgorithm::ALL.into_iter().find(|algorithm| self.takes(*algorithm));
        of_key.map_or("none", VerificationAlgorithm::as_str)
    }

    /// Whether this key made the signature.
    pub fn verifies(&self, algorithm: VerificationAlgorithm, signed: &[u8], signature: &[u8]) -> bool {
        let signature = URL_SAFE_NO_PAD.encode(signature);
        let library = algorithm.library();
        self.takes(algorithm)
            && jsonwebtoken::crypto::verify(&signature, signed, &self.key, library).unwrap_or(false)
    }
}
