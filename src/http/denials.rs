//! What a caller is told of a denial: the part of the table in `problem.rs` where several reasons get the same words on
//! purpose.

use actix_web::http::StatusCode;

use super::problem::{Dialect, INVALID_REQUEST, Row, row};
use crate::domain::credential_method::CredentialMethod;
use crate::domain::denial::Denial;
use crate::domain::region::RegionAddress;
use crate::domain::webservice::AuthMode;

pub fn row_of(denial: Denial, dialect: Dialect) -> Row {
    use StatusCode as S;
    match denial {
        _ if dialect == Dialect::Gateway => of_check(denial),
        // One answer for every fault of a credential: nobody learns which client ids exist.
        Denial::UnknownClient
        | Denial::MalformedSecret
        | Denial::WrongSecret
        | Denial::SecretExpired
        | Denial::WrongTenant => row(
            S::UNAUTHORIZED,
            "invalid-client",
            "InvalidClient",
            ("invalid_client", 7_000_215),
            "the client id is unknown in this tenant, its secret is wrong or expired, or it is disabled",
        ),
        Denial::MethodNotAllowed(method) => method_not_allowed(method),
        Denial::PrincipalDisabled if dialect == Dialect::OAuth => row_of(Denial::UnknownClient, dialect),
        Denial::MalformedAssertion(_)
        | Denial::AssertionOfUnknownClient
        | Denial::FederationOfUnknownClient
        | Denial::UnknownCertificate
        | Denial::WrongSignature
        | Denial::CertificateExpired
        | Denial::AssertionTime
        | Denial::AssertionAudience
        | Denial::AssertionUsed
        | Denial::NoFederatedCredential
        | Denial::UntrustedIssuer
        | Denial::UnknownIssuerKey
        | Denial::WrongIssuerSignature => of_assertion(denial),
        Denial::WrongAccessKey
        | Denial::WrongAudience
        | Denial::WebserviceNotNamed
        | Denial::WebserviceNamedTwice
        | Denial::UnprovenAtUnknownWebservice => of_check(denial),
        Denial::MissingToken => row(
            S::UNAUTHORIZED,
            "missing-token",
            "AuthenticationFailed",
            INVALID_REQUEST,
            "send a management token of this service as `Authorization: Bearer`",
        ),
        Denial::InvalidToken | Denial::TokenExpired | Denial::TokenRevoked | Denial::PrincipalDisabled => {
            row(
                S::UNAUTHORIZED,
                "invalid-token",
                "InvalidAuthenticationToken",
                ("invalid_client", 500_133),
                "the bearer token is not a live management token of this service; fetch a new one with scope {API}/.default",
            )
        }
        Denial::NoSuchWebservice | Denial::NoRole => row(
            if dialect == Dialect::OAuth { S::BAD_REQUEST } else { S::NOT_FOUND },
            "no-such-webservice",
            if dialect == Dialect::V1 { "ServiceNotFound" } else { "ResourceNotFound" },
            ("invalid_target", 500_011),
            "no such webservice, or this principal has no role (at least Reader) on its workspace",
        ),
        Denial::NotTokenAuth(mode) => mode_mismatch(mode, "there are no tokens for it"),
        Denial::NotKeyAuth(mode) => mode_mismatch(mode, "its keys are neither shown nor regenerated"),
        Denial::Misdirected => misdirected(&[]),
        Denial::NotYourToken => not_your_token(),
        Denial::LifetimeTooShort => row(
            S::BAD_REQUEST,
            "invalid-parameter",
            "InvalidParameter",
            INVALID_REQUEST,
            "`token_lifetime_seconds`: a requested lifetime is at least 60 seconds",
        ),
    }
}

/// Only who proved itself comes to this.
fn method_not_allowed(method: CredentialMethod) -> Row {
    let method = method.as_str();
    row(
        StatusCode::UNAUTHORIZED,
        "method-not-allowed-for-client",
        "InvalidClient",
        ("invalid_client", 53_003),
        format!(
            "this principal may not prove itself by `{method}`: its allowedCredentialMethods name other ways"
        ),
    )
}

