//! The public routes in one table: path, methods, the action each demands, the dialect of its errors.
//!
//! Hot paths stand first: the router tries them in this order. To add a route: a row here, a handler in its
//! dialect's folder, a line in docs/problems.md if it can fail in a new way.

use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, Route, guard};

use super::call::Call;
use super::middleware::dialect_of;
use super::problem::{Dialect, Occasion, Problem};
use super::{arm_v2, gateway, modelmanagement_v1, oauth, rbac, regions};
use crate::domain::role::action;
use crate::services::authorize_call::Demand;
use crate::services::{Core, Endpoint, RequestContext};

/// What the table says of a path, for its handlers.
pub struct RouteFacts {
    pub dialect: Dialect,
    pub endpoint: Endpoint,
    demands: Vec<(Method, Demand)>,
}

impl RouteFacts {
    pub fn demand(&self, method: &Method) -> Option<Demand> {
        self.demands.iter().find(|(of, _)| of == method).map(|(_, demand)| *demand)
    }
}

/// One path.
struct Row {
    path: &'static str,
    allow: &'static str,
    facts: RouteFacts,
    routes: Vec<Route>,
}

impl Row {
    /// `allow` lists the methods for the `Allow` header of a 405.
    fn new(path: &'static str, allow: &'static str, dialect: Dialect, endpoint: Endpoint) -> Self {
        Self { path, allow, facts: RouteFacts { dialect, endpoint, demands: Vec::new() }, routes: Vec::new() }
    }

    /// A method that anybody may use, or whose use case authorizes by itself.
    fn open<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        // Not `web::method`: its guard allocates on every check to be able to write an Allow header.
        let guarded = Route::new().guard(guard::fn_guard(move |context| context.head().method == method));
        self.routes.push(guarded.to(handler));
        self
    }

    /// Every method: a gateway asks by that of its caller.
    fn any<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.routes.push(Route::new().to(handler));
        self
    }

    /// A method that demands an action; who may `see` the thing learns that it is forbidden and not that it is absent.
    fn on<F, Args>(mut self, method: Method, demand: &'static str, see: &'static str, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.facts.demands.push((method.clone(), Demand::new(demand, see)));
        self.open(method, handler)
    }

    fn resource(self) -> Resource {
        let allow = self.allow;
        let resource = web::resource(self.path).app_data(self.facts);
        let resource = self.routes.into_iter().fold(resource, Resource::route);
        resource.default_service(web::to(async move |call: Call| {
            call.reply(Err(Problem::MethodNotAllowed(allow)))
        }))
    }
}

/// Registers every route.
pub fn configure(config: &mut ServiceConfig) {
    config.app_data(oauth::metadata::Kept::default());
    for row in gateway_rows().into_iter().chain(oauth_rows()) {
        config.service(row.resource());
    }
    // Static prefixes shield their dynamic rows from every other path.
    let v1 = v1_rows()
        .into_iter()
        .fold(web::scope("/modelmanagement/v1.0"), |scope, row| scope.service(row.resource()));
    config.service(v1.default_service(web::to(no_route)));
    let arm = arm_rows().into_iter().chain(rbac_rows("/{scope:.+}/providers/Microsoft.Authorization"));
    let arm = arm.fold(web::scope("/subscriptions"), |scope, row| scope.service(row.resource()));
    config.service(arm.default_service(web::to(no_route)));
    for row in metadata_rows()
        .into_iter()
        .chain(rbac_rows("/providers/Microsoft.Authorization"))
        .chain(principal_rows())
    {
        config.service(row.resource());
    }
    config.default_service(web::to(no_route));
}

async fn no_route(request: HttpRequest, core: Data<Core>) -> HttpResponse {
    use actix_web::HttpMessage as _;
    let context = request.extensions_mut().remove::<RequestContext>();
    let request_id = context.map(|context| context.request_id).unwrap_or_default();
    let occasion = Occasion { request_id: &request_id, trace_id: None, now: core.clock.now(), basic: false };
    Problem::NoRoute.response(dialect_of(request.path()), &occasion)
}

fn gateway_rows() -> Vec<Row> {
    let row = |path| Row::new(path, "any method", Dialect::Gateway, Endpoint::Gateway);
    vec![
        row(gateway::authorize::PATH).any(gateway::authorize::check),
        row("/authorize/{tail:.*}").any(gateway::authorize::check),
    ]
}

