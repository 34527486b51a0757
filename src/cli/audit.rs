//! `wsts audit`: who got what, when, and why not; whether the rows are still what was written.

use std::io::{BufWriter, Write as _};
use std::process::ExitCode;

use chrono::{DateTime, Datelike as _, Duration, SecondsFormat, Utc};
use clap::{Subcommand, ValueEnum};
use tabled::builder::Builder;
use tabled::settings::Style;

use super::shell::printable;
use super::{ConfigArg, Failure, Outcome, progress, with_core};
use crate::audit::chain::ChainKey;
use crate::audit::reading::{self, Next};
use crate::audit::verify::{Fault, Read, Verifier};
use crate::config::Config;
use crate::domain::audit::{AuditCursor, AuditEntry, AuditFilter, Event, Order, Outcome as Decision};
use crate::services::Core;

#[derive(Subcommand)]
pub enum Command {
    /// List records, newest first
    List(ListArgs),
    /// Check every record against its chain; exit 1 with the first one that was altered or is missing
    Verify(ConfigArg),
    /// Write records to standard output, oldest first, one JSON object a line
    Export(ExportArgs),
    /// Remove old records, leaving a record of where each chain was cut, so that `verify` still holds
    Remove(RemoveArgs),
}

#[derive(clap::Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Everything recorded before then, at least a minute ago: an RFC 3339 time, or an age such as 400d
    #[arg(long)]
    before: String,
}

#[derive(clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// From then on: an RFC 3339 time, or an age such as 90s, 15m, 2h, 7d
    #[arg(long)]
    since: Option<String>,
    /// Before then, in the same forms
    #[arg(long)]
    until: Option<String>,
}

#[derive(clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// From then on: an RFC 3339 time, or an age such as 90s, 15m, 2h, 7d
    #[arg(long)]
    since: Option<String>,
    /// Before then, in the same forms
    #[arg(long)]
    until: Option<String>,
    /// Client id or object id of a principal
    #[arg(long)]
    principal: Option<uuid::Uuid>,
    /// ARM id of a webservice, or a part of it such as its name
    #[arg(long)]
    webservice: Option<String>,
    /// issued, refused, failed or done
    #[arg(long)]
    outcome: Option<String>,
    /// webservice_token, management_token, api_call, access_check, change, key_reading, key_regeneration, signing_key,
    /// rewrap, chain_start or audit_removal
    #[arg(long)]
    event: Option<String>,
    /// Most records to list
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    /// One JSON object a line, with every column
    Json,
}

pub fn run(command: Command) -> Outcome {
    match command {
        Command::List(args) => list(&args),
        Command::Verify(args) => verify(&args),
        Command::Export(args) => export(&args),
        Command::Remove(args) => remove(&args),
    }
}

fn verify(args: &ConfigArg) -> Outcome {
    let config = Config::load(&args.config)?;
    super::demand_database(&config)?;
    let key = ChainKey::derive(config.secrets.pepper()?.as_slice());
    with_core(&config, async |core| {
        let mut found = verify_all(core, key.clone()).await?;
        if matches!(found, Err(Fault::Missing { .. })) {
            // A replica that was cut off may have shipped its records meanwhile to where the reading was past.
            found = verify_all(core, key.clone()).await?;
        }
        let read = found?;
        let shortened = match read.shortened {
            0 => String::new(),
            some => format!(" ({some} of them shortened by `wsts audit remove`)"),
        };
        say!(
            "good: {} records in {} chains{shortened}, none altered, none missing",
            read.records,
            read.chains
        );
        Ok(ExitCode::SUCCESS)
    })
}

async fn verify_all(core: &Core, key: ChainKey) -> Result<Result<Read, Fault>, Failure> {
    let (mut verifier, mut fault) = (Verifier::new(key), None);
    let (mut count, mut progress) = (0, progress());
    let order = Order::OldestFirst;
    reading::each(core.store.as_ref(), order, AuditCursor::start(order), |found| {
        count += 1;
        progress(count, &format_args!("records so far, up to {}", found.link.at));
        fault = verifier.read(found).err();
        Ok::<_, Failure>(if fault.is_none() { Next::More } else { Next::Enough })
    })
    .await?;
    Ok(fault.map_or_else(|| verifier.finish(), Err))
}

