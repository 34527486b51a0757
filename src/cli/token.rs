//! `wsts token`: a token for a webservice, kept in a private file until its `refresh_by`.
//!
//! With several addresses, one for each region, the next one is asked when one does not answer or names another region.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::apply::private_file;
use super::fetch::{FetchError, KeptToken, fetch_token, in_turn};
use super::shell::printable;
use super::{Failure, Outcome};
use crate::clock::{Clock as _, SystemClock};
use crate::https_client;

#[derive(clap::Args)]
pub struct Args {
    /// Base URL of the token service, such as https://sts.example; again (or with commas) for further regions, in the
    /// order in which to ask them
    #[arg(long, env = "WSTS_URL", value_delimiter = ',', required = true)]
    url: Vec<String>,
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
    /// Say on standard error what each address answered, and how fast
    #[arg(long, short)]
    verbose: bool,
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

/// What lies in the cache.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    token: KeptToken,
    /// Which addresses did not give a token when they were last asked, and when that was, in Unix seconds.
    #[serde(default)]
    failed: BTreeMap<String, i64>,
}

/// How long an address that failed is asked after the others. As long as a token lives: the next refresh does not wait
/// for it, the one after finds a region that is back.
const AVOID_SECONDS: i64 = 3600;

pub fn run(args: &Args) -> Outcome {
    let now = SystemClock.now().timestamp();
    let file = cache_file(args)?;
    let kept = read_kept(&file);
    let mut failed = kept.as_ref().map(|kept| kept.failed.clone()).unwrap_or_default();
    failed.retain(|_, since| now < since.saturating_add(AVOID_SECONDS));
    let kept = kept.map(|kept| kept.token).filter(|_| !args.fresh);
    let token = match kept {
        Some(kept) if now < kept.refresh_by => kept,
        kept => match fetch(args, now, &mut failed) {
            Ok(token) => {
                let kept = Kept { token, failed };
                keep(&file, &kept)?;
                kept.token
            }
            // Between refresh_by and the end a kept token bridges an outage, and never a refusal: who was disabled
            // must hear of it.
            Err(FetchError::Outage { what, .. }) => match kept.filter(|kept| now < kept.expires_at - 60) {
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

/// Asks the addresses in turn and notes which of them failed.
fn fetch(args: &Args, now: i64, failed: &mut BTreeMap<String, i64>) -> Result<KeptToken, FetchError> {
    let secret = secret(args).map_err(FetchError::Refused)?;
    let mut bases: Vec<&str> = args.url.iter().map(|url| url.trim_end_matches('/')).collect();
    for base in &bases {
        demand_https(base).map_err(FetchError::Refused)?;
    }
    // Stable: in the order given, but for those that failed lately.
    bases.sort_by_key(|base| failed.contains_key(*base));
    in_turn(&bases, |base, deadline| {
        let started = Instant::now();
        let fetched =
            https_client::agent(args.ca.as_deref(), deadline).map_err(FetchError::from).and_then(|agent| {
                fetch_token(
                    &agent,
                    base,
                    &args.client_id,
                    &secret,
                    &format!("{base}{}", args.webservice),
                    now,
                )
            });
        if args.verbose {
            let took = started.elapsed().as_millis();
            match &fetched {
                Ok(_) => complain!("wsts: {base} gave a token after {took} ms"),
                Err(error) => complain!("wsts: after {took} ms: {}", printable(&error.to_string())),
            }
        }
        match fetched {
            Ok(_) => failed.remove(base),
            Err(_) => failed.insert(base.to_owned(), now),
        };
        fetched
    })
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

/// A secret goes over TLS, or stays on this machine; and the address is just that.
fn demand_https(base: &str) -> Result<(), String> {
    let uri: Uri = base.parse().map_err(|error| format!("{}: no address: {error}", printable(base)))?;
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if authority.contains('@') || uri.query().is_some() || !matches!(uri.path(), "" | "/") {
        return Err(format!("{}: write https://HOST or https://HOST:PORT", printable(base)));
    }
    let is_local = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_local => Ok(()),
        _ => Err(format!("{}: a client secret is sent over https only", printable(base))),
    }
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
    let name =
        format!("{}\n{}\n{}", args.url.join(","), args.client_id, args.webservice.to_ascii_lowercase());
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Ok(folder.join(format!("{hex}.json")))
}

fn read_kept(file: &Path) -> Option<Kept> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Written beside and renamed, so that a reader never sees half a token.
fn keep(file: &Path, kept: &Kept) -> Result<(), Failure> {
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = private_file(&beside)?;
    out.write_all(&serde_json::to_vec(kept)?)?;
    std::fs::rename(&beside, file)?;
    Ok(())
}
