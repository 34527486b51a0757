//! `addPassword` and `removePassword`: the text of a secret is in one answer and nowhere else.

use actix_web::{HttpResponse, web::Payload};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::principals::{display_name, find, password_view};
use crate::domain::ids::CredentialId;
use crate::http::call::Call;
use crate::http::{body, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AddBody {
    password_credential: Option<PasswordCredential>,
}

/// Graph's own type. A member that it does not have is refused: a misspelt `endDateTime` would give a secret of another
/// life than was meant.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PasswordCredential {
    display_name: Option<String>,
    end_date_time: Option<DateTime<Utc>>,
    // What the service decides. Clients that send the whole type send these, mostly as null.
    #[serde(rename = "startDateTime")]
    _start_date_time: Option<IgnoredAny>,
    #[serde(rename = "keyId")]
    _key_id: Option<IgnoredAny>,
    #[serde(rename = "customKeyIdentifier")]
    _custom_key_identifier: Option<IgnoredAny>,
    #[serde(rename = "hint")]
    _hint: Option<IgnoredAny>,
    #[serde(rename = "secretText")]
    _secret_text: Option<IgnoredAny>,
    #[serde(rename = "@odata.type")]
    _odata_type: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveBody {
    key_id: CredentialId,
}

pub async fn add(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        let body: AddBody = body::json(&call.request, payload).await?;
        let asked = body.password_credential.unwrap_or_default();
        let made = call
            .core
            .add_secret(
                &caller,
                &found,
                asked.display_name.map(display_name).transpose()?,
                asked.end_date_time,
                &call.context,
            )
            .await?;
        let mut view = password_view(&made.secret);
        if let Some(members) = view.as_object_mut() {
            members.insert("secretText".to_owned(), json!(made.plain.expose()));
        }
        Ok(reply::ok(&view))
    };
    call.reply(result.await)
}

pub async fn remove(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        let body: RemoveBody = body::json(&call.request, payload).await?;
        let secret = found.secrets.iter().find(|secret| secret.id == body.key_id).ok_or(Refusal::NotFound)?;
        let mutation = Mutation::RemoveSecret(secret.object_id, secret.id);
        call.core.change(&caller, &[mutation], &call.context).await?;
        Ok(reply::no_content())
    };
    call.reply(result.await)
}
