//! `/v1.0/servicePrincipals`: create, list, read, enable or disable, delete. Always within the caller's own tenant.

use std::sync::Arc;

use actix_web::{HttpResponse, web::Payload};
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::key_view;
use crate::domain::credential_method::AllowedMethods;
use crate::domain::ids::{ClientId, ObjectId};
use crate::domain::principal::{ClientSecret, KeyCredential, ServicePrincipal};
use crate::domain::resource::Scope;
use crate::domain::text;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{body, reply};
use crate::services::Refusal;
use crate::services::authenticate::Authenticated;
use crate::services::change_registry::{Mutation, PrincipalUpdate};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateBody {
    display_name: String,
    /// Made by the service when absent.
    app_id: Option<ClientId>,
    /// Every way when absent.
    allowed_credential_methods: Option<AllowedMethods>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpdateBody {
    display_name: Option<String>,
    account_enabled: Option<bool>,
    allowed_credential_methods: Option<AllowedMethods>,
}

pub async fn list(call: Call) -> HttpResponse {
    let result = async {
        let caller = call.authorize(&Scope::root()).await?;
        let after = call.query("$skiptoken").unwrap_or_default();
        let (found, next) = call.core.principals(&caller, &after).await?;
        let mut answer = json!({ "value": found.iter().map(view).collect::<Vec<_>>() });
        if let (Some(next), Some(members)) = (next, answer.as_object_mut()) {
            let issuer = &call.core.settings.policy.issuer;
            let link = format!("{issuer}/v1.0/servicePrincipals?$skiptoken={next}");
            members.insert("@odata.nextLink".to_owned(), json!(link));
        }
        Ok(reply::ok(&answer))
    };
    call.reply(result.await)
}

pub async fn get(call: Call) -> HttpResponse {
    let result = async {
        let (_, found) = find(&call).await?;
        Ok(reply::ok(&whole_view(&found.principal, &found.secrets, &found.key_credentials)))
    };
    call.reply(result.await)
}

pub async fn create(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let caller = call.authorize(&Scope::root()).await?;
        let body: CreateBody = body::json(&call.request, payload).await?;
        let random = || call.core.new_uuid();
        let principal = ServicePrincipal {
            object_id: ObjectId::from_uuid(random()),
            client_id: body.app_id.unwrap_or_else(|| ClientId::from_uuid(random())),
            tenant_id: caller.facts.principal.tenant_id,
            display_name: display_name(body.display_name)?,
            enabled: true,
            allowed_methods: body.allowed_credential_methods.unwrap_or_default(),
            created_at: call.core.clock.now(),
        };
        call.core.change(&caller, &[Mutation::PutPrincipal(principal.clone())], &call.context).await?;
        Ok(reply::created(&whole_view(&principal, &[], &[])))
    };
    call.reply(result.await)
}

pub async fn update(call: Call, payload: Payload) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        let body: UpdateBody = body::json(&call.request, payload).await?;
        let update = PrincipalUpdate {
            display_name: body.display_name.map(display_name).transpose()?,
            enabled: body.account_enabled,
            allowed_methods: body.allowed_credential_methods,
        };
        let mutation = Mutation::UpdatePrincipal(found.principal.object_id, update);
        call.core.change(&caller, &[mutation], &call.context).await?;
        Ok(reply::no_content())
    };
    call.reply(result.await)
}

pub async fn delete(call: Call) -> HttpResponse {
    let result = async {
        let (caller, found) = find(&call).await?;
        call.core
            .change(&caller, &[Mutation::DeletePrincipal(found.principal.object_id)], &call.context)
            .await?;
        Ok(reply::no_content())
    };
    call.reply(result.await)
}

/// A principal with its credentials and roles.
type PrincipalInPath = Arc<crate::services::read_registry::PrincipalFacts>;

/// Checks the caller, then finds the principal whose object id stands in the path, in the caller's tenant.
pub async fn find(call: &Call) -> Result<(Authenticated, PrincipalInPath), Problem> {
    let caller = call.authorize(&Scope::root()).await?;
    let object_id = ObjectId::parse(call.segment("id"))
        .map_err(|error| Problem::Parameter { name: "id", what: error.to_string() })?;
    let found = call.core.principal(&caller, object_id).await?;
    Ok((caller, found.ok_or(Refusal::NotFound)?))
}

/// A name that fits a line of the audit.
pub fn display_name(name: String) -> Result<String, Problem> {
    text::check_name(&name)
        .map_err(|rule| Problem::Parameter { name: "displayName", what: rule.to_string() })?;
    Ok(name)
}

/// A principal with what it proves itself with.
fn whole_view(principal: &ServicePrincipal, secrets: &[ClientSecret], keys: &[KeyCredential]) -> Value {
    let mut view = view(principal);
    if let Some(members) = view.as_object_mut() {
        let secrets = secrets.iter().map(password_view).collect();
        members.insert("passwordCredentials".to_owned(), secrets);
        members.insert("keyCredentials".to_owned(), keys.iter().map(key_view).collect());
    }
    view
}

/// A principal as it stands in a list, which does not read credentials: an empty list of them would be a lie.
fn view(principal: &ServicePrincipal) -> Value {
    json!({
        "id": principal.object_id,
        "appId": principal.client_id,
        "displayName": principal.display_name,
        "accountEnabled": principal.enabled,
        "allowedCredentialMethods": principal.allowed_methods,
        "appOwnerOrganizationId": principal.tenant_id,
        "createdDateTime": principal.created_at,
        "servicePrincipalType": "Application",
    })
}

/// A secret without its text.
pub fn password_view(secret: &ClientSecret) -> Value {
    json!({
        "keyId": secret.id,
        "displayName": secret.display_name,
        "hint": secret.hint,
        "startDateTime": secret.created_at,
        "endDateTime": secret.expires_at,
    })
}