fn export(args: &ExportArgs) -> Outcome {
    let config = Config::load(&args.config.config)?;
    super::demand_database(&config)?;
    with_core(&config, async |core| {
        let now = core.clock.now();
        let time = |text: &Option<String>| text.as_deref().map(|text| instant(text, now)).transpose();
        let filter =
            AuditFilter { since: time(&args.since)?, until: time(&args.until)?, ..AuditFilter::default() };
        let mut out = BufWriter::new(std::io::stdout().lock());
        reading::find(core.store.as_ref(), Order::OldestFirst, &filter, |found| {
            serde_json::to_writer(&mut out, &AuditEntry::from(&found))?;
            out.write_all(b"\n")?;
            Ok::<_, Failure>(Next::More)
        })
        .await?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}

fn remove(args: &RemoveArgs) -> Outcome {
    let config = Config::load(&args.config.config)?;
    super::demand_database(&config)?;
    with_core(&config, async |core| {
        let before = instant(&args.before, core.clock.now())?;
        let mut progress = progress();
        let removed =
            core.remove_audit_before(before, |count| progress(count, &"records removed so far")).await?;
        say!("removed {removed} records from before {}", before.to_rfc3339_opts(SecondsFormat::Secs, true));
        Ok(ExitCode::SUCCESS)
    })
}

fn list(args: &ListArgs) -> Outcome {
    let config = Config::load(&args.config.config)?;
    super::demand_database(&config)?;
    with_core(&config, async |core| {
        let now = core.clock.now();
        let filter = AuditFilter {
            since: args.since.as_deref().map(|text| instant(text, now)).transpose()?,
            until: args.until.as_deref().map(|text| instant(text, now)).transpose()?,
            principal: args.principal,
            webservice: args.webservice.clone(),
            outcome: args.outcome.as_deref().map(parse_outcome).transpose()?,
            event: args.event.as_deref().map(parse_event).transpose()?,
        };
        let found = reading::newest(core.store.as_ref(), &filter, args.limit).await?;
        let entries: Vec<AuditEntry> = found.iter().map(AuditEntry::from).collect();
        match args.format {
            Format::Table => print_table(&entries),
            Format::Json => {
                for entry in &entries {
                    say!("{}", serde_json::to_string(entry)?);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn parse_outcome(text: &str) -> Result<Decision, String> {
    Decision::parse(text)
        .ok_or_else(|| format!("--outcome: `{text}` is none of issued, refused, failed, done"))
}

fn parse_event(text: &str) -> Result<Event, String> {
    let names = Event::ALL.map(Event::as_str).join(", ");
    Event::parse(text).ok_or_else(|| format!("--event: `{text}` is none of {names}"))
}

/// An RFC 3339 time, or an age before now.
fn instant(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let wrong = || format!("`{text}` is neither an RFC 3339 time nor an age such as 15m or 7d");
    let at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    // Before the year 1 there is nothing.
    now.checked_sub_signed(Duration::seconds(i64::from(number) * seconds))
        .filter(|time| time.year() > 0)
        .ok_or_else(|| format!("`{text}` is too long ago"))
}

fn print_table(entries: &[AuditEntry]) {
    if entries.is_empty() {
        say!("no records");
        return;
    }
    let mut table = Builder::default();
    table.push_record([
        "time",
        "event",
        "outcome",
        "reason",
        "client id",
        "by",
        "resource",
        "kid / detail",
        "µs",
        "request",
    ]);
    for entry in entries {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let cells = [
            entry.occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            entry.event.clone(),
            entry.outcome.clone(),
            or_dash(&entry.reason),
            or_dash(&entry.client_id),
            or_dash(&entry.method),
            entry.resource.as_deref().map_or_else(|| "-".to_owned(), short),
            entry.detail.clone().or_else(|| entry.kid.clone()).unwrap_or_else(|| "-".to_owned()),
            entry.latency_micros.to_string(),
            entry.request_id.clone(),
        ];
        // Names from before they had a rule, and what callers sent as a client id.
        table.push_record(cells.map(|cell| printable(&cell)));
    }
    say!("{}", table.build().with(Style::sharp()));
}

/// Workspace and webservice of an ARM id: the part by which people know it.
fn short(resource: &str) -> String {
    match resource.split_once("/workspaces/") {
        Some((_, rest)) => rest.replace("/onlineEndpoints/", "/"),
        None => resource.to_owned(),
    }
}
