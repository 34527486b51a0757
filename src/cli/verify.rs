//! `wsts verify` and `wsts healthcheck`: exit code 0 or 1, with the reason.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::DateTime;

use super::shell::printable;
use super::{DEADLINE, Failure, Outcome};
use crate::clock::{Clock as _, SystemClock};
use crate::https_client;
use crate::signing::provider;
use crate::signing::verifier::{Expected, KeySet};

#[derive(clap::Args)]
pub struct Args {
    /// JWKS: a file or an https URL
    #[arg(long)]
    jwks: String,
    /// Token: a file, or - for standard input
    #[arg(long, default_value = "-")]
    token: String,
    /// What `aud` must be
    #[arg(long)]
    audience: Option<String>,
    /// What `iss` must be
    #[arg(long)]
    issuer: Option<String>,
    /// Clock error granted, in seconds
    #[arg(long, default_value_t = 60)]
    leeway_seconds: u32,
    /// PEM file of the CA to trust instead of the public ones
    #[arg(long, env = "WSTS_CA_FILE")]
    ca: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct HealthArgs {
    /// Readiness URL of the ops listener
    #[arg(long, env = "WSTS_READY_URL", default_value = "http://127.0.0.1:9464/readyz")]
    url: String,
}

pub fn run(args: &Args) -> Outcome {
    provider::install();
    let jwks = read_jwks(&args.jwks, args.ca.as_deref())?;
    let keys = KeySet::parse(&jwks)?;
    let token = read_token(&args.token)?;
    let expected = Expected {
        issuer: args.issuer.as_deref(),
        audience: args.audience.as_deref(),
        now: SystemClock.now(),
        leeway_seconds: args.leeway_seconds.into(),
    };
    match keys.verify(token.trim(), &expected) {
        Ok(claims) => {
            let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
            say!(
                "valid: {} for {}, until {}, refresh by {}",
                claims.client_id,
                claims.aud,
                at(claims.exp),
                at(claims.refresh_by)
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            complain!("refused: {error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn read_jwks(place: &str, ca: Option<&Path>) -> Result<String, Failure> {
    if !place.starts_with("https://") && !place.starts_with("http://") {
        return std::fs::read_to_string(place).map_err(|error| Failure(format!("{place}: {error}")));
    }
    let (status, text) = https_client::text(https_client::agent(ca, DEADLINE)?.get(place).call(), place)?;
    if status == 200 { Ok(text) } else { Err(Failure(format!("{place} answered {status}"))) }
}

fn read_token(place: &str) -> Result<String, Failure> {
    if place != "-" {
        return std::fs::read_to_string(place).map_err(|error| Failure(format!("{place}: {error}")));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

pub fn healthcheck(args: &HealthArgs) -> Outcome {
    let (status, text) =
        https_client::text(https_client::agent(None, DEADLINE)?.get(&args.url).call(), &args.url)?;
    if status == 200 {
        super::output::write(format_args!("{text}"));
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure(format!("{} answered {status}: {}", args.url, printable(text.trim()))))
}
