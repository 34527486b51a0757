//! workspace-sts: a regional token service for ML webservices.
//!
//! Where things live, and what may know what, stands in `docs/architecture.md`; `tests/architecture.rs` holds it.

pub mod audit;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
#[cfg(feature = "cli")]
pub mod config;
pub mod directory;
pub mod domain;
pub mod entropy;
pub mod federation;
#[cfg(feature = "http")]
pub mod http;
mod https_client;
pub mod metrics;
pub mod services;
pub mod signing;
#[cfg(feature = "cli")]
pub mod startup;
pub mod storage;
mod strict_json;
#[cfg(feature = "cli")]
pub mod telemetry;
#[cfg(feature = "cli")]
pub mod worker;
