//! workspace-sts: a regional token service for ML webservices.
//!
//! Where things live, and what may know what, stands in `docs/architecture.md`; `tests/architecture.rs` holds it.

pub mod audit;
pub mod clock;
pub mod directory;
pub mod domain;
pub mod entropy;
pub mod metrics;
pub mod services;
pub mod signing;
pub mod storage;
