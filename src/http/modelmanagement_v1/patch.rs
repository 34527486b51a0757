//! `PATCH …/services/{name}`: a JSON Patch (RFC 6902) of the few members that wsts keeps. The auth mode is judged on
//! what would result, not on each step.

use actix_web::{HttpResponse, web::Payload};
use serde::Deserialize;
use serde_json::Value;

use super::{operations, views};
use crate::domain::resource::Scope;
use crate::domain::webservice::{AuthMode, ScoringUri, Webservice};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    op: String,
    path: String,
    /// Of `move` and `copy`, which are refused by their names.
    #[serde(rename = "from")]
    _from: Option<String>,
    /// `None` when it was not sent, which is not the same as null.
    #[serde(default, deserialize_with = "sent")]
    value: Option<Value>,
}

fn sent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

pub async fn patch(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let steps: Vec<Step> = body::json_as(&call.request, payload, "application/json-patch+json").await?;
        let edit = |before: Option<&Webservice>| apply(before.ok_or(Refusal::NotFound)?, &steps);
        let edited = call.core.edit_webservice(&caller, &id, edit, &call.context).await?;
        let Some(operation) = edited.operation else {
            return Ok(reply::ok(&views::service(&edited.after, None)));
        };
        let mut answer = reply::ok(&views::service(&edited.after, Some(&operation.to_string())));
        operations::point_to(&call, &mut answer, operation);
        Ok(answer)
    };
    call.reply(result.await)
}

/// RFC 6902 has three more operations, which make nothing of these members.
const OPERATIONS: [&str; 3] = ["add", "replace", "remove"];

/// The webservice as the steps would leave it.
fn apply(before: &Webservice, steps: &[Step]) -> Result<Webservice, Problem> {
    let mut after = before.clone();
    let (mut key, mut token) = (before.auth_mode == AuthMode::Key, before.auth_mode == AuthMode::Token);
    for step in steps {
        if !OPERATIONS.contains(&step.op.as_str()) {
            return Err(refused(format!("`{}` is none of add, replace, remove", short(&step.op))));
        }
        let value = match (step.op.as_str(), &step.value) {
            ("remove", _) => &Value::Null,
            (_, Some(value)) => value,
            (op, None) => return Err(refused(format!("`{op}` of `{}` has no value", short(&step.path)))),
        };
        match step.path.as_str() {
            "/authEnabled" => key = switch(step)?,
            "/aadAuthEnabled" => token = switch(step)?,
            "/description" => after.description = typed(value, &step.path)?,
            "/kvTags" => after.tags = typed::<Option<_>>(value, &step.path)?.unwrap_or_default(),
            "/scoringUri" => {
                after.scoring_uri =
                    typed::<Option<ScoringUri>>(value, &step.path)?.map(ScoringUri::into_text);
            }
            // The SDK adds where its user's git tree stands. wsts keeps no properties, and the rest is to go through.
            other if other.starts_with("/properties/") => drop(typed::<Option<String>>(value, &step.path)?),
            other => {
                return Err(refused(format!(
                    "`{}` can't be changed here: wsts keeps authEnabled, aadAuthEnabled, description, kvTags and scoringUri",
                    short(other)
                )));
            }
        }
    }
    let mode = match (key, token) {
        (true, true) => {
            return Err(refused(
                "authEnabled and aadAuthEnabled would both be true: switch one off with the other".to_owned(),
            ));
        }
        (true, false) => AuthMode::Key,
        (false, true) => AuthMode::Token,
        (false, false) => AuthMode::None,
    };
    after.auth_mode =
        AuthMode::resolve(after.compute_type, Some(mode)).map_err(|error| refused(error.to_string()))?;
    Ok(after)
}

fn switch(step: &Step) -> Result<bool, Problem> {
    match (step.op.as_str(), &step.value) {
        ("add" | "replace", Some(Value::Bool(on))) => Ok(*on),
        _ => Err(refused(format!("`{}` takes true or false", step.path))),
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: &Value, path: &str) -> Result<T, Problem> {
    // serde's own words repeat the value, whole.
    serde_json::from_value(value.clone())
        .map_err(|error| refused(format!("`{}`: {}", short(path), short(&error.to_string()))))
}

fn refused(what: String) -> Problem {
    Problem::Parameter { name: "patch", what }
}

/// A caller's text, cut to what an error line bears.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
