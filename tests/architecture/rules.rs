//! The rules of tests/architecture.rs. The table and the limits stand there.

use super::source::Source;
use super::{LONGEST_FILE, MAY_IMPORT, MEDIAN_FILE, ONE_SCREEN, ONLY_NAMES};

/// A rule reads sources and complains, each time with the place and what to do.
pub type Rule = fn(&[Source]) -> Vec<String>;

pub fn imports_point_down(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let module = module_of(&source.module_path());
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
            complaints.push(format!(
                "{}:1: module `{module}` has no row in MAY_IMPORT (tests/architecture.rs): add one",
                source.path
            ));
            continue;
        };
        for (line, path) in source.imports() {
            let target = module_of(&path);
            let place = format!("{}:{line}", source.path);
            if target != module && !allowed.contains(&target.as_str()) {
                complaints.push(format!(
                    "{place}: `{module}` may not import `{target}` (it may: {allowed:?}). Move the code to a module that \
                     may, or hand the value in as a parameter; widen MAY_IMPORT only with the table of docs/architecture.md"
                ));
            }
            let only = ONLY_NAMES.iter().find(|(from, to, _)| *from == module && *to == target);
            if let Some((_, _, names)) = only
                && !path.last().is_some_and(|name| names.contains(&name.as_str()))
            {
                complaints.push(format!(
                    "{place}: `{module}` may import only {names:?} of `{target}`: take bytes or domain values"
                ));
            }
        }
    }
    // A group of names is one import.
    complaints.dedup();
    complaints
}

pub fn actix_stays_at_the_edge(sources: &[Source]) -> Vec<String> {
    let allowed = ["src/http/", "src/startup.rs", "src/startup/", "src/cli/quickstart.rs"];
    let advice = "let the code take parsed values and stand in services/, and call it from http/";
    idents(sources, &allowed, |name| name.starts_with("actix"), advice)
}

pub fn sqlx_stays_in_its_dialects(sources: &[Source]) -> Vec<String> {
    let allowed = ["src/storage/sqlite/", "src/storage/postgres/"];
    let advice =
        "add a method to `storage::Store` and write the SQL in storage/sqlite/ (and storage/postgres/)";
    idents(sources, &allowed, |name| name == "sqlx", advice)
}

pub fn the_wall_clock_is_read_in_one_file(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.path != "src/clock.rs") {
        for three in source.tokens.windows(3) {
            let clock = matches!(three[0].text.as_str(), "Utc" | "Local" | "SystemTime");
            if clock && three[1].text == "::" && three[2].text == "now" {
                let (place, what) = (three[0].line, &three[0].text);
                complaints.push(format!(
                    "{}:{place}: `{what}::now`: take `&dyn Clock` (src/clock.rs)",
                    source.path
                ));
            }
        }
    }
    complaints
}

pub fn no_file_outgrows_its_limit(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().filter(|source| source.lines > LONGEST_FILE);
    long.map(|source| {
        format!(
            "{}:1: {} lines without its tests, at most {LONGEST_FILE}: split it by what it is about",
            source.path, source.lines
        )
    })
    .collect()
}

pub fn the_median_file_is_short(sources: &[Source]) -> Vec<String> {
    let mut lengths: Vec<_> = sources.iter().map(|source| source.lines).collect();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    println!("{} files, median {median} lines, longest {:?}", lengths.len(), lengths.last());
    match median {
        0..=MEDIAN_FILE => Vec::new(),
        _ => vec![format!(
            "src: the median file has {median} lines, at most {MEDIAN_FILE}: split the longest ones"
        )],
    }
}

pub fn the_rule_of_issuance_fits_a_screen(sources: &[Source]) -> Vec<String> {
    let path = "src/domain/issuance.rs";
    let Some(source) = sources.iter().find(|source| source.path == path) else {
        return vec![format!(
            "{path}:1: is gone: name the new home of `authorize` and `mint` in tests/architecture.rs"
        )];
    };
    let lengths = ["authorize", "mint"].map(|name| source.function_lines(name));
    match lengths {
        [Some(authorize), Some(mint)] if authorize + mint <= ONE_SCREEN => Vec::new(),
        _ => vec![format!(
            "{path}:1: authorize and mint have {lengths:?} lines, together at most {ONE_SCREEN}: name a step and move it out"
        )],
    }
}

pub fn every_allow_says_why(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let lines: Vec<_> = source.text.lines().collect();
        let marks = source.all_tokens.windows(4).filter(|four| {
            let after = if four[1].text == "!" { &four[2..] } else { &four[1..] };
            four[0].text == "#"
                && after[0].text == "["
                && matches!(after[1].text.as_str(), "allow" | "expect")
        });
        for mark in marks {
            let at = mark[0].line - 1;
            // Attributes of one item share the comment above the first.
            let above = lines[..at].iter().rev().find(|line| !line.trim_start().starts_with("#["));
            let said =
                lines[at].contains("//") || above.is_some_and(|line| line.trim_start().starts_with("//"));
            if !said {
                complaints.push(format!(
                    "{}:{}: a lint is allowed without a reason: say why in a comment on the line above",
                    source.path,
                    at + 1
                ));
            }
        }
    }
    complaints
}

/// Complains of every use of some names outside the files that may have them.
fn idents(sources: &[Source], allowed: &[&str], is: fn(&str) -> bool, advice: &str) -> Vec<String> {
    let outside = sources.iter().filter(|source| !allowed.iter().any(|start| source.path.starts_with(start)));
    outside
        .flat_map(|source| source.tokens.iter().map(move |token| (source, token)))
        .filter(|(_, token)| is(&token.text))
        .map(|(source, token)| {
            format!("{}:{}: `{}` has no place here: {advice}", source.path, token.line, token.text)
        })
        .collect()
}

/// The row of the table to which a path from the root of the crate belongs.
fn module_of(path: &[String]) -> String {
    let first = path.first().map_or("", String::as_str);
    match path.get(1).map(String::as_str) {
        Some(dialect @ ("sqlite" | "postgres")) if first == "storage" => format!("storage::{dialect}"),
        _ => first.to_owned(),
    }
}