fn oauth_rows() -> Vec<Row> {
    let row = |path, allow| Row::new(path, allow, Dialect::OAuth, Endpoint::OAuth);
    vec![
        row("/oauth2/token", "POST").open(Method::POST, oauth::token::token),
        Row::new("/.well-known/jwks.json", "GET, HEAD", Dialect::Problem, Endpoint::OAuth)
            .open(Method::GET, oauth::jwks::union)
            .open(Method::HEAD, oauth::jwks::union),
        row("/oauth2/introspect", "POST").open(Method::POST, oauth::token_state::introspect),
        row("/oauth2/revoke", "POST").open(Method::POST, oauth::token_state::revoke),
        row("/{tenant}/oauth2/v2.0/token", "POST").open(Method::POST, oauth::token::token),
        row("/{tenant}/oauth2/token", "POST").open(Method::POST, oauth::token::token),
    ]
}

const WORKSPACE: &str = "/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}";

fn v1_rows() -> Vec<Row> {
    use action::{KEYS_LIST, KEYS_REGENERATE, WEBSERVICE_DELETE, WEBSERVICE_READ, WEBSERVICE_WRITE};
    use modelmanagement_v1::{keys, operations, patch, services, token};
    let path = |rest: &str| -> &'static str { format!("/subscriptions{WORKSPACE}{rest}").leak() };
    let row = |rest, allow| Row::new(path(rest), allow, Dialect::V1, Endpoint::Api);
    vec![
        Row::new(path("/services/{name}/token"), "POST", Dialect::V1, Endpoint::V1)
            .open(Method::POST, token::token),
        row("/services/{name}/listKeys", "POST").on(Method::POST, KEYS_LIST, WEBSERVICE_READ, keys::list),
        row("/services/{name}/regenerateKeys", "POST").on(
            Method::POST,
            KEYS_REGENERATE,
            WEBSERVICE_READ,
            keys::regenerate,
        ),
        row("/services", "GET").on(Method::GET, WEBSERVICE_READ, WEBSERVICE_READ, services::list),
        row("/services/{name}", "DELETE, GET, PATCH")
            .on(Method::GET, WEBSERVICE_READ, WEBSERVICE_READ, services::get)
            .on(Method::PATCH, WEBSERVICE_WRITE, WEBSERVICE_READ, patch::patch)
            .on(Method::DELETE, WEBSERVICE_DELETE, WEBSERVICE_READ, services::delete),
        row("/operations/{id}", "GET").on(Method::GET, WEBSERVICE_READ, WEBSERVICE_READ, operations::get),
    ]
}

