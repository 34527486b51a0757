//! Who may do what: role assignments and definitions in ARM's shape, principals in Microsoft Graph's words.

pub mod assignments;
pub mod credentials;
pub mod definitions;
pub mod passwords;
pub mod principals;

use crate::domain::resource::Scope;
use crate::http::call::Call;
use crate::http::problem::Problem;

/// The scope in front of `/providers/Microsoft.Authorization`; the root when nothing stands there.
fn scope(call: &Call) -> Result<Scope, Problem> {
    let text = match call.segment("scope") {
        "" => "/".to_owned(),
        rest => format!("/subscriptions/{rest}"),
    };
    Scope::parse(&text).map_err(|error| Problem::Parameter { name: "scope", what: error.to_string() })
}
