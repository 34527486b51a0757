//! Keys and signatures. Knows no policy: what may be signed is decided in `domain::issuance`.

pub mod assertion;
pub mod bare_key;
pub mod certificate;
pub mod compact;
pub mod foreign_keys;
pub mod jwks;
mod key_checks;
pub mod key_pair;
pub mod provider;
pub mod public_key;
pub mod sealing;
pub mod signer;
pub mod verifier;
