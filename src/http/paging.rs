//! Lists in pages: `value` and, while there is more, `nextLink`.

use actix_web::HttpResponse;
use serde_json::{Value, json};

use super::call::Call;
use super::problem::Problem;
use super::reply;

/// Where the page begins that the query asks for: behind this lower-case key, which must lie under the list's own.
pub fn cursor(call: &Call, list_key: &str) -> Result<String, Problem> {
    let asked = |name| call.query(name).filter(|value| !value.is_empty());
    let Some(after) = asked("$skipToken").or_else(|| asked("$skip")) else {
        return Ok(String::new());
    };
    let is_below = after.strip_prefix(list_key).is_some_and(|rest| rest.starts_with('/'));
    if is_below {
        Ok(after)
    } else {
        Err(Problem::Parameter { name: "$skipToken", what: "not from a `nextLink` of this list".to_owned() })
    }
}

/// One page. `nextLink` is absolute, from the configured issuer, repeats the query, and is absent on the last page.
pub fn page(call: &Call, value: Vec<Value>, next: Option<String>) -> HttpResponse {
    let Some(next) = next else {
        return reply::ok(&json!({ "value": value }));
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(call.request.query_string().as_bytes()) {
        if !name.eq_ignore_ascii_case("$skipToken") && !name.eq_ignore_ascii_case("$skip") {
            query.append_pair(&name, &value);
        }
    }
    let query = query.append_pair("$skipToken", &next).finish();
    let link = format!("{}{}?{query}", call.core.settings.policy.issuer, call.request.path());
    reply::ok(&json!({ "value": value, "nextLink": link }))
}
