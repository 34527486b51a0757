//! The conformance suite of `storage::Store`: one list of cases, run against every database.
//!
//! To add a case: a function in `conformance/` that takes an `Arc<dyn Store>` (or a `&dyn Database`, if it must open
//! the database again or spoil it), and its name in the list of `conformance.rs`; the compiler finds a forgotten one.
//! To add a database: a file like `sqlite.rs` and a line below.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[macro_use]
mod conformance;
mod database;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
#[path = "../support/postgres_server.rs"]
mod postgres_server;
mod recorder;
mod samples;
mod sqlite;

conformance!(on_sqlite, crate::sqlite::fresh);
#[cfg(feature = "postgres")]
conformance!(on_postgres, crate::postgres::fresh);
