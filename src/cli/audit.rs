//! `wsts audit list`: who got what, when, and why not.

use std::process::ExitCode;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use clap::{Subcommand, ValueEnum};
use tabled::builder::Builder;
use tabled::settings::Style;

use super::{ConfigArg, Outcome, with_core};
use crate::config::Config;
use crate::domain::audit::{AuditEntry, AuditFilter, Event, Outcome as Decision};

#[derive(Subcommand)]
pub enum Command {
    /// List records, newest first
    List(ListArgs),
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
    /// webservice_token, management_token, api_call, change, key_reading, key_regeneration or signing_key
    #[arg(long)]
    event: Option<String>,
    /// Most records to list
    #[arg(long, default_value_t = 100)]
    limit: u32,
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
    let Command::List(args) = command;
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
            limit: args.limit,
        };
        let entries = core.store.audit(&filter).await?;
        match args.format {
            Format::Table => print_table(&entries),
            Format::Json => {
                for entry in &entries {
                    println!("{}", serde_json::to_string(entry)?);
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
    Ok(now - Duration::seconds(i64::from(number) * seconds))
}

fn print_table(entries: &[AuditEntry]) {
    if entries.is_empty() {
        println!("no records");
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
        table.push_record([
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
        ]);
    }
    println!("{}", table.build().with(Style::sharp()));
}

/// Workspace and webservice of an ARM id: the part by which people know it.
fn short(resource: &str) -> String {
    match resource.split_once("/workspaces/") {
        Some((_, rest)) => rest.replace("/onlineEndpoints/", "/"),
        None => resource.to_owned(),
    }
}
