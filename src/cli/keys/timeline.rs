//! Signing keys as a table and on a time line, for a look that takes a second.

use std::fmt::Write as _;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use tabled::builder::Builder;
use tabled::settings::Style;

use crate::domain::signing_key::{KeyState, SigningKey};

/// Characters from the left end of the time line to the right one.
const WIDTH: i32 = 64;
const STANDBY: char = '·';
const SIGNS: char = '█';
const RETIRES: char = '░';

/// All keys in a table, and those that are published on a time line.
pub fn draw(keys: &[SigningKey], now: DateTime<Utc>) -> String {
    let mut out = table(keys, now);
    let live: Vec<&SigningKey> = keys.iter().filter(|key| key.life.state(now).is_published()).collect();
    let Some((from, until)) = bounds(&live, now) else {
        return out + "\nno key is published\n";
    };
    let column = |time: DateTime<Utc>| {
        let (part, whole) =
            ((time - from).num_milliseconds() as f64, (until - from).num_milliseconds() as f64);
        (part / whole.max(1.0) * f64::from(WIDTH)).clamp(0.0, f64::from(WIDTH)) as i32
    };
    let name = |key: &SigningKey| format!("{} {}", key.region, key.generation);
    let names = live.iter().map(|key| name(key).chars().count()).max().unwrap_or_default();
    // Writing to a string can't fail.
    let _ = writeln!(out, "\n{:names$} {}now", "", " ".repeat(column(now).unsigned_abs() as usize));
    for key in live {
        let life = &key.life;
        let (published, signs, retires, removed) = (
            column(life.published_at),
            column(life.sign_from),
            column(life.sign_until),
            column(life.remove_at),
        );
        // However short: who waits must not look like who signs.
        let signs = if life.state(now) == KeyState::Standby { signs.max(column(now) + 2) } else { signs };
        let bar: String = (0..=WIDTH)
            .map(|at| match at {
                at if at == column(now) => '│',
                at if at < published || at > removed => ' ',
                at if at < signs => STANDBY,
                at if at < retires => SIGNS,
                _ => RETIRES,
            })
            .collect();
        let _ = writeln!(out, "{:names$} {}  {}", name(key), bar, next(key, now));
    }
    let _ = writeln!(out, "{:names$} {:<33}{:>32}", "", day(from), day(until),);
    let _ = writeln!(out, "{:names$} {STANDBY} standby   {SIGNS} signs   {RETIRES} retiring", "");
    out
}

/// From the oldest reading to the last removal, not further back than the present key's life explains.
fn bounds(live: &[&SigningKey], now: DateTime<Utc>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let until = live.iter().map(|key| key.life.remove_at).max()?;
    let from = live.iter().map(|key| key.life.published_at).min()?.min(now);
    Some((from, until))
}

/// What happens to the key next, and when.
fn next(key: &SigningKey, now: DateTime<Utc>) -> String {
    let life = &key.life;
    let (what, at) = match life.state(now) {
        KeyState::Standby => ("signs", life.sign_from),
        KeyState::Active => ("retires", life.sign_until),
        _ => ("is removed", life.remove_at),
    };
    format!("{what} in {}", length(at - now))
}

/// In the two largest units.
fn length(span: Duration) -> String {
    let (days, hours, minutes) = (span.num_days(), span.num_hours() % 24, span.num_minutes() % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", span.num_seconds() % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn table(keys: &[SigningKey], now: DateTime<Utc>) -> String {
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
        "revoked",
    ]);
    for key in keys {
        let life = &key.life;
        let times = [life.published_at, life.sign_from, life.sign_until, life.remove_at];
        let mut record = vec![
            key.region.to_string(),
            key.generation.to_string(),
            life.state(now).as_str().to_owned(),
            key.algorithm.as_str().to_owned(),
            key.kid.clone(),
        ];
        record.extend(times.map(second));
        record.push(life.revoked_at.map(second).unwrap_or_default());
        table.push_record(record);
    }
    table.build().with(Style::sharp()).to_string() + "\n"
}

fn second(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}
