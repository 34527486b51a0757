//! The form of a token request, taken strictly: no known parameter twice (RFC 6749, section 3.2), credentials in one
//! place (section 2.3), unknown parameters ignored.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::issuance::Policy;
use crate::domain::resource::WebserviceId;
use crate::http::problem::Problem;
use crate::services::client_assertion::MAX_ASSERTION_BYTES;
use crate::services::issue_token::RequestedTarget;

/// The parameters that are looked at.
#[derive(Default)]
pub struct TokenForm<'a> {
    pub grant_type: Option<Cow<'a, str>>,
    pub client_id: Option<Cow<'a, str>>,
    pub client_secret: Option<Cow<'a, str>>,
    pub client_assertion: Option<Cow<'a, str>>,
    pub client_assertion_type: Option<Cow<'a, str>>,
    pub scope: Option<Cow<'a, str>>,
    pub resource: Option<Cow<'a, str>>,
    pub token_lifetime_seconds: Option<Cow<'a, str>>,
    /// Of a revocation or an introspection alone.
    pub token: Option<Cow<'a, str>>,
    // Of a token exchange alone.
    pub subject_token: Option<Cow<'a, str>>,
    pub subject_token_type: Option<Cow<'a, str>>,
    pub requested_token_type: Option<Cow<'a, str>>,
    pub audience: Option<Cow<'a, str>>,
    pub actor_token: Option<Cow<'a, str>>,
    pub actor_token_type: Option<Cow<'a, str>>,
}

/// Longest value of any other parameter, in bytes.
const MAX_VALUE_BYTES: usize = 4096;

/// What a client proves itself with.
pub enum ClientProof<'a> {
    Secret { client_id: Cow<'a, str>, secret: Cow<'a, str> },
    Assertion { client_id: Option<Cow<'a, str>>, assertion: Cow<'a, str> },
}

/// RFC 7523, section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl<'a> TokenForm<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        if std::str::from_utf8(body).is_err() {
            return Err(parameter("body", "not UTF-8"));
        }
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let (name, place) = match name.as_ref() {
                "grant_type" => ("grant_type", &mut form.grant_type),
                "client_id" => ("client_id", &mut form.client_id),
                "client_secret" => ("client_secret", &mut form.client_secret),
                "client_assertion" => ("client_assertion", &mut form.client_assertion),
                "client_assertion_type" => ("client_assertion_type", &mut form.client_assertion_type),
                "scope" => ("scope", &mut form.scope),
                "resource" => ("resource", &mut form.resource),
                "token_lifetime_seconds" => ("token_lifetime_seconds", &mut form.token_lifetime_seconds),
                "token" => ("token", &mut form.token),
                "subject_token" => ("subject_token", &mut form.subject_token),
                "subject_token_type" => ("subject_token_type", &mut form.subject_token_type),
                "requested_token_type" => ("requested_token_type", &mut form.requested_token_type),
                "audience" => ("audience", &mut form.audience),
                "actor_token" => ("actor_token", &mut form.actor_token),
                "actor_token_type" => ("actor_token_type", &mut form.actor_token_type),
                _ => continue,
            };
            let most = match name {
                "client_assertion" | "subject_token" | "token" => MAX_ASSERTION_BYTES,
                _ => MAX_VALUE_BYTES,
            };
            if value.len() > most {
                return Err(parameter(name, format!("longer than {most} bytes")));
            }
            // A parameter without a value counts as omitted (RFC 6749, section 3.1), but still as one occurrence.
            if place.replace(value).is_some() {
                return Err(parameter(name, "sent more than once"));
            }
        }
        Ok(form)
    }

    /// How the client proves itself: by one method (RFC 6749, section 2.3).
    pub fn client(&mut self, authorization: Option<&str>) -> Result<ClientProof<'a>, Problem> {
        let of_type = present(self.client_assertion_type.take());
        let Some(assertion) = present(self.client_assertion.take()) else {
            let (client_id, secret) = self.id_and_secret(authorization)?;
            return Ok(ClientProof::Secret { client_id, secret });
        };
        if authorization.is_some() || present(self.client_secret.take()).is_some() {
            return Err(parameter("client_assertion", "sent beside a client secret: use one of them"));
        }
        if of_type.as_deref() != Some(JWT_BEARER) {
            return Err(parameter("client_assertion_type", format!("must be {JWT_BEARER}")));
        }
        Ok(ClientProof::Assertion { client_id: present(self.client_id.take()), assertion })
    }

    /// From the form or from HTTP Basic.
    fn id_and_secret(
        &mut self,
        authorization: Option<&str>,
    ) -> Result<(Cow<'a, str>, Cow<'a, str>), Problem> {
        let in_form = (present(self.client_id.take()), present(self.client_secret.take()));
        let Some(authorization) = authorization else {
            return match in_form {
                (Some(id), Some(secret)) => Ok((id, secret)),
                (None, _) => Err(parameter("client_id", "missing")),
                (_, None) => Err(parameter("client_secret", "missing, and so is client_assertion")),
            };
        };
        let (id, secret) = basic(authorization).ok_or_else(|| {
            parameter(
                "Authorization",
                "not HTTP Basic of a form-encoded client id and secret (RFC 6749, section 2.3.1)",
            )
        })?;
        match in_form {
            (_, Some(_)) => {
                Err(parameter("client_secret", "sent in the form and by HTTP Basic: use one of them"))
            }
            (Some(other), None) if other != id.as_str() => {
                Err(parameter("client_id", "not the one of HTTP Basic"))
            }
            _ => Ok((Cow::Owned(id), Cow::Owned(secret))),
        }
    }

    /// Seconds to which the life is to be shortened.
    pub fn lifetime(&self) -> Result<Option<u32>, Problem> {
        let text = self.token_lifetime_seconds.as_deref().filter(|text| !text.is_empty());
        text.map(|text| {
            text.parse().map_err(|_| parameter("token_lifetime_seconds", "not a number of seconds"))
        })
        .transpose()
    }

    /// What the token is to open: `resource` (RFC 8707), or a scope of the form `{audience}/.default`.
    pub fn target(&self, policy: &Policy, management: &[String]) -> Result<RequestedTarget, Problem> {
        let resource = self.resource.as_deref().filter(|text| !text.is_empty());
        let scope = self.scope.as_deref().filter(|text| !text.is_empty());
        match (resource, scope) {
            (None, None) => {
                Err(parameter("resource", "missing: send `resource` or `scope={audience}/.default`"))
            }
            (Some(resource), None | Some("score")) => {
                target("resource", resource, policy, management).map_err(Problem::InvalidTarget)
            }
            (Some(_), Some(_)) => {
                Err(Problem::InvalidScope("`scope` beside `resource` can only be `score`".to_owned()))
            }
            (None, Some(scope)) => {
                let audience = scope.strip_suffix("/.default").ok_or_else(|| {
                    Problem::InvalidScope("`scope` must be one audience followed by `/.default`".to_owned())
                })?;
                target("scope", audience, policy, management).map_err(Problem::InvalidScope)
            }
        }
    }
}

