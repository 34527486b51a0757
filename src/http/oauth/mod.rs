//! OAuth 2.0: the token endpoint, the metadata documents, the JWKS.

pub mod exchange;
pub mod form;
pub mod jwks;
pub mod metadata;
pub mod token;
pub mod token_state;
