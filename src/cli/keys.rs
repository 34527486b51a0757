//! `wsts keys`: the signing keys, and what an operator does with them.

mod pem;
mod timeline;

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Subcommand, ValueEnum};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::{ConfigArg, Failure, Outcome, with_core};
use crate::config::Config;
use crate::domain::region::Region;
use crate::domain::signing_key::{Aftermath, Intervention, SigningAlgorithm, Step};
use crate::services::Core;

#[derive(Subcommand)]
pub enum Command {
    /// List the keys with their states and times, and draw them on a time line
    List(ConfigArg),
    /// Print the published keys for gateways that read files
    Export(ExportArgs),
    /// Import a private key as the region's next signing key (the only way to RS256)
    ///
    /// In a deployment without keys it signs at once, otherwise after the publish lead and the keys that are there.
    Import(ImportArgs),
    /// Print a short token signed by the standby, to see whether a gateway already has that key
    ///
    /// Its audience is `ISSUER/preview`, so it opens nothing: a gateway that refuses the audience has the key; one that
    /// does not know the key id has not.
    Preview(ConfigArg),
    /// Let the standby sign from now on, before its time
    ///
    /// Nothing is refused anywhere: the key that signed before stays published for its tokens.
    Rotate(ConfigArg),
    /// Emergency: take a key out of the JWKS, destroy its private half, and let the standby sign at once
    ///
    /// Every token that it signed is refused by each gateway as soon as that gateway's copy of the JWKS has expired.
    Revoke(RevokeArgs),
    /// Put every row that another KEK sealed under the first one of the configuration
    ///
    /// Refused while a replica serves that does not have it. A run that was interrupted is ended by the next one.
    Rewrap(super::rewrap::Args),
}

#[derive(clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[arg(long, value_enum, default_value_t = Format::Jwks)]
    format: Format,
    /// Only this region's keys
    #[arg(long)]
    region: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A JWK Set, as the service publishes it
    Jwks,
    /// Public keys in PEM, each under a line with its kid
    Pem,
}

#[derive(clap::Args)]
pub struct ImportArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// ES256, EdDSA or RS256
    #[arg(long)]
    algorithm: String,
    /// PEM file with a PKCS#8 private key (`openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072`)
    #[arg(long)]
    file: PathBuf,
}

#[derive(clap::Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Key id, as `wsts keys list` shows it
    // One in 64 begins with a hyphen.
    #[arg(allow_hyphen_values = true)]
    kid: String,
}

pub fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(&args),
        Command::Export(args) => export(&args),
        Command::Import(args) => import(&args),
        Command::Preview(args) => preview(&args),
        Command::Rotate(args) => {
            on_database(&args, async |core| told(core, &core.rotate_signing_key().await?))
        }
        Command::Revoke(args) => {
            let kid = args.kid;
            // What is no kid is not repeated: it might move the cursor.
            if !kid.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
                return Err(Failure("that is no key id: `wsts keys list` shows them".to_owned()));
            }
            on_database(&args.config, async |core| {
                let intervention = core.revoke_signing_key(&kid).await?;
                say!(
                    "revoked {kid}: gateways that honour max-age, and reach a replica that reaches the database, refuse its \
                     tokens in {} s at the latest; stop replicas that are cut off, and write files anew",
                    (core.settings.keys.jwks_max_age + core.settings.keys.propagation).num_seconds()
                );
                if !intervention.steps.iter().any(|step| matches!(step, Step::Create { .. })) {
                    say!(
                        "no new standby was made: see that there is one before you revoke another key of that region"
                    );
                }
                told(core, &intervention)
            })
        }
        Command::Rewrap(args) => super::rewrap::run(&args),
    }
}

/// Runs a command over a database that is there.
fn on_database(args: &ConfigArg, command: impl AsyncFnOnce(&Core) -> Result<(), Failure>) -> Outcome {
    let config = Config::load(&args.config)?;
    super::demand_database(&config)?;
    with_core(&config, command)?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ConfigArg) -> Outcome {
    on_database(args, async |core| {
        let stored = core.store.signing_keys().await?;
        let keys: Vec<_> = stored.into_iter().map(|row| row.key).collect();
        say!("{}", timeline::draw(&keys, core.clock.now()).trim_end());
        Ok(())
    })
}

fn export(args: &ExportArgs) -> Outcome {
    let region = args.region.as_deref().map(Region::parse).transpose()?;
    on_database(&args.config, async |core| {
        let keys = core.exported_keys(region.as_ref()).await?;
        // Whoever reads a file with no keys refuses every token.
        if keys.keys.is_empty() {
            return Err(Failure("no key is published there: `wsts keys list` shows all".to_owned()));
        }
        match args.format {
            Format::Jwks => say!("{}", serde_json::to_string_pretty(&keys)?),
            Format::Pem => {
                for key in &keys.keys {
                    say!("{}", pem::encode(key)?.trim_end());
                }
            }
        }
        Ok(())
    })
}

fn import(args: &ImportArgs) -> Outcome {
    let config = Config::load(&args.config.config)?;
    let algorithm = SigningAlgorithm::parse(&args.algorithm).ok_or_else(|| {
        Failure(format!("--algorithm: `{}` is none of ES256, EdDSA, RS256", args.algorithm))
    })?;
    if !args.file.is_file() {
        return Err(Failure(format!("{}: is no file", args.file.display())));
    }
    let der = PrivatePkcs8KeyDer::from_pem_file(&args.file).map_err(|error| {
        Failure(format!("{}: no PKCS#8 private key in PEM: {error}", args.file.display()))
    })?;
    with_core(&config, async |core| {
        let key = core.import_signing_key(algorithm, der.secret_pkcs8_der()).await?;
        say!("imported {} as generation {}; it signs from {}", key.kid, key.generation, key.life.sign_from);
        Ok(ExitCode::SUCCESS)
    })
}

fn preview(args: &ConfigArg) -> Outcome {
    on_database(args, async |core| {
        let preview = core.preview_signing_key(&core.local_context()).await?;
        complain!(
            "signed by {}, which signs from {}; good for 5 minutes",
            preview.kid,
            second(preview.sign_from)
        );
        say!("{}", preview.token);
        Ok(())
    })
}

/// Says who signs now.
fn told(core: &Core, intervention: &Intervention) -> Result<(), Failure> {
    match &intervention.aftermath {
        Aftermath::Unchanged => say!("it did not sign, so the active key goes on"),
        Aftermath::Successor { kid, known_at } if *known_at <= core.clock.now() => {
            say!("{kid} signs now; every gateway that honours max-age has it");
        }
        Aftermath::Successor { kid, known_at } => say!(
            "{kid} signs now; it was published so lately that gateways may refuse its tokens until {}",
            second(*known_at)
        ),
        Aftermath::Nobody { until: Some(until) } => {
            say!("there was no standby: no token is issued until {}", second(*until));
        }
        Aftermath::Nobody { until: None } => say!(
            "there was no standby: no token is issued until a next key signs; import one with `wsts keys import`, or see \
             that the key's region runs"
        ),
    }
    Ok(())
}

fn second(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
