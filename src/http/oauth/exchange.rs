//! The form of a token exchange (RFC 8693, section 2.1): a token of a trusted issuer, straight for one of this service.
//!
//! The token proves the principal just as it does as a client assertion; what differs is how it is sent.

use std::borrow::Cow;

use super::form::{TokenForm, parameter, present};
use crate::http::problem::Problem;
use crate::services::client_assertion::SentAs;

pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What is exchanged, and for what kind of token.
pub struct Exchange<'a> {
    pub client_id: Cow<'a, str>,
    pub subject_token: Cow<'a, str>,
    pub sent_as: SentAs,
    pub issued_token_type: &'static str,
}

impl<'a> Exchange<'a> {
    /// Takes what belongs to an exchange out of the form. `audience` becomes its `resource`.
    pub fn of(form: &mut TokenForm<'a>, authorization: Option<&str>) -> Result<Self, Problem> {
        // One method a request (RFC 6749, section 2.3), and here it is the subject token.
        for (name, is_sent) in [
            ("Authorization", authorization.is_some()),
            ("client_secret", present(form.client_secret.take()).is_some()),
            ("client_assertion", present(form.client_assertion.take()).is_some()),
        ] {
            if is_sent {
                return Err(parameter(
                    name,
                    "sent beside a subject token, which proves the client: use one of them",
                ));
            }
        }
        for (name, sent) in [("actor_token", &form.actor_token), ("actor_token_type", &form.actor_token_type)]
        {
            if sent.as_deref().is_some_and(|sent| !sent.is_empty()) {
                return Err(parameter(name, "nobody acts for another one here"));
            }
        }
        let sent_as = match present(form.subject_token_type.take()).as_deref() {
            Some(JWT | ID_TOKEN) => SentAs::SubjectToken,
            Some(ACCESS_TOKEN) => SentAs::SubjectAccessToken,
            None => return Err(parameter("subject_token_type", "missing")),
            Some(_) => {
                return Err(parameter(
                    "subject_token_type",
                    format!("must be {JWT}, {ID_TOKEN} or {ACCESS_TOKEN}"),
                ));
            }
        };
        let issued_token_type = match present(form.requested_token_type.take()).as_deref() {
            None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
            Some(JWT) => JWT,
            Some(_) => {
                return Err(parameter("requested_token_type", format!("must be {ACCESS_TOKEN} or {JWT}")));
            }
        };
        if let Some(audience) = present(form.audience.take()) {
            let both = form.resource.replace(audience).is_some_and(|resource| !resource.is_empty());
            if both {
                return Err(Problem::InvalidTarget(
                    "`audience` beside `resource`: name the one target by one of them".to_owned(),
                ));
            }
        }
        let missing = |name| move || parameter(name, "missing");
        Ok(Self {
            // The same token may be trusted by several principals.
            client_id: present(form.client_id.take()).ok_or_else(missing("client_id"))?,
            subject_token: present(form.subject_token.take()).ok_or_else(missing("subject_token"))?,
            sent_as,
            issued_token_type,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "subject_token=a.b.c&client_id=i";
    const TYPE: &str = "subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3A";

    fn exchange(body: &str) -> Result<(SentAs, &'static str, Option<String>), Problem> {
        let mut form = TokenForm::parse(body.as_bytes())?;
        let exchange = Exchange::of(&mut form, None)?;
        Ok((exchange.sent_as, exchange.issued_token_type, form.resource.map(Cow::into_owned)))
    }

    #[test]
    fn what_is_exchanged_says_how_it_is_read() {
        for (kind, sent_as) in [
            ("jwt", SentAs::SubjectToken),
            ("id_token", SentAs::SubjectToken),
            ("access_token", SentAs::SubjectAccessToken),
        ] {
            let read = exchange(&format!("{TOKEN}&{TYPE}{kind}&audience=b")).ok();
            assert_eq!(read, Some((sent_as, ACCESS_TOKEN, Some("b".to_owned()))));
        }
        let read =
            exchange(&format!("{TOKEN}&{TYPE}jwt&requested_token_type={JWT}&resource=r&audience=")).ok();
        assert_eq!(read, Some((SentAs::SubjectToken, JWT, Some("r".to_owned()))));
    }

    #[test]
    fn what_is_missing_doubled_or_more_than_an_exchange_is_named() {
        let jwt = format!("{TYPE}jwt");
        for (body, culprit) in [
            (format!("{TOKEN}&{jwt}&subject_token=d"), "subject_token"),
            (format!("{TOKEN}&{jwt}&{jwt}"), "subject_token_type"),
            (format!("{TOKEN}&{jwt}&audience=a&audience=b"), "audience"),
            (TOKEN.to_owned(), "subject_token_type"),
            (format!("{TOKEN}&{TYPE}saml2"), "subject_token_type"),
            (format!("{TOKEN}&{TYPE}JWT"), "subject_token_type"),
            (format!("subject_token=a.b.c&{jwt}"), "client_id"),
            (format!("subject_token=a.b.c&client_id=&{jwt}"), "client_id"),
            (format!("client_id=i&{jwt}"), "subject_token"),
            (format!("{TOKEN}&{jwt}&client_secret=s"), "client_secret"),
            (format!("{TOKEN}&{jwt}&client_assertion=s"), "client_assertion"),
            (format!("{TOKEN}&{jwt}&actor_token=s"), "actor_token"),
            (format!("{TOKEN}&{jwt}&actor_token_type={JWT}"), "actor_token_type"),
            (format!("{TOKEN}&{jwt}&requested_token_type={ID_TOKEN}"), "requested_token_type"),
            (format!("{TOKEN}&{jwt}&subject_token={}", "a".repeat(20_000)), "subject_token"),
        ] {
            let told = exchange(&body);
            assert!(matches!(told, Err(Problem::Parameter { name, .. }) if name == culprit), "{body:.120}");
        }
        let both = exchange(&format!("{TOKEN}&{jwt}&audience=a&resource=a"));
        assert!(matches!(both, Err(Problem::InvalidTarget(_))));
        let body = format!("{TOKEN}&{jwt}");
        let mut form = TokenForm::parse(body.as_bytes()).ok().unwrap_or_default();
        let basic = Exchange::of(&mut form, Some("Basic aTpz"));
        assert!(matches!(basic, Err(Problem::Parameter { name: "Authorization", .. })));
    }
}
