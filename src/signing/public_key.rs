//! Public keys from their JWK members, and the one place that says which algorithms a key is for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::jwks::{KeyMembers, check_members};
use super::key_checks::{is_of_roca, is_on_p256};

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

impl ForeignJwk {
    /// # Errors
    /// It shows private members, is for something else, mixes two kinds of keys, or is no public key.
    pub fn parse(jwk: Map<String, Value>) -> Result<Self, &'static str> {
        check_members(&jwk)?;
        serde_json::from_value(Value::Object(jwk)).map_err(|_| "a member is missing or of a wrong type")
    }

    /// Whether both are one key that they say different things of.
    pub fn is_ambiguous_with(&self, other: &Self) -> bool {
        self.members.is_same_key(&other.members) && (self.alg != other.alg || self.members != other.members)
    }

    /// RFC 7638.
    pub fn thumbprint(&self) -> [u8; 32] {
        self.members.thumbprint()
    }
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
                let (x_bytes, y_bytes) = (bytes(x)?, bytes(y)?);
                if x_bytes.len() != 32 || y_bytes.len() != 32 {
                    return Err("a P-256 coordinate has 32 bytes");
                }
                if !is_on_p256(&x_bytes, &y_bytes) {
                    return Err("x and y are no point of P-256");
                }
                let key = DecodingKey::from_ec_components(x, y).map_err(|_| "not a P-256 key")?;
                (Family::P256, key)
            }
            KeyMembers::Okp { crv, x } if crv == "Ed25519" => {
                let Ok(point) = <[u8; 32]>::try_from(bytes(x)?) else {
                    return Err("an Ed25519 key has 32 bytes");
                };
                if is_of_small_order(point) {
                    return Err("an Ed25519 key of small order: anyone can sign for it");
                }
                let key = DecodingKey::from_ed_components(x).map_err(|_| "not an Ed25519 key")?;
                (Family::Ed25519, key)
            }
            KeyMembers::Rsa { n, e } => {
                let (n, e) = (bytes(n)?, bytes(e)?);
                if !(2048..=8192).contains(&bits(&n)) || is_even(&n) || n.first() == Some(&0) {
                    return Err("an RSA modulus is odd, has 2048 to 8192 bits and no leading zero");
                }
                // The library's own bounds, told when the key is registered and not when it is first used.
                if !(2..=33).contains(&bits(&e)) || is_even(&e) || e.first() == Some(&0) {
                    return Err("an RSA exponent is odd, from 3 on, has at most 33 bits and no leading zero");
                }
                if is_of_roca(&n) {
                    return Err("an RSA modulus that can be factored (ROCA, CVE-2017-15361)");
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

    /// A key that nobody's token was signed with, to check a signature against where there is no key to check it against.
    pub fn decoy(algorithm: VerificationAlgorithm) -> Self {
        let (family, key) = match algorithm {
            VerificationAlgorithm::Rs256 | VerificationAlgorithm::Ps256 => {
                // 2048 bits of no known factors; the library looks at its size and oddness only.
                (Family::Rsa, DecodingKey::from_rsa_raw_components(&[0xc5; 256], &[1, 0, 1]))
            }
            VerificationAlgorithm::Es256 => (Family::P256, DecodingKey::from_ec_der(&GENERATOR)),
            VerificationAlgorithm::EdDsa => (Family::Ed25519, DecodingKey::from_ed_der(&RFC_8032_TEST_1)),
        };
        Self { family, only: None, key }
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

/// Public key of test 1 of RFC 8032, section 7.1.
const RFC_8032_TEST_1: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e,
    0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

/// The generator of P-256, uncompressed (FIPS 186-4, appendix D.1.2.3).
const GENERATOR: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f,
    0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce,
    0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

/// Significant bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_even(number: &[u8]) -> bool {
    number.last().is_none_or(|last| last % 2 == 0)
}

/// Whether an encoded point lies in the small subgroup: the order of each divides eight, and a signature for it can be
/// made without any private key. The library takes such keys (RFC 8032 leaves it open).
fn is_of_small_order(mut point: [u8; 32]) -> bool {
    const P_MINUS_1: [u8; 32] = p_plus(0xec);
    const P: [u8; 32] = p_plus(0xed);
    const P_PLUS_1: [u8; 32] = p_plus(0xee);
    const ZERO: [u8; 32] = [0; 32];
    const ONE: [u8; 32] = {
        let mut one = [0; 32];
        one[0] = 1;
        one
    };
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    // The sign of x, which changes no order.
    point[31] &= 0x7f;
    [ZERO, ONE, P_MINUS_1, P, P_PLUS_1].contains(&point) || ORDER_8.contains(&point)
}

/// A number near 2^255 − 19, little-endian, by its lowest byte.
const fn p_plus(lowest: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = lowest;
    bytes[31] = 0x7f;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ed25519(point: &[u8]) -> Option<&'static str> {
        PublicKey::new("OKP", &KeyMembers::ed25519(point)).err()
    }

    fn rsa(n: &[u8], e: &[u8]) -> Option<&'static str> {
        PublicKey::new("RSA", &KeyMembers::rsa(n, e)).err()
    }

    #[test]
    fn an_ed25519_key_that_anyone_signs_for_is_refused() {
        let good = RFC_8032_TEST_1;
        assert_eq!(ed25519(&good), None);
        let mut weak = vec![[0; 32], p_plus(0xec), p_plus(0xed), p_plus(0xee)];
        weak.extend(weak.clone().into_iter().map(|mut point| {
            point[31] |= 0x80;
            point
        }));
        for point in weak {
            assert_eq!(ed25519(&point), Some("an Ed25519 key of small order: anyone can sign for it"));
        }
        assert_eq!(ed25519(&good[1..]), Some("an Ed25519 key has 32 bytes"));
    }

    /// What makes the refusal worth its lines: the library verifies a signature that nobody's private key made.
    #[test]
    fn the_library_alone_takes_a_signature_for_the_neutral_point() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        // R is the neutral point and S is zero.
        let mut forged = [0; 64];
        forged[0] = 1;
        let x = URL_SAFE_NO_PAD.encode(neutral);
        super::super::provider::install();
        let key = DecodingKey::from_ed_components(&x).map(|key| PublicKey {
            family: Family::Ed25519,
            only: None,
            key,
        });
        assert!(key.is_ok_and(|key| key.verifies(VerificationAlgorithm::EdDsa, b"anything", &forged)));
        assert!(ed25519(&neutral).is_some());
    }

    #[test]
    fn rsa_keys_have_bounds() {
        let modulus = |bytes: usize, last: u8| {
            let mut n = vec![0xc5; bytes];
            n.push(last);
            n
        };
        let f4: &[u8] = &[1, 0, 1];
        assert_eq!(rsa(&modulus(255, 1), f4), None);
        assert_eq!(rsa(&modulus(1023, 1), &[3]), None);
        for (n, e) in [
            (modulus(127, 1), f4),
            (modulus(254, 1), f4),
            (modulus(1024, 1), f4),
            (modulus(255, 2), f4),
            ([vec![0], modulus(255, 1)].concat(), f4),
            (modulus(255, 1), &[1]),
            (modulus(255, 1), &[]),
            (modulus(255, 1), &[1, 0, 0]),
            (modulus(255, 1), &[0, 1, 0, 1]),
            (modulus(255, 1), &[2, 0, 0, 0, 1]),
        ] {
            assert!(rsa(&n, e).is_some(), "{} bytes, e {e:?}", n.len());
        }
    }
}