/// Only who shows a live token of somebody else comes to this.
fn not_your_token() -> Row {
    row(
        StatusCode::BAD_REQUEST,
        "not-your-token",
        "AuthorizationFailed",
        ("unauthorized_client", 700_016),
        "the token is another principal's: its own client revokes it, or who may write its webservice",
    )
}

fn mode_mismatch(mode: AuthMode, what: &str) -> Row {
    row(
        StatusCode::BAD_REQUEST,
        "auth-mode-mismatch",
        "AuthModeMismatch",
        ("invalid_target", 500_011),
        format!("the webservice has auth mode `{mode}`: {what}"),
    )
}

/// Says where tokens for the workspace are issued, in words and as data (RFC 9110, section 15.5.20). Only who may have
/// the token comes to this.
pub fn misdirected(serving: &[RegionAddress]) -> Row {
    let named = serving.iter().map(|region| match &region.url {
        Some(url) => format!("`{}` ({url})", region.name),
        None => format!("`{}`", region.name),
    });
    let named: Vec<_> = named.collect();
    let text =
        format!("this region issues no tokens for the workspace; ask, in this order, {}", named.join(", "));
    let mut row = row(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected-request",
        "MisdirectedRequest",
        ("invalid_target", 500_011),
        text,
    );
    row.serving = serving.to_vec();
    row
}

/// What a gateway hears, and its caller with it: 401 to who has proven nothing, 403 to the others, and where the question
/// itself is wrong.
fn of_check(denial: Denial) -> Row {
    use StatusCode as S;
    let (status, slug, text) = match denial {
        Denial::MissingToken => (
            S::UNAUTHORIZED,
            "missing-token",
            "send one `Authorization: Bearer` with a token or an access key of the webservice",
        ),
        Denial::WebserviceNotNamed => (
            S::FORBIDDEN,
            "webservice-not-named",
            "the gateway names no webservice, or not as an ARM id: by the header X-Wsts-Webservice, by `?webservice=` or by the path",
        ),
        Denial::WebserviceNamedTwice => (
            S::FORBIDDEN,
            "webservice-named-twice",
            "the places of the request that name a webservice name more than one, or one of them comes twice",
        ),
        Denial::WrongAudience
        | Denial::NoRole
        | Denial::PrincipalDisabled
        | Denial::UnknownClient
        | Denial::NoSuchWebservice => (
            S::FORBIDDEN,
            "access-denied",
            "the token is for another webservice, or its principal may not open this one any more",
        ),
        // Whether the webservice exists, and what it asks for, is not told to who has proven nothing.
        _ => (S::UNAUTHORIZED, "invalid-token", "this is no live token and no access key of the webservice"),
    };
    row(status, slug, "AuthorizationFailed", INVALID_REQUEST, text)
}

/// Faults of an assertion. What comes before its signature says nothing of the principal; what comes after is said to
/// who holds its key.
fn of_assertion(denial: Denial) -> Row {
    let (code, text) = match denial {
        Denial::MalformedAssertion(what) => (50_027, format!("the assertion can't be taken: {what}")),
        Denial::CertificateExpired => {
            (1_000_502, "the certificate has expired or is not yet valid".to_owned())
        }
        Denial::AssertionTime => (
            700_024,
            "the assertion has expired or is not yet valid, or lives too long: check the clock and `exp`".to_owned(),
        ),
        Denial::AssertionAudience => (
            700_023,
            "the assertion's audience is neither this service's issuer nor the token endpoint that was called".to_owned(),
        ),
        Denial::AssertionUsed => (
            50_013,
            "the assertion was shown before, and each is taken once here: sign another one, with a jti of its own".to_owned(),
        ),
        // Here and below one answer for an unknown client too: nobody learns which client ids exist.
        Denial::NoFederatedCredential
        | Denial::UntrustedIssuer
        | Denial::FederationOfUnknownClient
        | Denial::UnknownIssuerKey
        | Denial::WrongIssuerSignature => (
            700_213,
            "the client id is unknown in this tenant, or no federated credential of it has the assertion's issuer, subject and audience, or no key of that issuer made it".to_owned(),
        ),
        _ => (
            700_027,
            "the client id is unknown in this tenant, or no certificate or key of it made this assertion".to_owned(),
        ),
    };
    row(StatusCode::UNAUTHORIZED, "invalid-client", "InvalidClient", ("invalid_client", code), text)
}
