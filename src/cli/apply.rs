//! `wsts apply`: makes the registry equal to a file.

use std::collections::BTreeSet;
use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use super::shell::printable;
use super::{ConfigArg, Failure, Outcome, progress, with_core};
use crate::config::{Config, Place};
use crate::services::Core;
use crate::services::registry_file::{
    CHANGES_AT_ONCE, Difference, RegistryFile, ShownSecret, Written, compare,
};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Registry file: tenants, subscriptions, workspaces, webservices, principals, roles (example: config/quickstart.toml)
    #[arg(short, long)]
    file: PathBuf,
    /// Print the difference and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also remove what the file does not name
    #[arg(long)]
    prune: bool,
    /// Append new client secrets to this file (one JSON object a line, mode 0600) instead of showing them
    #[arg(long)]
    secrets_to: Option<PathBuf>,
}

pub fn run(args: &Args) -> Outcome {
    let config = Config::load(&args.config.config)?;
    let file = read(&args.file)?;
    if let Place::Sqlite(database) = config.storage.place()?
        && args.dry_run
        && !database.exists()
    {
        let what = format!("{}: no database yet, and a dry run makes none", database.display());
        return Err(Failure(what));
    }
    with_core(&config, async |core| {
        let started = Instant::now();
        let difference = difference(core, &file, args.prune).await?;
        print(&difference);
        warn_of_strangers(&file, &config);
        if difference.lines.is_empty() {
            say!("nothing to do: the registry is as the file says");
            return Ok(ExitCode::SUCCESS);
        }
        if args.dry_run {
            say!("dry run: nothing was changed");
            return Ok(ExitCode::SUCCESS);
        }
        let changes = difference.changes();
        if changes > CHANGES_AT_ONCE {
            say!("writing {changes} changes, {CHANGES_AT_ONCE} in a transaction …");
        }
        // A large file takes memory that the writing can use.
        drop(file);
        // Opened first: a secret that can't be kept must not be made.
        let mut out = args.secrets_to.as_deref().map(secrets_file).transpose()?;
        let mut progress = progress();
        let handed = |Written { written, all, secrets }: Written| {
            // Before anything else is said, and before more is written: these are kept nowhere.
            match out.as_mut() {
                _ if secrets.is_empty() => Ok(()),
                Some(out) => keep(&secrets, out),
                None => show(&secrets, &mut std::io::stdout()),
            }
            .map_err(|error| lost(&secrets, written, all, &error))?;
            progress(written as u64, &format_args!("of {all} changes written"));
            Ok::<(), Failure>(())
        };
        core.apply(difference, &core.local_context(), handed).await?;
        say!("{changes} changes applied in {:.1} s", started.elapsed().as_secs_f64());
        Ok(ExitCode::SUCCESS)
    })
}

/// Parses a registry file; the error names line and column.
pub fn read(path: &Path) -> Result<RegistryFile, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| Failure(format!("{}: {error}", path.display())))
}

/// Compares a parsed file with the database.
pub async fn difference(core: &Core, file: &RegistryFile, prune: bool) -> Result<Difference, Failure> {
    let stored = core.store.snapshot().await?;
    compare(file, &stored, prune, core.clock.now(), core.entropy.as_ref()).map_err(|mistakes| {
        Failure(format!(
            "the registry file can't be applied:\n  {}",
            mistakes.iter().map(|mistake| printable(mistake)).collect::<Vec<_>>().join("\n  ")
        ))
    })
}

fn print(difference: &Difference) {
    for line in &difference.lines {
        say!("{} {}", line.sign, printable(&line.text));
    }
    if difference.further_lines > 0 {
        say!("… and {} more", difference.further_lines);
    }
}

/// A credential of an issuer that the configuration does not name can be registered, but proves nobody.
fn warn_of_strangers(file: &RegistryFile, config: &Config) {
    let named = file.principals.iter().flat_map(|entry| &entry.federated_credentials);
    let trusted = |issuer: &str| config.federation.issuers.iter().any(|one| one.issuer == issuer);
    let strangers: BTreeSet<&str> =
        named.map(|one| one.issuer.as_str()).filter(|issuer| !trusted(issuer)).collect();
    for issuer in strangers {
        say!(
            "! issuer {issuer}: its tokens are refused until federation.issuers of the configuration names it"
        );
    }
}

fn show(secrets: &[ShownSecret], out: &mut impl Write) -> std::io::Result<()> {
    for secret in secrets {
        let (client_id, until, plain) =
            (secret.client_id, secret.expires_at.format("%F"), secret.plain.expose());
        writeln!(out, "secret of {client_id} until {until} (shown once): {plain}")?;
    }
    out.flush()
}

fn keep(secrets: &[ShownSecret], out: &mut std::fs::File) -> std::io::Result<()> {
    let mut lines = String::new();
    for secret in secrets {
        let line = serde_json::json!({
            "client_id": secret.client_id,
            "client_secret": secret.plain.expose(),
            "expires_at": secret.expires_at,
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    out.write_all(lines.as_bytes())?;
    // A pipe or a device has nothing to sync.
    if out.metadata()?.is_file() { out.sync_all() } else { Ok(()) }
}

/// The registry holds the secrets' digests, and nobody has the secrets.
fn lost(secrets: &[ShownSecret], written: usize, all: usize, error: &std::io::Error) -> Failure {
    let whose: Vec<String> = secrets.iter().map(|secret| secret.client_id.to_string()).collect();
    Failure(format!(
        "{written} of {all} changes are applied, but the last new secrets could not be handed over ({error}) and are \
         lost, those of {}: remove each with removePassword and apply the file again with --secrets-to FILE, or make \
         others with addPassword",
        whose.join(", ")
    ))
}

/// A file that only its owner may read, emptied if it was there.
pub fn private_file(path: &Path) -> Result<std::fs::File, Failure> {
    open_private(OpenOptions::new().write(true).truncate(true), path)
}

/// The same, keeping what is in it: an earlier secret is shown nowhere else.
fn secrets_file(path: &Path) -> Result<std::fs::File, Failure> {
    open_private(OpenOptions::new().append(true), path)
}

fn open_private(options: &mut OpenOptions, path: &Path) -> Result<std::fs::File, Failure> {
    let named = |error: std::io::Error| Failure(format!("{}: {error}", path.display()));
    let file = options.create(true).mode(0o600).open(path).map_err(named)?;
    // The mode above is for a new file only. A pipe or a device keeps its own.
    if file.metadata().map_err(named)?.is_file() {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(named)?;
    }
    Ok(file)
}
