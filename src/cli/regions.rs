//! `wsts regions`: what `GET /regions` says, as a table or as a chart, and how fast each address answered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;
use serde::Deserialize;
use tabled::builder::Builder;
use tabled::settings::Style;

use super::fetch::PATIENCE;
use super::plot::{self, Bars};
use super::shell::printable;
use super::{Failure, Outcome};
use crate::https_client;

#[derive(clap::Args)]
pub struct Args {
    /// Base URL of the token service; again (or with commas) for further regions. Each is asked, the first that answers
    /// is believed
    #[arg(long, env = "WSTS_URL", value_delimiter = ',', required = true)]
    url: Vec<String>,
    /// PEM file of the CA to trust instead of the public ones
    #[arg(long, env = "WSTS_CA_FILE")]
    ca: Option<PathBuf>,
    /// Draw the latency of each pair of regions instead of the table
    #[arg(long)]
    plot: bool,
    /// What the chart looks back over
    #[arg(long, value_enum, default_value_t = Back::Hour)]
    window: Back,
}

#[derive(Clone, Copy, ValueEnum)]
enum Back {
    #[value(name = "5m")]
    FiveMinutes,
    #[value(name = "1h")]
    Hour,
    #[value(name = "24h")]
    Day,
}

impl Back {
    const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    const fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "24h",
        }
    }
}

/// As much of the answer as is shown.
#[derive(Deserialize)]
struct Report {
    region: String,
    as_of: String,
    regions: Vec<RegionReport>,
}

#[derive(Deserialize)]
struct RegionReport {
    name: String,
    url: Option<String>,
    health: String,
    last_seen: Option<String>,
    latency: Vec<PairReport>,
}

#[derive(Deserialize)]
struct PairReport {
    compute_region: String,
    windows: BTreeMap<String, Percentiles>,
}

#[derive(Clone, Copy, Deserialize)]
struct Percentiles {
    count: u64,
    p50_milliseconds: Option<f64>,
    p95_milliseconds: Option<f64>,
    p99_milliseconds: Option<f64>,
}

pub fn run(args: &Args) -> Outcome {
    let agent = https_client::agent(args.ca.as_deref(), PATIENCE)?;
    let mut first: Option<Report> = None;
    let mut whys = Vec::new();
    for url in &args.url {
        let base = url.trim_end_matches('/');
        let started = Instant::now();
        match ask(&agent, base) {
            Ok(report) => {
                let took = started.elapsed().as_secs_f64() * 1000.0;
                say!("{base} answered in {took:.1} ms, as {}", printable(&report.region));
                first.get_or_insert(report);
            }
            Err(Failure(why)) => {
                say!("{}", printable(&why));
                whys.push(why);
            }
        }
    }
    let Some(report) = first else { return Err(Failure(format!("no region answered: {}", whys.join("; ")))) };
    if args.plot {
        draw(&report, args.window)
    } else {
        list(&report)
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(agent: &ureq::Agent, base: &str) -> Result<Report, Failure> {
    let url = format!("{base}/regions");
    let (status, text) = https_client::text(agent.get(&url).call(), &url)?;
    if status != 200 {
        return Err(Failure(format!("{url} answered {status}")));
    }
    serde_json::from_str(&text).map_err(|error| Failure(format!("{url}: {error}")))
}

fn list(report: &Report) {
    let mut regions = Builder::default();
    regions.push_record(["region", "address", "health", "last seen"]);
    let mut latency = Builder::default();
    latency.push_record(["issued in", "for compute in", "over", "tokens", "p50 ms", "p95 ms", "p99 ms"]);
    let mut pairs = 0;
    for region in &report.regions {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let cells =
            [region.name.clone(), or_dash(&region.url), region.health.clone(), or_dash(&region.last_seen)];
        regions.push_record(cells.map(|cell| printable(&cell)));
        for pair in &region.latency {
            for window in Back::ALL {
                let Some(found) = pair.windows.get(window.name()) else { continue };
                let shown =
                    |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
                latency.push_record([
                    printable(&region.name),
                    printable(&pair.compute_region),
                    window.name().to_owned(),
                    found.count.to_string(),
                    shown(found.p50_milliseconds),
                    shown(found.p95_milliseconds),
                    shown(found.p99_milliseconds),
                ]);
                pairs += 1;
            }
        }
    }
    say!("\n{}", regions.build().with(Style::sharp()));
    match pairs {
        0 => say!("No tokens were issued within a day of {}.", printable(&report.as_of)),
        _ => say!("\n{}", latency.build().with(Style::sharp())),
    }
}

fn draw(report: &Report, window: Back) {
    let mut groups = Vec::new();
    for region in &report.regions {
        for pair in &region.latency {
            let Some(found) = pair.windows.get(window.name()).filter(|found| found.count > 0) else {
                continue;
            };
            groups.push(Bars {
                title: printable(&format!(
                    "{} for {}: {} tokens",
                    region.name, pair.compute_region, found.count
                )),
                bars: [
                    ("p50", found.p50_milliseconds),
                    ("p95", found.p95_milliseconds),
                    ("p99", found.p99_milliseconds),
                ]
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            });
        }
    }
    if groups.is_empty() {
        say!("No tokens were issued over {} before {}.", window.name(), printable(&report.as_of));
        return;
    }
    say!(
        "\nTime to issue a token in milliseconds, over {} before {}\n",
        window.name(),
        printable(&report.as_of)
    );
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(80);
    say!("{}", plot::chart(&groups, columns.clamp(40, 400)));
}
