//! The `wsts` program as people run it: the real binary, a temporary folder, an empty home.
//!
//! A file a command. `helpers.rs` holds a demo deployment made by `quickstart`, and the running of commands over it.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod apply;
mod audit;
mod bootstrap;
mod config;
mod helpers;
mod keys;
mod logs;
mod output;
mod quickstart;
mod regions;
mod rewrap;
mod serve;
mod token;
mod verify;
