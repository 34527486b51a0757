//! `wsts verify` and `wsts healthcheck`: exit code 0 or 1, with the reason.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::shell::printable;
use super::{DEADLINE, Failure, Outcome};
use crate::clock::{Clock as _, SystemClock};
use crate::domain::claims::ReadClaims;
use crate::https_client;
use crate::signing::verifier::{Expected, KeySet};
use crate::signing::{foreign_keys, provider};

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
    /// Take only what this service mints, against a JWKS whose every key could be its own
    #[arg(long)]
    strict: bool,
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
    let token = read_token(&args.token)?;
    let expected = Expected {
        issuer: args.issuer.as_deref(),
        audience: args.audience.as_deref(),
        now: SystemClock.now(),
        leeway_seconds: args.leeway_seconds.into(),
    };
    // The line end of a file is no part of the token; whatever else stands there is.
    let token = token.strip_suffix('\n').unwrap_or(&token);
    let token = token.strip_suffix('\r').unwrap_or(token);
    let verified = if args.strict {
        KeySet::parse(&jwks)?.verify(token, &expected).map(|claims| of_own(&claims))
    } else {
        foreign_keys::verify(&foreign_keys::parse(&jwks)?, token, &expected).map(|claims| of_any(&claims))
    };
    match verified {
        Ok(text) => {
            say!("valid: {}", printable(&text));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            // It may quote what the token says, and anybody may have written that.
            complain!("refused: {}", printable(&error.to_string()));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn of_own(claims: &ReadClaims) -> String {
    let (exp, refresh_by) = (at(claims.exp), at(claims.refresh_by));
    format!("{} for {}, until {exp}, refresh by {refresh_by}", claims.client_id, claims.aud)
}

/// Who, by the first of the names that issuers give a client; for whom; until when.
fn of_any(claims: &Map<String, Value>) -> String {
    let text = |name| claims.get(name).and_then(Value::as_str);
    let who = ["client_id", "azp", "appid", "sub"].into_iter().find_map(text).unwrap_or("nobody");
    let audience = foreign_keys::audience(claims).unwrap_or_default().join(", ");
    let audience = if audience.is_empty() { "anybody" } else { &audience };
    let time = |name| claims.get(name).and_then(Value::as_f64).map(|seconds| at(seconds as i64));
    let until = time("exp").unwrap_or_default();
    let refresh = time("refresh_by").map_or_else(String::new, |by| format!(", refresh by {by}"));
    let issuer = text("iss").map_or_else(String::new, |issuer| format!(", from {issuer}"));
    format!("{who} for {audience}, until {until}{refresh}{issuer}")
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
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
