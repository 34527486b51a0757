//! The wire: actix stands only here (and in `startup`, which runs it). Handlers parse, call one use case, shape the
//! reply; what a refusal looks like is decided in [`problem`] alone.

pub mod arm_v2;
pub mod body;
pub mod call;
pub mod canonical_path;
pub mod connections;
mod denials;
mod document;
pub mod edge;
pub mod gateway;
pub mod middleware;
pub mod modelmanagement_v1;
pub mod oauth;
pub mod ops;
pub mod paging;
pub mod problem;
pub mod proxies;
pub mod rbac;
pub mod regions;
pub mod reply;
pub mod routes;
