//! Keys and signatures. Knows no policy: what may be signed is decided in `domain::issuance`.

pub mod jwks;
pub mod key_pair;
pub mod provider;
pub mod sealing;
pub mod signer;
pub mod verifier;
