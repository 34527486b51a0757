//! jsonwebtoken's cryptography over ring, with private keys parsed once and kept.
//!
//! The library asks a provider for a signer on every token and its own back ends parse the private key each time,
//! which costs 40 % of the throughput (docs/decisions/0001). Here an `EncodingKey` holds the number of a kept key,
//! so the factory is a look-up, and private bytes never lie in the library's hands.

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::jwk::{EllipticCurve, ThumbprintHash};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents, UnparsedPublicKey};

use super::key_pair::KeyPair;
use crate::domain::signing_key::SigningAlgorithm;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: new_signer,
    verifier_factory: new_verifier,
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key,
        rsa_pub_components_from_public_key,
        ec_pub_components_from_private_key,
        ed_pub_components_from_private_key,
        compute_digest,
    },
};

/// The kept keys by slot. Readers take a snapshot without a lock; writers (key rotation) are rare.
static KEPT: LazyLock<ArcSwap<Vec<Option<Arc<KeyPair>>>>> = LazyLock::new(ArcSwap::default);

/// Installs the provider for the process. Later calls do nothing.
pub fn install() {
    // An error says only that a provider is there already, and this is the one place that installs any.
    let _ = PROVIDER.install_default();
}

/// A private key kept for signing; leaves memory when dropped.
#[derive(Debug)]
pub struct KeptKey {
    slot: usize,
    algorithm: SigningAlgorithm,
}

impl KeptKey {
    pub fn keep(pair: KeyPair) -> Self {
        let algorithm = pair.algorithm();
        let pair = Arc::new(pair);
        let mut slot = 0;
        KEPT.rcu(|kept| {
            let mut kept = Vec::clone(kept);
            slot = kept.iter().position(Option::is_none).unwrap_or(kept.len());
            match kept.get_mut(slot) {
                Some(place) => *place = Some(Arc::clone(&pair)),
                None => kept.push(Some(Arc::clone(&pair))),
            }
            kept
        });
        Self { slot, algorithm }
    }

    /// What jsonwebtoken takes for a key: the slot's number.
    pub fn encoding_key(&self) -> EncodingKey {
        let handle = self.slot.to_be_bytes();
        match self.algorithm {
            SigningAlgorithm::Es256 => EncodingKey::from_ec_der(&handle),
            SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(&handle),
            SigningAlgorithm::Rs256 => EncodingKey::from_rsa_der(&handle),
        }
    }
}

impl Drop for KeptKey {
    fn drop(&mut self) {
        KEPT.rcu(|kept| {
            let mut kept = Vec::clone(kept);
            if let Some(place) = kept.get_mut(self.slot) {
                *place = None;
            }
            kept
        });
    }
}

/// The library's name for an algorithm of ours.
pub const fn library_algorithm(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::Es256 => Algorithm::ES256,
        SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        SigningAlgorithm::Rs256 => Algorithm::RS256,
    }
}

struct KeptSigner(Arc<KeyPair>);

impl Signer<Vec<u8>> for KeptSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        self.0.sign(message).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for KeptSigner {
    fn algorithm(&self) -> Algorithm {
        library_algorithm(self.0.algorithm())
    }
}

fn new_signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    let slot = <[u8; 8]>::try_from(key.as_bytes()).ok().map(|handle| u64::from_be_bytes(handle) as usize);
    let kept = KEPT.load();
    let pair =
        slot.and_then(|slot| kept.get(slot)).and_then(Option::as_ref).ok_or(ErrorKind::InvalidKeyFormat)?;
    if library_algorithm(pair.algorithm()) != *algorithm {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(KeptSigner(Arc::clone(pair))))
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        let verified = match (self.algorithm, self.key.kind()) {
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(public)) => {
                UnparsedPublicKey::new(&signature::ED25519, public).verify(message, signature)
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(
                    &signature::RSA_PKCS1_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
            (Algorithm::PS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(
                    &signature::RSA_PSS_2048_8192_SHA256,
                    message,
                    signature,
                )
            }
            _ => return Err(SignatureError::new()),
        };
        verified.map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn new_verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() }))
}

fn invalid_rsa(error: impl ToString) -> Error {
    ErrorKind::InvalidRsaKey(error.to_string()).into()
}

fn rsa_pub_components_from_private_key(der: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let pair = RsaKeyPair::from_der(der).map_err(invalid_rsa)?;
    let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    Ok((parts.n, parts.e))
}

fn rsa_pub_components_from_public_key(_der: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    // ring parses no bare public keys; every key of this service comes as a JWK or as a private key.
    Err(invalid_rsa("public keys are taken as a JWK"))
}

fn ec_pub_components_from_private_key(
    der: &[u8],
    algorithm: Algorithm,
) -> Result<(EllipticCurve, Vec<u8>, Vec<u8>)> {
    match (algorithm, KeyPair::from_pkcs8(SigningAlgorithm::Es256, der)) {
        (Algorithm::ES256, Ok(KeyPair::Es256(pair))) => {
            let (x, y) = pair
                .public_key()
                .as_ref()
                .get(1..)
                .unwrap_or_default()
                .split_at_checked(32)
                .unwrap_or_default();
            Ok((EllipticCurve::P256, x.to_vec(), y.to_vec()))
        }
        _ => Err(ErrorKind::InvalidEcdsaKey.into()),
    }
}

fn ed_pub_components_from_private_key(der: &[u8], curve: &EllipticCurve) -> Result<Vec<u8>> {
    match (curve, KeyPair::from_pkcs8(SigningAlgorithm::EdDsa, der)) {
        (EllipticCurve::Ed25519, Ok(KeyPair::EdDsa(pair))) => Ok(pair.public_key().as_ref().to_vec()),
        _ => Err(ErrorKind::InvalidEddsaKey.into()),
    }
}

fn compute_digest(data: &[u8], hash: ThumbprintHash) -> Result<Vec<u8>> {
    let algorithm = match hash {
        ThumbprintHash::SHA256 => &ring::digest::SHA256,
        ThumbprintHash::SHA384 => &ring::digest::SHA384,
        ThumbprintHash::SHA512 => &ring::digest::SHA512,
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    Ok(ring::digest::digest(algorithm, data).as_ref().to_vec())
}