fn arm_rows() -> Vec<Row> {
    use action::{
        KEYS_LIST, KEYS_REGENERATE, WEBSERVICE_DELETE, WEBSERVICE_READ, WEBSERVICE_WRITE, WORKSPACE_DELETE,
        WORKSPACE_READ, WORKSPACE_WRITE,
    };
    let row = |path: String, allow| Row::new(path.leak(), allow, Dialect::V2, Endpoint::Api);
    let token = format!("{WORKSPACE}/onlineEndpoints/{{name}}/token");
    let workspaces = "/providers/Microsoft.MachineLearningServices/workspaces";
    vec![
        Row::new(token.leak(), "POST", Dialect::V2, Endpoint::V2).open(Method::POST, arm_v2::token::token),
        row(format!("{WORKSPACE}/onlineEndpoints"), "GET").on(
            Method::GET,
            WEBSERVICE_READ,
            WEBSERVICE_READ,
            arm_v2::endpoints::list,
        ),
        row(format!("{WORKSPACE}/onlineEndpoints/{{name}}"), "DELETE, GET, PUT")
            .on(Method::GET, WEBSERVICE_READ, WEBSERVICE_READ, arm_v2::endpoints::get)
            .on(Method::PUT, WEBSERVICE_WRITE, WEBSERVICE_READ, arm_v2::endpoints::put)
            .on(Method::DELETE, WEBSERVICE_DELETE, WEBSERVICE_READ, arm_v2::endpoints::delete),
        row(format!("{WORKSPACE}/onlineEndpoints/{{name}}/listKeys"), "POST").on(
            Method::POST,
            KEYS_LIST,
            WEBSERVICE_READ,
            arm_v2::keys::list,
        ),
        row(format!("{WORKSPACE}/onlineEndpoints/{{name}}/regenerateKeys"), "POST").on(
            Method::POST,
            KEYS_REGENERATE,
            WEBSERVICE_READ,
            arm_v2::keys::regenerate,
        ),
        row(format!("{WORKSPACE}/onlineEndpoints/{{name}}/operations/{{id}}"), "GET").on(
            Method::GET,
            WEBSERVICE_READ,
            WEBSERVICE_READ,
            arm_v2::keys::operation,
        ),
        row(format!("{WORKSPACE}/onlineEndpoints/{{name}}/operationResults/{{id}}"), "GET").on(
            Method::GET,
            WEBSERVICE_READ,
            WEBSERVICE_READ,
            arm_v2::keys::operation_result,
        ),
        row(format!("{WORKSPACE}/onlineEndpoints/{{name}}/deployments"), "GET").on(
            Method::GET,
            WEBSERVICE_READ,
            WEBSERVICE_READ,
            arm_v2::endpoints::deployments,
        ),
        row(String::new(), "GET").open(Method::GET, arm_v2::subscriptions::list),
        row(WORKSPACE.to_owned(), "DELETE, GET, PUT")
            .on(Method::GET, WORKSPACE_READ, WORKSPACE_READ, arm_v2::workspaces::get)
            .on(Method::PUT, WORKSPACE_WRITE, WORKSPACE_READ, arm_v2::workspaces::put)
            .on(Method::DELETE, WORKSPACE_DELETE, WORKSPACE_READ, arm_v2::workspaces::delete),
        row(format!("/{{subscription}}/resourceGroups/{{group}}{workspaces}"), "GET").on(
            Method::GET,
            WORKSPACE_READ,
            WORKSPACE_READ,
            arm_v2::workspaces::list,
        ),
        row(format!("/{{subscription}}{workspaces}"), "GET").on(
            Method::GET,
            WORKSPACE_READ,
            WORKSPACE_READ,
            arm_v2::workspaces::list,
        ),
    ]
}

fn rbac_rows(prefix: &str) -> Vec<Row> {
    use action::{
        ROLE_ASSIGNMENT_DELETE, ROLE_ASSIGNMENT_READ, ROLE_ASSIGNMENT_WRITE, ROLE_DEFINITION_DELETE,
        ROLE_DEFINITION_READ, ROLE_DEFINITION_WRITE,
    };
    let row =
        |path: &str, allow| Row::new(format!("{prefix}{path}").leak(), allow, Dialect::V2, Endpoint::Api);
    vec![
        row("/roleAssignments", "GET").on(
            Method::GET,
            ROLE_ASSIGNMENT_READ,
            ROLE_ASSIGNMENT_READ,
            rbac::assignments::list,
        ),
        row("/roleAssignments/{id}", "DELETE, GET, PUT")
            .on(Method::GET, ROLE_ASSIGNMENT_READ, ROLE_ASSIGNMENT_READ, rbac::assignments::get)
            .on(Method::PUT, ROLE_ASSIGNMENT_WRITE, ROLE_ASSIGNMENT_READ, rbac::assignments::put)
            .on(Method::DELETE, ROLE_ASSIGNMENT_DELETE, ROLE_ASSIGNMENT_READ, rbac::assignments::delete),
        row("/roleDefinitions", "GET").on(
            Method::GET,
            ROLE_DEFINITION_READ,
            ROLE_DEFINITION_READ,
            rbac::definitions::list,
        ),
        row("/roleDefinitions/{id}", "DELETE, GET, PUT")
            .on(Method::GET, ROLE_DEFINITION_READ, ROLE_DEFINITION_READ, rbac::definitions::get)
            .on(Method::PUT, ROLE_DEFINITION_WRITE, ROLE_DEFINITION_READ, rbac::definitions::put)
            .on(Method::DELETE, ROLE_DEFINITION_DELETE, ROLE_DEFINITION_READ, rbac::definitions::delete),
    ]
}

