//! A private key as ring holds it: parsed once, kept, and wiped when dropped by ring itself.

use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::jwks::PublicJwk;
use crate::domain::signing_key::SigningAlgorithm;

/// Least size of an RSA modulus in bits (NIST SP 800-131A).
const RSA_MIN_BITS: usize = 2048;

/// Why a key can't be used. Holds no key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the private key is not a PKCS#8 {0} key: {1}")]
    Rejected(&'static str, String),
    #[error("the RSA key is shorter than {RSA_MIN_BITS} bits")]
    RsaTooShort,
    #[error("{0} keys can't be generated here: import one with `wsts keys import`")]
    NotGenerated(&'static str),
    #[error("the key did not verify its own signature")]
    SelfCheck,
}

/// A parsed private key of one algorithm.
pub enum KeyPair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

// ring draws the nonce of ECDSA and the blinding of RSA from its own handle on the system's generator.
#[allow(clippy::disallowed_types)]
fn system_random() -> ring::rand::SystemRandom {
    ring::rand::SystemRandom::new()
}

impl KeyPair {
    /// Parses PKCS#8 DER and checks that the key verifies what it signs.
    pub fn from_pkcs8(algorithm: SigningAlgorithm, der: &[u8]) -> Result<Self, KeyError> {
        let rejected =
            |error: ring::error::KeyRejected| KeyError::Rejected(algorithm.as_str(), error.to_string());
        let pair = match algorithm {
            SigningAlgorithm::Es256 => Self::Es256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &system_random())
                    .map_err(rejected)?,
            ),
            SigningAlgorithm::EdDsa => {
                Self::EdDsa(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(rejected)?)
            }
            SigningAlgorithm::Rs256 => {
                // ring has the same least size, and this word for it.
                let too_short = |error: &ring::error::KeyRejected| error.to_string() == "TooSmall";
                let pair = RsaKeyPair::from_pkcs8(der).map_err(|error| match too_short(&error) {
                    true => KeyError::RsaTooShort,
                    false => rejected(error),
                })?;
                if pair.public().modulus_len() * 8 < RSA_MIN_BITS {
                    return Err(KeyError::RsaTooShort);
                }
                Self::Rs256(Box::new(pair))
            }
        };
        pair.self_check()?;
        Ok(pair)
    }

    /// Makes a new key as PKCS#8 DER.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let made = match algorithm {
            SigningAlgorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &system_random())
            }
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&system_random()),
            SigningAlgorithm::Rs256 => return Err(KeyError::NotGenerated(algorithm.as_str())),
        };
        let document = made.map_err(|error| KeyError::Rejected(algorithm.as_str(), error.to_string()))?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    pub fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Es256(_) => SigningAlgorithm::Es256,
            Self::EdDsa(_) => SigningAlgorithm::EdDsa,
            Self::Rs256(_) => SigningAlgorithm::Rs256,
        }
    }

    /// Signature in JOSE form (RFC 7518, sections 3.3 and 3.4; RFC 8037, section 3.1).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        match self {
            Self::Es256(pair) => Ok(pair.sign(&system_random(), message)?.as_ref().to_vec()),
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &system_random(), message, &mut signature)?;
                Ok(signature)
            }
        }
    }

    /// The public half, with its RFC 7638 thumbprint as kid.
    pub fn public_jwk(&self) -> PublicJwk {
        match self {
            Self::Es256(pair) => PublicJwk::p256(pair.public_key().as_ref()),
            Self::EdDsa(pair) => PublicJwk::ed25519(pair.public_key().as_ref()),
            Self::Rs256(pair) => {
                let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                PublicJwk::rsa(&parts.n, &parts.e)
            }
        }
    }

    fn self_check(&self) -> Result<(), KeyError> {
        const MESSAGE: &[u8] = b"wsts self-check";
        let signature = self.sign(MESSAGE).map_err(|_| KeyError::SelfCheck)?;
        let (algorithm, public): (&dyn signature::VerificationAlgorithm, &[u8]) = match self {
            Self::Es256(pair) => (&signature::ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()),
            Self::EdDsa(pair) => (&signature::ED25519, pair.public_key().as_ref()),
            Self::Rs256(pair) => (&signature::RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()),
        };
        signature::UnparsedPublicKey::new(algorithm, public)
            .verify(MESSAGE, &signature)
            .map_err(|_| KeyError::SelfCheck)
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyPair({}, redacted)", self.algorithm().as_str())
    }
}
