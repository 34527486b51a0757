//! `wsts token`: a token for a webservice, kept in a private file until its `refresh_by`.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::apply::private_file;
use super::{DEADLINE, Failure, Outcome};
use crate::clock::{Clock as _, SystemClock};
use crate::https_client::{self, HttpsError};

#[derive(clap::Args)]
pub struct Args {
    /// Base URL of the token service, such as https://sts.example
    #[arg(long, env = "WSTS_URL")]
    url: String,
    /// ARM id of the webservice
    #[arg(long, env = "WSTS_WEBSERVICE")]
    webservice: String,
    /// Client id of the principal
    #[arg(long, env = "WSTS_CLIENT_ID")]
    client_id: String,
    /// Client secret; better in the environment or in a file than on the command line
    #[arg(long, env = "WSTS_CLIENT_SECRET", hide_env_values = true)]
    client_secret: Option<String>,
    /// File that holds the client secret
    #[arg(long, env = "WSTS_CLIENT_SECRET_FILE", conflicts_with = "client_secret")]
    client_secret_file: Option<PathBuf>,
    /// PEM file of the CA to trust instead of the public ones
    #[arg(long, env = "WSTS_CA_FILE")]
    ca: Option<PathBuf>,
    /// Folder of kept tokens
    #[arg(long, env = "WSTS_TOKEN_CACHE")]
    cache: Option<PathBuf>,
    /// Fetch a new token even if a kept one is still good
    #[arg(long)]
    fresh: bool,
    #[arg(long, value_enum, default_value_t = Format::Token)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// The token alone
    Token,
    /// The token with its times (Unix seconds)
    Json,
    /// `Authorization: Bearer …`, for curl -H
    Header,
}

/// A token as it is kept, times in Unix seconds.
#[derive(Serialize, Deserialize)]
pub struct KeptToken {
    pub access_token: String,
    pub refresh_by: i64,
    pub expires_at: i64,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: i64,
    refresh_by: i64,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
    error_description: String,
}

/// Why no token was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nobody answered, or the service has trouble of its own: a kept token bridges it.
    #[error("{0}")]
    Outage(String),
    /// The service said no, or it could not be asked as the command line says.
    #[error("{0}")]
    Refused(String),
}

impl From<HttpsError> for FetchError {
    fn from(error: HttpsError) -> Self {
        let what = error.to_string();
        if error.is_outage { Self::Outage(what) } else { Self::Refused(what) }
    }
}

pub fn run(args: &Args) -> Outcome {
    let now = SystemClock.now().timestamp();
    let file = cache_file(args)?;
    let kept = read_kept(&file).filter(|_| !args.fresh);
    let token = match kept {
        Some(kept) if now < kept.refresh_by => kept,
        kept => match fetch(args, now) {
            Ok(token) => {
                keep(&file, &token)?;
                token
            }
            // Between refresh_by and the end a kept token bridges an outage, and never a refusal: who was disabled
            // must hear of it.
            Err(FetchError::Outage(what)) => match kept.filter(|kept| now < kept.expires_at - 60) {
                Some(kept) => {
                    complain!("wsts: {what}; using the kept token");
                    kept
                }
                None => return Err(Failure(what)),
            },
            Err(refused) => return Err(refused.into()),
        },
    };
    match args.format {
        Format::Token => say!("{}", token.access_token),
        Format::Json => say!("{}", serde_json::to_string(&token)?),
        Format::Header => say!("Authorization: Bearer {}", token.access_token),
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(args: &Args, now: i64) -> Result<KeptToken, FetchError> {
    let secret = secret(args).map_err(FetchError::Refused)?;
    let base = args.url.trim_end_matches('/');
    demand_https(base).map_err(FetchError::Refused)?;
    let agent = https_client::agent(args.ca.as_deref(), DEADLINE)?;
    fetch_token(&agent, base, &args.client_id, &secret, &format!("{base}{}", args.webservice), now)
}

fn secret(args: &Args) -> Result<String, String> {
    match (&args.client_secret, &args.client_secret_file) {
        (Some(secret), _) => Ok(secret.clone()),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map(|text| text.trim().to_owned())
            .map_err(|error| format!("{}: {error}", file.display())),
        (None, None) => {
            Err("no client secret: set WSTS_CLIENT_SECRET or name a file with --client-secret-file"
                .to_owned())
        }
    }
}

/// A secret goes over TLS, or stays on this machine.
fn demand_https(base: &str) -> Result<(), String> {
    let local = ["127.0.0.1", "localhost", "[::1]"];
    let host = base.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    let is_local = |host: &str| {
        local
            .iter()
            .any(|name| host.strip_prefix(name).is_some_and(|port| port.is_empty() || port.starts_with(':')))
    };
    match host {
        Some(host) if !is_local(host) => Err(format!("{base}: a client secret is sent over https only")),
        _ => Ok(()),
    }
}

/// One client_credentials request.
pub fn fetch_token(
    agent: &ureq::Agent,
    base: &str,
    client_id: &str,
    secret: &str,
    resource: &str,
    now: i64,
) -> Result<KeptToken, FetchError> {
    let url = format!("{base}/oauth2/token");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", secret),
        ("resource", resource),
    ];
    let (status, text) = https_client::text(agent.post(&url).send_form(form), &url)?;
    if status != 200 {
        let why = serde_json::from_str::<ErrorAnswer>(&text)
            .map_or(text, |answer| format!("{}: {}", answer.error, answer.error_description));
        let what = format!("{url} answered {status}: {why}");
        // RFC 6585, section 4; RFC 9110, section 15.6: the same request may succeed later.
        let is_outage = status == 429 || status >= 500;
        return Err(if is_outage { FetchError::Outage(what) } else { FetchError::Refused(what) });
    }
    let answer: TokenAnswer =
        serde_json::from_str(&text).map_err(|error| FetchError::Refused(format!("{url}: {error}")))?;
    Ok(KeptToken {
        access_token: answer.access_token,
        refresh_by: answer.refresh_by,
        expires_at: now + answer.expires_in,
    })
}

/// One file for each service, principal and webservice.
fn cache_file(args: &Args) -> Result<PathBuf, Failure> {
    let folder = match (&args.cache, std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(folder), _, _) => folder.clone(),
        (None, Some(cache), _) => PathBuf::from(cache).join("wsts"),
        (None, None, Some(home)) => PathBuf::from(home).join(".cache/wsts"),
        (None, None, None) => return Err(Failure("no home folder: name a folder with --cache".to_owned())),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let name = format!("{}\n{}\n{}", args.url, args.client_id, args.webservice.to_ascii_lowercase());
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok(folder.join(format!("{hex}.json")))
}

fn read_kept(file: &Path) -> Option<KeptToken> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Written beside and renamed, so that a reader never sees half a token.
fn keep(file: &Path, token: &KeptToken) -> Result<(), Failure> {
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = private_file(&beside)?;
    out.write_all(&serde_json::to_vec(token)?)?;
    std::fs::rename(&beside, file)?;
    Ok(())
}
