//! `wsts keys rewrap`: the step in a change of the KEK that makes the old one superfluous.

use std::process::ExitCode;

use super::{ConfigArg, Failure, Outcome, with_core};
use crate::config::Config;
use crate::services::rewrap::{KekStatus, Rewrapped};
use crate::signing::sealing::hex;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Only say what is sealed under which KEK
    #[arg(long)]
    check: bool,
}

/// Rows between two lines that say how far it is.
const TELL_EVERY: u64 = 1000;

/// Exits with 0 when the KEKs after the first can be taken out of the configuration.
pub fn run(args: &Args) -> Outcome {
    let config = Config::load(&args.config.config)?;
    super::demand_database(&config)?;
    with_core(&config, async |core| {
        let mut broken = Vec::new();
        if !args.check {
            let mut told = 0;
            let done = core.rewrap(|so_far| {
                let rows = so_far.signing_keys + so_far.access_keys;
                if rows >= told + TELL_EVERY {
                    told = rows;
                    say!("{} …", counted(so_far));
                }
            });
            let done = done.await?;
            say!("re-wrapped {}", counted(&done));
            broken = done.broken;
        }
        let status = core.kek_status().await?;
        tell(&status, |kek| core.keks.has(kek));
        conclude(&status, &core.keks.ids(), &broken)
    })
}

fn counted(done: &Rewrapped) -> String {
    format!("{} signing keys and {} access keys", done.signing_keys, done.access_keys)
}

fn tell(status: &KekStatus, is_configured: impl Fn([u8; 8]) -> bool) {
    if !status.uses.iter().any(|used| used.kek_id == status.primary) {
        say!("KEK {} (the first, which seals): nothing", hex(&status.primary));
    }
    for used in &status.uses {
        let place = match used.kek_id {
            kek if kek == status.primary => "the first, which seals",
            kek if is_configured(kek) => "configured, only opens",
            _ => "not configured here",
        };
        let (signing, access) = (used.signing_keys, used.access_keys);
        say!("KEK {} ({place}): {signing} signing keys, {access} access keys", hex(&used.kek_id));
    }
    for replica in &status.replicas {
        let seals = match replica.kek_ids.first() {
            Some(first) if *first == status.primary => "seals under the first".to_owned(),
            Some(first) if replica.kek_ids.contains(&status.primary) => {
                format!("opens the first, and seals under KEK {}", hex(first))
            }
            _ => format!("lacks KEK {}", hex(&status.primary)),
        };
        say!("replica {} of region {}: {seals}", replica.id, replica.region);
    }
}

fn conclude(status: &KekStatus, configured: &[[u8; 8]], broken: &[String]) -> Outcome {
    for what in broken.iter().chain(&status.out_of_reach) {
        complain!("wsts: left as it is: {what}");
    }
    if status.is_settled() {
        let first = hex(&status.primary);
        let others: Vec<String> = configured.iter().filter(|kek| **kek != status.primary).map(hex).collect();
        if others.is_empty() {
            say!("KEK {first} is the only one, and everything is sealed under it");
        } else {
            say!(
                "Nothing needs another KEK than {first}: if that is the new one, leave only it in the configuration of \
                 every replica, restart them, and then destroy {}. Backups from before still need them. If it is the \
                 old one, put the new one first and come again",
                others.join(", ")
            );
        }
        if status.replicas.is_empty() {
            say!("No replica says that it serves: see for yourself that none does, or that each has the KEK");
        }
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure(
        "not every row is under the first KEK, or not every replica seals under it: keep the others"
            .to_owned(),
    ))
}
