//! The blocking HTTPS client of the commands: one deadline, an optional CA, no redirects.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Failure;

/// From the first byte to the last.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;

/// An agent that trusts the public CAs, or only the ones in a PEM file.
pub fn agent(ca: Option<&Path>) -> Result<ureq::Agent, Failure> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = ca {
        let certificates = rustls::pki_types::CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        let roots: Vec<Certificate<'static>> =
            certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        tls = tls.root_certs(RootCerts::new_with_certs(&roots));
    }
    let config = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(DEADLINE))
        .max_redirects(0)
        .http_status_as_error(false)
        .build();
    Ok(config.into())
}

/// Status and text of an answer.
pub fn text(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    url: &str,
) -> Result<(u16, String), Failure> {
    let mut answer = answer.map_err(|error| Failure(format!("{url}: {error}")))?;
    let status = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER_BYTES)
        .read_to_string()
        .map_err(|error| Failure(format!("{url}: {error}")))?;
    Ok((status, text))
}
