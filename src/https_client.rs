//! The one HTTPS client: a deadline, an optional CA, no redirects, no decompression, answers of bounded size. Blocking.

use std::path::Path;
use std::time::Duration;

use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;
// Not under semver: a later ureq may ask for another form, which then doesn't compile.
#[cfg(feature = "cli")]
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::DefaultConnector;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;

/// What went wrong, with the file or address it went wrong with.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct HttpsError {
    what: String,
    /// Nobody answered, or not to the end: the same request may succeed later. A server that is not believed is none.
    pub is_outage: bool,
    /// The deadline passed: with more time there might have been an answer.
    pub is_late: bool,
}

impl HttpsError {
    fn local(what: String) -> Self {
        Self { what, is_outage: false, is_late: false }
    }

    fn of(url: &str, error: &ureq::Error) -> Self {
        let is_outage = match error {
            // rustls hands up what it thinks of a certificate as invalid data.
            ureq::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
            ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
            _ => false,
        };
        let is_late = matches!(error, ureq::Error::Timeout(_));
        Self { what: format!("{url}: {error}"), is_outage, is_late }
    }
}

/// An agent that trusts the public CAs, or only the ones in a PEM file. The deadline counts from the name's resolution to
/// the last byte.
#[cfg(feature = "cli")]
pub fn agent(ca: Option<&Path>, deadline: Duration) -> Result<ureq::Agent, HttpsError> {
    let config = config(ca, deadline)?.build();
    Ok(ureq::Agent::with_parts(config, DefaultConnector::default(), DefaultResolver::default()))
}

/// Like [`agent`]; connects only to what `resolver` gives. It is not asked where a proxy that the environment names
/// resolves the name instead, which only happens when it `may_proxy`.
pub fn guarded_agent(
    ca: Option<&Path>,
    deadline: Duration,
    resolver: impl Resolver,
    may_proxy: bool,
) -> Result<ureq::Agent, HttpsError> {
    let mut config = config(ca, deadline)?;
    if !may_proxy {
        config = config.proxy(None);
    }
    Ok(ureq::Agent::with_parts(config.build(), DefaultConnector::default(), resolver))
}

fn config(ca: Option<&Path>, deadline: Duration) -> Result<ConfigBuilder<AgentScope>, HttpsError> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = ca {
        let fail = |error: &dyn std::fmt::Display| HttpsError::local(format!("{}: {error}", path.display()));
        let pem = std::fs::read(path).map_err(|error| fail(&error))?;
        let mut roots = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) = item.map_err(|error| fail(&error))? {
                roots.push(Certificate::from_der(certificate.der()).to_owned());
            }
        }
        if roots.is_empty() {
            return Err(fail(&"no certificate in it"));
        }
        tls = tls.root_certs(RootCerts::new_with_certs(&roots));
    }
    Ok(ureq::Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(deadline))
        .max_redirects(0)
        .http_status_as_error(false))
}

/// Status and text of an answer.
pub fn text(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    url: &str,
) -> Result<(u16, String), HttpsError> {
    let fail = |error: ureq::Error| HttpsError::of(url, &error);
    let mut answer = answer.map_err(fail)?;
    let status = answer.status().as_u16();
    if let Some(encoding) = answer.headers().get("content-encoding") {
        // Nobody asked for one (RFC 9110, section 12.5.3).
        return Err(HttpsError::local(format!("{url}: its answer is encoded, {encoding:?}")));
    }
    let text = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string().map_err(fail)?;
    Ok((status, text))
}
