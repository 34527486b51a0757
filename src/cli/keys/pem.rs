//! Public keys in PEM (RFC 7468, section 13), for gateways that read no JWKS.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm};

use crate::cli::Failure;
use crate::signing::jwks::{KeyMembers, PublicJwk};

/// What stands inside a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
struct Public {
    algorithm: &'static SignatureAlgorithm,
    bytes: Vec<u8>,
}

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// The key under a line that names it.
pub fn encode(jwk: &PublicJwk) -> Result<String, Failure> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text);
    let public = match &jwk.members {
        // An uncompressed point (RFC 5480, section 2.2).
        KeyMembers::Ec { x, y, .. } => {
            Public { algorithm: &PKCS_ECDSA_P256_SHA256, bytes: [vec![4], bytes(x)?, bytes(y)?].concat() }
        }
        KeyMembers::Okp { x, .. } => Public { algorithm: &PKCS_ED25519, bytes: bytes(x)? },
        KeyMembers::Rsa { n, e } => {
            Public { algorithm: &PKCS_RSA_SHA256, bytes: rsa(&bytes(n)?, &bytes(e)?) }
        }
    };
    let block = pem::Pem::new("PUBLIC KEY", public.subject_public_key_info());
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let region = jwk.region.as_deref().unwrap_or_default();
    Ok(format!("# kid {} alg {} region {region}\n{}", jwk.kid, jwk.alg, pem::encode_config(&block, config)))
}

/// RSAPublicKey (RFC 8017, appendix A.1.1).
fn rsa(n: &[u8], e: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_bigint_bytes(n, true);
            writer.next().write_bigint_bytes(e, true);
        });
    })
}
