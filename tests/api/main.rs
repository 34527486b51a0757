//! The service over HTTPS, started as production starts it: real listeners, real database, real certificates. Only the
//! clock and the randomness are the test's own, so that times and snapshots are exact.
//!
//! A file a topic. `helpers.rs` holds the service under test and one verb for each endpoint, `registry.toml` what is
//! registered at the start. To add a case: a function in its topic's file; it says who asks, and looks at the status,
//! the body, the headers and the audit rows.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod access_keys;
mod allowed_methods;
mod assertions;
mod audit_removal;
mod authorize;
mod authorize_naming;
mod bad_input;
mod claims;
mod clock;
mod concurrency;
mod connections;
mod credentials;
mod external_tokens;
mod federated_shapes;
mod federation;
mod federation_reach;
mod helpers;
mod hostile;
mod http2;
mod introspection;
mod issuer;
mod key_interventions;
mod limits;
mod metadata;
mod ops;
mod overload;
mod principal_credentials;
mod principals;
mod public_keys;
mod raw;
mod refusals;
mod regions;
mod registry;
mod request_ids;
mod revocation;
mod roles;
mod routes;
mod secrecy;
mod signer;
mod signing_keys;
mod single_use;
mod spoiled_keys;
mod strict_tokens;
mod tenants;
mod token_exchange;
mod tokens;
mod v1_services;
mod who_may;
