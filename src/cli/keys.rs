//! `wsts keys`: the signing keys of this region.

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::Subcommand;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use tabled::builder::Builder;
use tabled::settings::Style;

use super::{ConfigArg, Failure, Outcome, with_core};
use crate::config::Config;
use crate::domain::signing_key::SigningAlgorithm;

#[derive(Subcommand)]
pub enum Command {
    /// List the keys with their states and times
    List(ConfigArg),
    /// Import a private key as the region's next signing key (the only way to RS256)
    ///
    /// In a region without keys it signs at once, otherwise after the publish lead and its predecessor's window.
    Import(ImportArgs),
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

pub fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(&args),
        Command::Import(args) => import(&args),
    }
}

fn list(args: &ConfigArg) -> Outcome {
    let config = Config::load(&args.config)?;
    super::demand_database(&config)?;
    with_core(&config, async |core| {
        let now = core.clock.now();
        let mut table = Builder::default();
        table.push_record([
            "region",
            "generation",
            "state",
            "alg",
            "kid",
            "published",
            "signs from",
            "signs until",
            "removed",
        ]);
        for row in core.store.signing_keys().await? {
            let (key, life) = (&row.key, &row.key.life);
            let times = [life.published_at, life.sign_from, life.sign_until, life.remove_at];
            let mut record = vec![
                key.region.to_string(),
                key.generation.to_string(),
                life.state(now).as_str().to_owned(),
                key.algorithm.as_str().to_owned(),
                key.kid.clone(),
            ];
            record.extend(times.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)));
            table.push_record(record);
        }
        println!("{}", table.build().with(Style::sharp()));
        Ok(ExitCode::SUCCESS)
    })
}

fn import(args: &ImportArgs) -> Outcome {
    let config = Config::load(&args.config.config)?;
    let algorithm = SigningAlgorithm::parse(&args.algorithm).ok_or_else(|| {
        Failure(format!("--algorithm: `{}` is none of ES256, EdDSA, RS256", args.algorithm))
    })?;
    let der = PrivatePkcs8KeyDer::from_pem_file(&args.file).map_err(|error| {
        Failure(format!("{}: no PKCS#8 private key in PEM: {error}", args.file.display()))
    })?;
    with_core(&config, async |core| {
        let key = core.import_signing_key(algorithm, der.secret_pkcs8_der()).await?;
        println!(
            "imported {} as generation {}; it signs from {}",
            key.kid, key.generation, key.life.sign_from
        );
        Ok(ExitCode::SUCCESS)
    })
}
