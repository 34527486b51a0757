//! `keyCredentials` and `federatedIdentityCredentials` of a principal, with the members that Microsoft Graph gives them.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web::Payload};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::principals::{display_name, find};
use crate::domain::ids::CredentialId;
use crate::domain::principal::{FederatedCredential, KeyCredential, KeyNames};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;
use crate::services::credentials::{WantedFederation, WantedKey};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyBody {
    display_name: Option<String>,
    /// `AsymmetricX509Cert`, also when absent, or `PublicKey`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `Verify`, when given.
    usage: Option<String>,
    /// Base64 of the certificate, in DER or PEM, or of the public key, in PEM or as a JWK.
    key: String,
    /// Of a public key, which says no end of its own.
    end_date_time: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FederatedBody {
    name: String,
    issuer: String,
    subject: String,
    /// Exactly one.
    audiences: [String; 1],
    #[serde(default)]
    claims: BTreeMap<String, String>,
}

pub async fn certificates(call: Call) -> HttpResponse {
    let result = async {
        let (_, found) = find(&call).await?;
        Ok(reply::ok(&json!({ "value": found.key_credentials.iter().map(key_view).collect::<Vec<_>>() })))
    };
    call.reply(result.await)
}

pub async fn add_certificate(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        let body: KeyBody = body::json(&call.request, payload).await?;
        let name = body.display_name.clone().map(display_name).transpose()?;
        let added = call.core.add_key(&caller, &found, name, &wanted(body)?, &call.context).await?;
        Ok(reply::created(&key_view(&added)))
    };
    call.reply(result.await)
}

pub async fn remove_certificate(call: Call) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        let id = credential_id(&call)?;
        let key = found.key_credentials.iter().find(|key| key.id == id).ok_or(Refusal::NotFound)?;
        let mutation = Mutation::RemoveKeyCredential(key.object_id, key.id);
        call.core.change(&caller, &[mutation], &call.context).await?;
        Ok(reply::no_content())
    };
    call.reply(result.await)
}

pub async fn federated(call: Call) -> HttpResponse {
    let result = async {
        let (_, found) = find(&call).await?;
        let all: Vec<_> = found.federated_credentials.iter().map(federated_view).collect();
        Ok(reply::ok(&json!({ "value": all })))
    };
    call.reply(result.await)
}

pub async fn add_federated(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        let body: FederatedBody = body::json(&call.request, payload).await?;
        let [audience] = body.audiences;
        let FederatedBody { name, issuer, subject, claims, .. } = body;
        let wanted = WantedFederation { name, issuer, subject, audience, claims };
        let added = call.core.add_federated_credential(&caller, &found, wanted, &call.context).await?;
        Ok(reply::created(&federated_view(&added)))
    };
    call.reply(result.await)
}

pub async fn remove_federated(call: Call) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        let id = credential_id(&call)?;
        let credential = found.federated_credentials.iter().find(|credential| credential.id == id);
        let credential = credential.ok_or(Refusal::NotFound)?;
        let mutation = Mutation::RemoveFederatedCredential(credential.object_id, id);
        call.core.change(&caller, &[mutation], &call.context).await?;
        Ok(reply::no_content())
    };
    call.reply(result.await)
}

fn credential_id(call: &Call) -> Result<CredentialId, Problem> {
    CredentialId::parse(call.segment("credential"))
        .map_err(|error| Problem::Parameter { name: "credential", what: error.to_string() })
}

const CERTIFICATE: &str = "AsymmetricX509Cert";
/// Not a word of Graph's, which knows no key without a certificate.
const PUBLIC_KEY: &str = "PublicKey";

fn wanted(body: KeyBody) -> Result<WantedKey, Problem> {
    let parameter = |name, what: &str| Problem::Parameter { name, what: what.to_owned() };
    if body.usage.is_some_and(|usage| usage != "Verify") {
        return Err(parameter("usage", "`Verify` is all that is offered"));
    }
    let key = STANDARD.decode(&body.key).map_err(|_| parameter("key", "must be in base64"))?;
    match (body.kind.as_deref().unwrap_or(CERTIFICATE), body.end_date_time) {
        (CERTIFICATE, None) => Ok(WantedKey::Certificate(key)),
        (CERTIFICATE, Some(_)) => Err(parameter("endDateTime", "a certificate says its own end")),
        (PUBLIC_KEY, Some(expires_at)) => match String::from_utf8(key) {
            Ok(key) => Ok(WantedKey::Public { key, expires_at }),
            Err(_) => Err(parameter("key", "must be a public key in PEM or a JWK, in base64")),
        },
        (PUBLIC_KEY, None) => {
            Err(parameter("endDateTime", "missing: a key without a certificate says no end of its own"))
        }
        _ => Err(parameter("type", "`AsymmetricX509Cert` and `PublicKey` are all that is offered")),
    }
}

/// Not the key itself, which nobody needs to read back.
pub fn key_view(key: &KeyCredential) -> Value {
    let (kind, identifier) = match &key.names {
        KeyNames::Certificate { sha1, .. } => (CERTIFICATE, STANDARD.encode(sha1)),
        // As an assertion has it in `kid`.
        KeyNames::Bare { thumbprint } => (PUBLIC_KEY, URL_SAFE_NO_PAD.encode(thumbprint)),
    };
    json!({
        "keyId": key.id,
        "displayName": key.display_name,
        "type": kind,
        "usage": "Verify",
        "customKeyIdentifier": identifier,
        "startDateTime": key.starts_at,
        "endDateTime": key.expires_at,
    })
}

fn federated_view(credential: &FederatedCredential) -> Value {
    json!({
        "id": credential.id,
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "audiences": [credential.audience],
        "claims": credential.claims,
    })
}
