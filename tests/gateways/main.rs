//! Gateways that people run, the real programs, before a service whose signing keys change every few
//! seconds: nobody's token may be refused for that, and a revoked key must be. Each test prints its figures beside those
//! that must hold (docs/keys.md, "What gateways must do").
//!
//! The gateways read the files of `deploy/gateways/`. In the short form each test takes less than a minute;
//! `scripts/faults` runs the long one.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod doors;
mod gateway;
// A part of it is used here.
#[allow(dead_code)]
#[path = "../api/helpers.rs"]
mod helpers;
mod load;
mod model;
mod revocation;
mod rotation;
mod service;
mod traffic;

/// One test at a time: they share two cores, and what is late for one must not be the work of another.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether the long form was asked for.
fn is_full() -> bool {
    std::env::var_os("WSTS_FAULTS_FULL").is_some()
}

/// Prints a figure beside the one that must hold.
fn figure(of: &str, what: &str, found: impl std::fmt::Display, wanted: &str) {
    eprintln!("{of:<28} {what:<46} {found:>14}   {wanted}");
}