fn principal_rows() -> Vec<Row> {
    use action::{PRINCIPAL_CREDENTIALS, PRINCIPAL_DELETE, PRINCIPAL_READ, PRINCIPAL_WRITE};
    let row = |path, allow| Row::new(path, allow, Dialect::Problem, Endpoint::Api);
    vec![
        row("/v1.0/servicePrincipals", "GET, POST")
            .on(Method::GET, PRINCIPAL_READ, PRINCIPAL_READ, rbac::principals::list)
            .on(Method::POST, PRINCIPAL_WRITE, PRINCIPAL_READ, rbac::principals::create),
        row("/v1.0/servicePrincipals/{id}", "DELETE, GET, PATCH")
            .on(Method::GET, PRINCIPAL_READ, PRINCIPAL_READ, rbac::principals::get)
            .on(Method::PATCH, PRINCIPAL_WRITE, PRINCIPAL_READ, rbac::principals::update)
            .on(Method::DELETE, PRINCIPAL_DELETE, PRINCIPAL_READ, rbac::principals::delete),
        row("/v1.0/servicePrincipals/{id}/addPassword", "POST").on(
            Method::POST,
            PRINCIPAL_CREDENTIALS,
            PRINCIPAL_READ,
            rbac::passwords::add,
        ),
        row("/v1.0/servicePrincipals/{id}/removePassword", "POST").on(
            Method::POST,
            PRINCIPAL_CREDENTIALS,
            PRINCIPAL_READ,
            rbac::passwords::remove,
        ),
        row("/v1.0/servicePrincipals/{id}/keyCredentials", "GET, POST")
            .on(Method::GET, PRINCIPAL_READ, PRINCIPAL_READ, rbac::credentials::certificates)
            .on(Method::POST, PRINCIPAL_CREDENTIALS, PRINCIPAL_READ, rbac::credentials::add_certificate),
        row("/v1.0/servicePrincipals/{id}/keyCredentials/{credential}", "DELETE").on(
            Method::DELETE,
            PRINCIPAL_CREDENTIALS,
            PRINCIPAL_READ,
            rbac::credentials::remove_certificate,
        ),
        row("/v1.0/servicePrincipals/{id}/federatedIdentityCredentials", "GET, POST")
            .on(Method::GET, PRINCIPAL_READ, PRINCIPAL_READ, rbac::credentials::federated)
            .on(Method::POST, PRINCIPAL_CREDENTIALS, PRINCIPAL_READ, rbac::credentials::add_federated),
        row("/v1.0/servicePrincipals/{id}/federatedIdentityCredentials/{credential}", "DELETE").on(
            Method::DELETE,
            PRINCIPAL_CREDENTIALS,
            PRINCIPAL_READ,
            rbac::credentials::remove_federated,
        ),
    ]
}

fn metadata_rows() -> Vec<Row> {
    let row = |path| Row::new(path, "GET, HEAD", Dialect::Problem, Endpoint::OAuth);
    let document = |path| {
        row(path).open(Method::GET, oauth::metadata::document).open(Method::HEAD, oauth::metadata::document)
    };
    vec![
        document("/.well-known/openid-configuration"),
        document("/.well-known/oauth-authorization-server"),
        document("/{tenant}/v2.0/.well-known/openid-configuration"),
        document("/.well-known/oauth-authorization-server/{tenant}/v2.0"),
        row("/revocations")
            .open(Method::GET, oauth::token_state::feed)
            .open(Method::HEAD, oauth::token_state::feed),
        row("/regions").open(Method::GET, regions::list).open(Method::HEAD, regions::list),
        row("/regions/{region}/jwks.json")
            .open(Method::GET, oauth::jwks::of_region)
            .open(Method::HEAD, oauth::jwks::of_region),
        row("/{tenant}/discovery/v2.0/keys")
            .open(Method::GET, oauth::jwks::of_tenant)
            .open(Method::HEAD, oauth::jwks::of_tenant),
        // MSAL knows these two forms of an authority as ones that it need not look up in the cloud.
        document("/adfs/{tenant}/.well-known/openid-configuration"),
        document("/{tenant}/{policy:b2c_[^/]+}/v2.0/.well-known/openid-configuration"),
        row("/discovery")
            .open(Method::GET, oauth::metadata::services)
            .open(Method::HEAD, oauth::metadata::services),
        row("/metadata/endpoints")
            .open(Method::GET, oauth::metadata::cloud)
            .open(Method::HEAD, oauth::metadata::cloud),
    ]
}
