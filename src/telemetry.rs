//! Logs: one line an event, JSON for machines, text on a terminal. Values are fields, so nothing a caller sends can
//! forge a line.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log, LogFormat};

/// actix logs each malformed request as an error of the service, which it is not.
const QUIET: &str = "actix_http::h1::dispatcher=off";

/// What `log.level` lets through.
pub fn filter(log: &Log) -> Result<EnvFilter, ConfigError> {
    EnvFilter::try_new(format!("{},{QUIET}", log.level)).map_err(|error| {
        ConfigError(format!("log.level `{}`: {error}; use off, error, warn, info, debug or trace", log.level))
    })
}

/// Installs the subscriber for the process.
pub fn start(log: &Log) -> Result<(), ConfigError> {
    let filter = filter(log)?;
    let is_terminal = std::io::stderr().is_terminal();
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => is_terminal,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for people; in a file they are noise.
    let builder = builder.with_ansi(is_terminal);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = if text { builder.try_init() } else { builder.json().flatten_event(true).try_init() };
    Ok(())
}
