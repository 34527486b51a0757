//! The rules: pure values and functions. Nothing here knows a clock, a socket, a database or a task.

pub mod access_key;
pub mod audit;
pub mod claims;
pub mod client_secret;
pub mod credential_method;
pub mod denial;
pub mod ids;
pub mod issuance;
pub mod latency;
pub mod lifetime;
pub mod principal;
pub mod region;
pub mod resource;
pub mod revocation;
pub mod role;
pub mod signing_key;
pub mod text;
pub mod webservice;
pub mod workspace;
