//! The command line: one file a command, errors that say what to do next.

#![deny(clippy::print_stdout, clippy::print_stderr)]

/// Prints a line on standard output; the command goes on when it can't be written, and fails in the end.
macro_rules! say {
    ($($part:tt)*) => { crate::cli::output::write(format_args!("{}\n", format_args!($($part)*))) };
}

/// Prints a line on standard error.
macro_rules! complain {
    ($($part:tt)*) => { crate::cli::output::complain(format_args!("{}\n", format_args!($($part)*))) };
}

mod apply;
mod audit;
mod bootstrap;
mod fetch;
mod keys;
mod output;
mod plot;
mod quickstart;
mod regions;
mod revoke_token;
mod rewrap;
mod serve;
mod shell;
mod token;
mod verify;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::config::{Config, Log, LogFormat, Place};
use crate::startup::{Parts, check_certificate, compose};
use crate::telemetry;

/// Regional token service for ML webservices.
///
/// Start with `wsts quickstart`: it makes everything it needs, fetches a token over HTTPS and verifies it.
#[derive(Parser)]
#[command(name = "wsts", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a demo deployment in a folder, fetch and verify a token over HTTPS, then serve
    Quickstart(quickstart::Args),
    /// Serve tokens
    Serve(ConfigArg),
    Bootstrap(bootstrap::Args),
    /// Make the registry equal to a file, printing the difference first
    Apply(apply::Args),
    /// Read the audit
    #[command(subcommand)]
    Audit(audit::Command),
    /// Look at and import signing keys
    #[command(subcommand)]
    Keys(keys::Command),
    RevokeToken(revoke_token::Args),
    /// Check a configuration without starting anything
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Fetch a token for a webservice; a kept one is returned until it should be refreshed
    Token(token::Args),
    /// Show the regions: whether they answer, and how long issuing takes in each
    Regions(regions::Args),
    /// Verify a token against a JWKS, as a gateway would
    Verify(verify::Args),
    /// Ask a running service whether it is ready: exit code 0 or 1, for containers
    Healthcheck(verify::HealthArgs),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read the file and the environment over it, and say what is wrong
    Check(ConfigArg),
}

/// Where the configuration is.
#[derive(clap::Args)]
pub struct ConfigArg {
    /// Configuration file (settings: config/wsts.toml)
    #[arg(long, env = "WSTS_CONFIG", default_value = "config/wsts.toml")]
    config: PathBuf,
}

/// A command that failed; the text is for a person.
#[derive(Debug)]
pub struct Failure(String);

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// How long a command waits for an answer of a server, from the first byte to the last.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

/// What a command ends with: the exit code, or why it failed.
pub type Outcome = Result<ExitCode, Failure>;

/// Runs the command line of the process.
pub fn main() -> ExitCode {
    protect_process();
    let command = Cli::parse().command;
    if !matches!(command, Command::Serve(_) | Command::Quickstart(_) | Command::Apply(_)) {
        end_with_the_pipe();
    }
    let outcome = match command {
        Command::Quickstart(args) => quickstart::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Bootstrap(args) => bootstrap::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Audit(command) => audit::run(command),
        Command::Keys(command) => keys::run(command),
        Command::RevokeToken(args) => revoke_token::run(&args),
        Command::Config(ConfigCommand::Check(args)) => check(&args),
        Command::Token(args) => token::run(&args),
        Command::Regions(args) => regions::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Healthcheck(args) => verify::healthcheck(&args),
    };
    let outcome = outcome.and_then(|code| output::all_written().map(|()| code));
    outcome.unwrap_or_else(|Failure(what)| {
        complain!("wsts: {what}");
        ExitCode::FAILURE
    })
}

fn check(args: &ConfigArg) -> Outcome {
    let config = Config::load(&args.config)?;
    config.secrets.keks()?;
    config.secrets.pepper()?;
    telemetry::filter(&config.log)?;
    check_certificate(&config)?;
    for what in config.secrets.exposed() {
        complain!("wsts: {what}");
    }
    say!("{}: good", args.config.display());
    Ok(ExitCode::SUCCESS)
}

/// Refuses to read from a database that is not there, rather than to make an empty one.
fn demand_database(config: &Config) -> Result<(), Failure> {
    let Place::Sqlite(file) = config.storage.place()? else { return Ok(()) };
    if file.is_file() {
        return Ok(());
    }
    Err(Failure(format!("there is no database at {}: check storage.sqlite_file", file.display())))
}

/// Runs a command over the configured database, without listeners.
fn with_core<T>(
    config: &Config,
    command: impl AsyncFnOnce(&crate::services::Core) -> Result<T, Failure>,
) -> Result<T, Failure> {
    telemetry::start(&Log { format: LogFormat::Text, level: "warn".to_owned() })?;
    runtime()?.block_on(async {
        let core = compose(config, Parts::default()).await?;
        let outcome = command(&core).await;
        core.store.close().await;
        outcome
    })
}

/// How often a long run says how far it is.
const SAY_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Says on standard error how far a long run is, now and then: a count, and of what.
fn progress() -> impl FnMut(u64, &dyn Display) {
    let mut said = Instant::now();
    move |count, of_what| {
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            complain!("{count} {of_what}");
        }
    }
}

/// The main thread's runtime; actix brings its own threads for requests.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Signing keys must not end up in a crash dump, nor be read out of memory by another process of the same user, and no
/// file that is made here is for others to read.
fn protect_process() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live local and setrlimit only reads it; umask takes a number and can't fail; prctl takes
    // numbers for this option.
    #[allow(unsafe_code)]
    unsafe {
        // A refusal leaves the system's own limit, which is usually 0 as well.
        let _ = libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::umask(0o077);
        // A limit of 0 does not hold for a core_pattern that pipes to a program; this does.
        #[cfg(target_os = "linux")]
        let _ = libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

/// `wsts audit list | head` ends quietly. A server must outlive the reader of its output, and an application of a file
/// must tell which secrets nobody saw, so these do not do this.
fn end_with_the_pipe() {
    // SAFETY: no handler is installed but the system's own default, before any thread is started.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
