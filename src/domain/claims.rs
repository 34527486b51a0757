//! The claims of a token (RFC 9068, section 2.2) as they stand on the wire.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{ClientId, ObjectId, TenantId};

/// `typ` of every token this service mints (RFC 9068, section 2.1).
pub const TOKEN_TYPE: &str = "at+jwt";

/// Seconds by which `nbf` is backdated: several validators refuse a token from a clock slightly ahead of theirs.
pub const BACKDATE_SECONDS: i64 = 60;

/// What a token says. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims<'a> {
    pub iss: &'a str,
    /// One string, never a list: a usual HAProxy rule refuses lists.
    pub aud: String,
    pub sub: ObjectId,
    pub oid: ObjectId,
    pub client_id: ClientId,
    pub azp: ClientId,
    pub tid: TenantId,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: Arc<str>,
    pub refresh_by: i64,
    /// Names of the workspace and the webservice; absent from a management token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webservice: Option<&'a str>,
    pub region: &'a str,
    pub scope: &'static str,
}

/// The claims that a verifier reads back. A claim of the wrong type is an error, never absent;
/// members of later versions are let through.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReadClaims {
    pub iss: String,
    pub aud: String,
    pub sub: String,
    pub oid: String,
    pub client_id: String,
    pub tid: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub jti: String,
    pub refresh_by: i64,
    pub workspace: Option<String>,
    pub webservice: Option<String>,
    pub region: String,
    pub scope: String,
}
