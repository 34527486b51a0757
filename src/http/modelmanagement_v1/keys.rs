//! `…/listkeys` and `…/regenerateKeys`.

use actix_web::{HttpResponse, web::Payload};
use serde::Deserialize;
use serde_json::json;

use super::operations;
use crate::domain::access_key::KeyName;
use crate::domain::resource::Scope;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};

/// No body, no Content-Type.
pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let [primary, secondary] = call.core.list_access_keys(&caller, &id, &call.context).await?;
        Ok::<_, Problem>(reply::ok(&json!({ "primaryKey": *primary, "secondaryKey": *secondary })))
    };
    call.reply(result.await)
}

/// RegenerateServiceKeysRequest of both dialects.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegenerateBody {
    key_type: String,
    /// `None` to have one made.
    pub key_value: Option<String>,
}

impl RegenerateBody {
    pub fn name(&self) -> Result<KeyName, Problem> {
        KeyName::parse(&self.key_type).ok_or_else(|| Problem::Parameter {
            name: "keyType",
            what: "neither Primary nor Secondary".to_owned(),
        })
    }
}

/// The change is made when this answers; the SDK asks for the operation all the same.
pub async fn regenerate(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let id = call.webservice()?;
        let caller = call.authorize(&Scope::from(&id)).await?;
        let asked: RegenerateBody = body::json(&call.request, payload).await?;
        let wanted = (asked.name()?, asked.key_value.as_deref());
        let operation = call.core.regenerate_access_key(&caller, &id, wanted, &call.context).await?;
        let mut answer = reply::ok(&json!({}));
        operations::point_to(&call, &mut answer, operation);
        Ok(answer)
    };
    call.reply(result.await)
}
