//! What happens when things break: real processes, a real database, real signals. Each test prints its figures beside
//! those that must hold (docs/operations.md, "What each failure looks like").
//!
//! In the short form each takes seconds; `scripts/faults` runs the long one.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod clocks;
mod connections;
mod crashes;
mod database;
mod deployment;
mod disks;
mod load;
mod offered;
mod overload;
#[path = "../support/postgres_server.rs"]
mod postgres_server;
mod proxy;
mod regions;
mod replicas;

/// One fault at a time: they share two cores, and figures of one must not be the load of another.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
