//! X.509 certificates of principals: a public key, its thumbprints and its validity (RFC 5280).
//!
//! Nothing of a certificate is believed but that: it is registered by someone who may, so neither its signature nor its
//! names matter, as Entra has it.

use chrono::{DateTime, Utc};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::oid_registry::{OID_EC_P256, OID_SIG_ED25519};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::jwks::KeyMembers;
use super::public_key::{ForeignJwk, PublicKey};

/// Longest certificate that is looked at, in bytes of DER or PEM.
pub const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// What a certificate tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Public JWK (RFC 7517) as JSON text.
    pub public_jwk: String,
    pub sha1_thumbprint: [u8; 20],
    pub sha256_thumbprint: [u8; 32],
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

/// Why a certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("longer than {MAX_CERTIFICATE_BYTES} bytes")]
    TooLong,
    #[error("not one certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    NotPem,
    #[error("not an X.509 certificate in DER")]
    NotX509,
    #[error("its key is not offered: RSA from 2048 bits on, P-256 or Ed25519")]
    Key,
    #[error("its validity can't be read, or ends before it begins")]
    Validity,
}

impl Certificate {
    /// Exactly one certificate in PEM.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        if text.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong);
        }
        let mut blocks = Pem::iter_from_buffer(text.as_bytes());
        match (blocks.next(), blocks.next()) {
            (Some(Ok(block)), None) if block.label == "CERTIFICATE" => Self::from_der(&block.contents),
            _ => Err(CertificateError::NotPem),
        }
    }

    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong);
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::NotX509)?;
        if !rest.is_empty() {
            return Err(CertificateError::NotX509);
        }
        let jwk = members(parsed.public_key()).map(ForeignJwk::from).ok_or(CertificateError::Key)?;
        // The same door as for every other key: an RSA key of 1024 bits ends here.
        PublicKey::from_foreign(&jwk).map_err(|_| CertificateError::Key)?;
        let public_jwk = serde_json::to_string(&jwk).map_err(|_| CertificateError::Key)?;
        let validity = parsed.validity();
        if validity.not_after < validity.not_before {
            return Err(CertificateError::Validity);
        }
        let instant = |time: i64| DateTime::from_timestamp(time, 0).ok_or(CertificateError::Validity);
        let mut sha1_thumbprint = [0; 20];
        sha1_thumbprint.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref());
        let mut sha256_thumbprint = [0; 32];
        sha256_thumbprint.copy_from_slice(digest(&SHA256, der).as_ref());
        Ok(Self {
            public_jwk,
            sha1_thumbprint,
            sha256_thumbprint,
            not_before: instant(validity.not_before.timestamp())?,
            not_after: instant(validity.not_after.timestamp())?,
        })
    }
}

pub(super) fn members(key: &SubjectPublicKeyInfo<'_>) -> Option<KeyMembers> {
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match key.parsed() {
        // DER integers carry a leading zero when their first bit is set.
        Ok(ParsedKey::RSA(key)) => Some(KeyMembers::rsa(unsigned(key.modulus), unsigned(key.exponent))),
        // RFC 5480, section 2.2: 0x04 begins a point that is not compressed.
        Ok(ParsedKey::EC(point)) if curve == Some(OID_EC_P256) && is_uncompressed(point.data()) => {
            Some(KeyMembers::p256(point.data()))
        }
        // RFC 8410, section 4: the bit string is the key itself.
        _ if key.algorithm.algorithm == OID_SIG_ED25519 => {
            Some(KeyMembers::ed25519(&key.subject_public_key.data))
        }
        _ => None,
    }
}

fn is_uncompressed(point: &[u8]) -> bool {
    point.len() == 65 && point.first() == Some(&4)
}

fn unsigned(integer: &[u8]) -> &[u8] {
    integer.strip_prefix(&[0]).unwrap_or(integer)
}