/// `name` is the parameter that holds the audience.
fn target(
    name: &str,
    audience: &str,
    policy: &Policy,
    management: &[String],
) -> Result<RequestedTarget, String> {
    let trimmed = audience.trim_end_matches('/');
    let behind = policy.behind_base(audience);
    if management.iter().any(|known| known == trimmed)
        || behind.is_some_and(|id| id.trim_matches('/').is_empty())
    {
        return Ok(RequestedTarget::Management);
    }
    let issuer = &policy.issuer;
    let Some(id) = behind else {
        return Err(format!(
            "`{name}`: the audience must be `{issuer}`, for a management token, or `{issuer}` followed by the ARM id of a webservice"
        ));
    };
    WebserviceId::parse(id).map(RequestedTarget::Webservice).map_err(|error| format!("`{name}`: {error}"))
}

pub(super) fn present(value: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    value.filter(|value| !value.is_empty())
}

pub(super) fn parameter(name: &'static str, what: impl Into<String>) -> Problem {
    Problem::Parameter { name, what: what.into() }
}

/// Client id and secret of HTTP Basic, each form-encoded (RFC 6749, section 2.3.1).
fn basic(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let decode = |text: &str| {
        // A lone value parses as a name; `=` and `&` must come escaped.
        let mut pairs = form_urlencoded::parse(text.as_bytes());
        let (name, value) = pairs.next()?;
        (pairs.next().is_none() && value.is_empty()).then(|| name.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::lifetime::TokenLifetime;
    use crate::domain::region::{Region, RegionAddress, Regions};

    const ISSUER: &str = "https://sts.example";
    const WS: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/demo/services/scorer";

    fn target_of(body: &str) -> Result<RequestedTarget, Problem> {
        let region = Region::parse("west").expect("a region's name");
        let url = Some("https://west.sts.example".to_owned());
        let policy = Policy {
            issuer: ISSUER.to_owned(),
            region: region.clone(),
            regions: Regions::new(vec![RegionAddress { name: region, url }]),
            default_lifetime: TokenLifetime::DEFAULT,
            gateway_leeway: chrono::Duration::seconds(60),
        };
        TokenForm::parse(body.as_bytes())?.target(&policy, &["https://management.azure.com".to_owned()])
    }

    #[test]
    fn audiences() {
        for management in [
            "scope=https://sts.example/.default",
            "scope=https://sts.example//.default",
            "resource=https://management.azure.com/",
            "resource=https://west.sts.example",
        ] {
            assert!(matches!(target_of(management), Ok(RequestedTarget::Management)), "{management}");
        }
        for webservice in [
            format!("resource={ISSUER}{WS}"),
            format!("scope={ISSUER}{WS}/.default"),
            format!("resource=https://west.sts.example{WS}"),
        ] {
            assert!(matches!(target_of(&webservice), Ok(RequestedTarget::Webservice(_))), "{webservice}");
        }
        assert!(matches!(target_of("scope=openid"), Err(Problem::InvalidScope(_))));
        assert!(matches!(target_of("resource=https://evil.example"), Err(Problem::InvalidTarget(_))));
        assert!(matches!(target_of(&format!("resource={ISSUER}.evil{WS}")), Err(Problem::InvalidTarget(_))));
        assert!(matches!(target_of("scope="), Err(Problem::Parameter { name: "resource", .. })));
    }

    #[test]
    fn a_wrong_audience_is_told_with_the_parameter_that_holds_it() {
        for wrong in ["https://evil.example".to_owned(), format!("{ISSUER}/nothing")] {
            let of_resource = target_of(&format!("resource={wrong}"));
            assert!(
                matches!(of_resource, Err(Problem::InvalidTarget(what)) if what.starts_with("`resource`: "))
            );
            let of_scope = target_of(&format!("scope={wrong}/.default"));
            assert!(matches!(of_scope, Err(Problem::InvalidScope(what)) if what.starts_with("`scope`: ")));
        }
    }

    #[test]
    fn an_assertion_comes_alone_and_with_its_type() {
        const TYPE: &str =
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let proof = |body: &str, header: Option<&str>| -> Result<String, Problem> {
            match TokenForm::parse(body.as_bytes())?.client(header)? {
                ClientProof::Assertion { client_id, assertion } => Ok(format!("{client_id:?} {assertion}")),
                ClientProof::Secret { .. } => Ok("secret".to_owned()),
            }
        };
        assert_eq!(
            proof(&format!("client_assertion=a.b.c&{TYPE}"), None).ok().as_deref(),
            Some("None a.b.c")
        );
        assert!(proof(&format!("client_id=i&client_assertion=a&{TYPE}"), None).is_ok());
        for (body, header) in [
            ("client_assertion=a.b.c".to_owned(), None),
            ("client_assertion=a.b.c&client_assertion_type=saml".to_owned(), None),
            (format!("client_assertion=a&client_id=i&client_secret=s&{TYPE}"), None),
            (format!("client_assertion=a&{TYPE}"), Some("Basic aTpz")),
            (format!("client_assertion=a&client_assertion=b&{TYPE}"), None),
            (format!("client_assertion={}&{TYPE}", "a".repeat(MAX_ASSERTION_BYTES + 1)), None),
        ] {
            assert!(matches!(proof(&body, header), Err(Problem::Parameter { .. })), "{body:.80}");
        }
    }

    #[test]
    fn a_parameter_comes_once_and_credentials_from_one_place() {
        assert!(matches!(
            TokenForm::parse(b"scope=a&scope=b"),
            Err(Problem::Parameter { name: "scope", .. })
        ));
        assert!(TokenForm::parse(b"foo=a&foo=b").is_ok());
        let header = format!("Basic {}", STANDARD.encode("id:se%2Bcret"));
        let client =
            |body: &'static [u8], header: Option<&str>| TokenForm::parse(body)?.id_and_secret(header);
        assert!(
            matches!(client(b"client_id=id&client_secret=x", None), Ok((id, secret)) if id == "id" && secret == "x")
        );
        assert!(matches!(client(b"", Some(&header)), Ok((id, secret)) if id == "id" && secret == "se+cret"));
        assert!(client(b"client_id=id", Some(&header)).is_ok());
        assert!(client(b"client_id=other", Some(&header)).is_err());
        assert!(client(b"client_secret=x", Some(&header)).is_err());
        assert!(client(b"client_id=id", None).is_err());
        assert!(client(b"", Some("Basic !!!")).is_err());
        assert!(client(b"", Some("Bearer x")).is_err());
    }
}
