//! What gateways ask.

pub mod authorize;
