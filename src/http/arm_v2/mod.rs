//! ARM: workspaces and online endpoints, as the azure-ai-ml SDK and ARM clients speak it.

pub mod endpoints;
pub mod keys;
pub mod subscriptions;
pub mod token;
pub mod views;
pub mod workspaces;
