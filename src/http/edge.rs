//! What the wire itself is told to take, and whom it believes: from the configuration, shared by every worker.

use std::time::Duration;

use super::proxies::TrustedProxies;

/// Limits of one request, and the proxies in front.
#[derive(Debug, Clone)]
pub struct Edge {
    pub proxies: TrustedProxies,
    pub max_body_bytes: usize,
    pub max_head_bytes: usize,
    pub max_uri_bytes: usize,
    /// From the end of the head to the end of the body. actix has no such deadline of its own.
    pub body_deadline: Duration,
}
