//! Why a caller was refused. The audit row holds the exact reason; what the caller is told is decided by
//! `http/problem.rs`, which gives several of these the same words on purpose.

use super::credential_method::CredentialMethod;
use super::webservice::AuthMode;

/// A refusal of the caller's credentials, of the target, or of the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    // Credentials. The caller can't tell these apart.
    UnknownClient,
    MalformedSecret,
    WrongSecret,
    SecretExpired,
    PrincipalDisabled,
    WrongTenant,
    /// Proven, by a way that the principal is not held to.
    MethodNotAllowed(CredentialMethod),
    // Assertions. Without a right signature the caller learns nothing of the principal either.
    MalformedAssertion(&'static str),
    AssertionOfUnknownClient,
    FederationOfUnknownClient,
    UnknownCertificate,
    WrongSignature,
    CertificateExpired,
    AssertionTime,
    AssertionAudience,
    /// It was shown before, and is taken once.
    AssertionUsed,
    /// No federated credential has this issuer, subject and audience.
    NoFederatedCredential,
    /// A federated credential matches, but the configuration does not name its issuer.
    UntrustedIssuer,
    UnknownIssuerKey,
    /// The issuer's key did not make it. Apart from `WrongSignature`: an unknown client that shows another issuer's token
    /// gets the words of this one.
    WrongIssuerSignature,
    // Bearer tokens on the API routes.
    MissingToken,
    InvalidToken,
    TokenExpired,
    /// It was called back.
    TokenRevoked,
    /// It is another principal's, and not this one's to call back.
    NotYourToken,
    // A gateway's question.
    /// Neither key of the webservice.
    WrongAccessKey,
    /// A live token of this service, for something else.
    WrongAudience,
    /// Nothing in the request names a webservice, or not in a form that can be read.
    WebserviceNotNamed,
    /// Two places of the request name two.
    WebserviceNamedTwice,
    /// Apart from `NoSuchWebservice`: who shows no live token gets the words of a wrong credential.
    UnprovenAtUnknownWebservice,
    // The target. The first two give the same answer.
    NoSuchWebservice,
    NoRole,
    NotTokenAuth(AuthMode),
    NotKeyAuth(AuthMode),
    /// Another region issues for the workspace.
    Misdirected,
    /// The lifetime asked for is under the least that a caller may ask for.
    LifetimeTooShort,
}

impl Denial {
    /// Stable word for audit rows and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownClient => "unknown_client",
            Self::MalformedSecret => "malformed_secret",
            Self::WrongSecret => "wrong_secret",
            Self::SecretExpired => "secret_expired",
            Self::PrincipalDisabled => "principal_disabled",
            Self::WrongTenant => "wrong_tenant",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::MalformedAssertion(_) => "malformed_assertion",
            Self::AssertionOfUnknownClient | Self::FederationOfUnknownClient => "unknown_client",
            Self::UnknownCertificate => "unknown_certificate",
            Self::WrongSignature | Self::WrongIssuerSignature => "wrong_signature",
            Self::CertificateExpired => "certificate_expired",
            Self::AssertionTime => "assertion_time",
            Self::AssertionAudience => "assertion_audience",
            Self::AssertionUsed => "assertion_used",
            Self::NoFederatedCredential => "no_federated_credential",
            Self::UntrustedIssuer => "untrusted_issuer",
            Self::UnknownIssuerKey => "unknown_issuer_key",
            Self::MissingToken => "missing_token",
            Self::InvalidToken => "invalid_token",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::NotYourToken => "not_your_token",
            Self::WrongAccessKey => "wrong_access_key",
            Self::WrongAudience => "wrong_audience",
            Self::WebserviceNotNamed => "webservice_not_named",
            Self::WebserviceNamedTwice => "webservice_named_twice",
            Self::NoSuchWebservice | Self::UnprovenAtUnknownWebservice => "no_such_webservice",
            Self::NoRole => "no_role",
            Self::NotTokenAuth(_) => "not_token_auth",
            Self::NotKeyAuth(_) => "not_key_auth",
            Self::Misdirected => "misdirected",
            Self::LifetimeTooShort => "lifetime_too_short",
        }
    }

    /// Whether the caller failed to prove who it is (as opposed to what it may do).
    pub const fn is_of_credentials(self) -> bool {
        !matches!(
            self,
            Self::NoSuchWebservice
                | Self::NoRole
                | Self::NotYourToken
                | Self::NotTokenAuth(_)
                | Self::NotKeyAuth(_)
                | Self::Misdirected
                | Self::LifetimeTooShort
        )
    }
}
