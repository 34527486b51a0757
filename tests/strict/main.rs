//! Every rule about what a token may look like, shown to every door that takes tokens: our own verifier, and the
//! assertion parser for each kind of foreign token.
//!
//! Whatever is altered is signed afterwards by the right key, so that a refusal is the rule's and not the signature's.
//! The rules are those of the published Wycheproof JOSE vectors and of RFC 8725; the cases are made here.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod algorithms;
mod doors;
mod json;
mod serialization;
mod signatures;
