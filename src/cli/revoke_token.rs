//! `wsts revoke-token`: a token that the audit shows, called back.

use std::process::ExitCode;

use chrono::DateTime;

use super::{ConfigArg, Failure, Outcome, with_core};
use crate::config::Config;

/// Call a token back by its jti, as `wsts audit list` shows it under token_id.
///
/// `/authorize`, introspection and the API refuse it within a second or so; gateways that verify tokens by themselves do so
/// when they read GET /revocations. To stop new tokens as well, disable the principal or take its role.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// The token's jti
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true)]
    jti: String,
    /// The token's end (RFC 3339), after which it need not be listed; the longest life from now when absent
    #[arg(long)]
    until: Option<String>,
}

pub fn run(args: &Args) -> Outcome {
    let config = Config::load(&args.config.config)?;
    super::demand_database(&config)?;
    let until = args.until.as_deref().map(DateTime::parse_from_rfc3339).transpose();
    let until =
        until.map_err(|error| Failure(format!("--until: {error}; write it like 2026-03-01T12:00:00Z")))?;
    with_core(&config, async |core| {
        let end = core.revoke_token_id(&args.jti, until.map(|until| until.to_utc())).await?;
        say!(
            "revoked: {} is refused until {}, when no token of its age lives any more",
            args.jti,
            end.format("%Y-%m-%d %H:%M:%S UTC")
        );
        Ok(ExitCode::SUCCESS)
    })
}
