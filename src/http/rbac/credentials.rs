//! `keyCredentials` and `federatedIdentityCredentials` of a principal, with the members that Microsoft Graph gives them.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web::Payload};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::principals::{display_name, find};
use crate::domain::ids::CredentialId;
use crate::domain::principal::{FederatedCredential, KeyCredential};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::Refusal;
use crate::services::change_registry::Mutation;
use crate::services::credentials::WantedFederation;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertificateBody {
    display_name: Option<String>,
    /// `AsymmetricX509Cert`, when given.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// `Verify`, when given.
    usage: Option<String>,
    /// Base64 of the certificate, in DER or PEM.
    key: String,
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
        let body: CertificateBody = body::json(&call.request, payload).await?;
        demand("type", body.kind.as_deref(), "AsymmetricX509Cert")?;
        demand("usage", body.usage.as_deref(), "Verify")?;
        let certificate = STANDARD.decode(&body.key).map_err(|_| Problem::Parameter {
            name: "key",
            what: "must be a certificate in base64".to_owned(),
        })?;
        let name = body.display_name.map(display_name).transpose()?;
        let added = call.core.add_certificate(&caller, &found, name, &certificate, &call.context).await?;
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

fn demand(name: &'static str, given: Option<&str>, only: &str) -> Result<(), Problem> {
    match given {
        Some(other) if other != only => {
            Err(Problem::Parameter { name, what: format!("`{only}` is all that is offered") })
        }
        _ => Ok(()),
    }
}

/// A certificate without its key, which nobody needs to read back.
pub fn key_view(key: &KeyCredential) -> Value {
    json!({
        "keyId": key.id,
        "displayName": key.display_name,
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "customKeyIdentifier": STANDARD.encode(key.sha1_thumbprint),
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
