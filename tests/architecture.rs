//! The shape of the code, held as data (docs/architecture.md): who may import whom, where frameworks, SQL and the
//! wall clock may stand, and how long things may grow.
//!
//! Each rule is a function from sources to complaints (`architecture/rules.rs`), and a test of its own name.
//! `every_rule_finds_a_planted_fault` shows that none of them is blind.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;

use rules::*;
use source::{Source, children, name_of, read, root};

/// Module, and what it may import besides itself. Imports point down only: a row names rows above it.
///
/// To add a module: a row here, after everything it stands on, and a line in docs/architecture.md.
const MAY_IMPORT: [(&str, &[&str]); 21] = [
    ("domain", &[]),
    // Contracts: what the core needs from outside.
    ("clock", &["domain"]),
    ("entropy", &["domain"]),
    ("https_client", &[]),
    ("strict_json", &[]),
    ("metrics", &["domain"]),
    ("storage", &["domain"]),
    // The core.
    ("signing", &["domain", "entropy", "storage", "strict_json"]),
    ("directory", &["domain", "storage", "clock"]),
    ("audit", &["domain", "storage", "clock", "entropy", "metrics"]),
    ("federation", &["domain", "signing", "clock", "https_client", "metrics"]),
    (
        "services",
        &["domain", "clock", "entropy", "metrics", "storage", "signing", "directory", "audit", "federation"],
    ),
    // Implementations. Entropy for the form of an id that sorts by time.
    ("storage::sqlite", &["domain", "storage", "entropy"]),
    ("storage::postgres", &["domain", "storage", "entropy"]),
    // Edges.
    ("http", &["domain", "services", "metrics", "strict_json"]),
    ("config", EDGE),
    ("telemetry", EDGE),
    ("worker", EDGE),
    ("startup", EDGE),
    ("cli", EDGE),
    // The binary's own file.
    ("main", &["cli"]),
];

/// Edges import what they compose.
const EDGE: &[&str] = &[
    "domain",
    "clock",
    "entropy",
    "https_client",
    "metrics",
    "storage",
    "signing",
    "directory",
    "audit",
    "federation",
    "services",
    "storage::sqlite",
    "storage::postgres",
    "http",
    "config",
    "telemetry",
    "worker",
    "startup",
];

/// Where a module may import only some names of another: signing seals and opens rows, and asks no store.
const ONLY_NAMES: [(&str, &str, &[&str]); 1] =
    [("signing", "storage", &["SealedPrivate", "StoredSigningKey"])];

const LONGEST_FILE: usize = 400;
const MEDIAN_FILE: usize = 150;
/// `authorize` and `mint`: the rule of who may have a token and what stands in it fits a screen.
const ONE_SCREEN: usize = 70;

macro_rules! rules {
    ($($rule:ident of $folders:expr),* $(,)?) => {
        mod holds {
            $(#[test]
            fn $rule() {
                let complaints = super::$rule(&super::read(&$folders));
                assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
            })*
        }
    };
}

rules! {
    imports_point_down of ["src"],
    actix_stays_at_the_edge of ["src"],
    sqlx_stays_in_its_dialects of ["src"],
    the_wall_clock_is_read_in_one_file of ["src"],
    no_file_outgrows_its_limit of ["src"],
    the_median_file_is_short of ["src"],
    the_rule_of_issuance_fits_a_screen of ["src"],
    every_allow_says_why of ["src", "tests", "benches"],
}

#[test]
fn migrations_come_in_pairs() {
    let mut dialects: Vec<(String, BTreeSet<String>)> = Vec::new();
    for folder in children(&root().join("migrations")).into_iter().filter(|path| path.is_dir()) {
        let names = children(&folder).iter().map(|file| name_of(file)).collect();
        dialects.push((name_of(&folder), names));
    }
    for pair in dialects.windows(2) {
        let [(one, ours), (other, theirs)] = pair else {
            continue;
        };
        let odd: Vec<_> = ours.symmetric_difference(theirs).collect();
        assert!(
            odd.is_empty(),
            "migrations/{one} and migrations/{other} differ in {odd:?}: write the missing half"
        );
    }
}

#[test]
fn the_security_table_has_every_row_and_names_tests_that_are_there() {
    let table = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    assert_eq!(documents::missing_rows(&table), Vec::<String>::new());
    assert_eq!(documents::missing_tests(&table), Vec::<String>::new());
    let planted = "`api::credentials::no_such_test`, `lib::signing::public_key::rsa_keys_have_bounds`";
    assert_eq!(documents::missing_tests(planted), ["api::credentials::no_such_test"]);
}

#[test]
fn the_table_points_down_itself() {
    for (at, (module, allowed)) in MAY_IMPORT.iter().enumerate() {
        for target in *allowed {
            let known = MAY_IMPORT[..at].iter().any(|(name, _)| name == target);
            let among_edges = allowed == &EDGE && MAY_IMPORT.iter().any(|(name, _)| name == target);
            assert!(
                known || among_edges,
                "MAY_IMPORT: `{module}` names `{target}`, which is no row above it"
            );
        }
    }
}

#[test]
fn every_rule_finds_a_planted_fault() {
    let long = "// a line\n".repeat(LONGEST_FILE + 1);
    let screen = "let x = 1;\n".repeat(ONE_SCREEN);
    let issuance = format!("pub fn authorize() {{}}\npub fn mint() {{\n{screen}}}\n");
    let planted: [(Rule, &str, &str); 20] = [
        (imports_point_down, "src/domain/role.rs", "use crate::storage::Store;"),
        (imports_point_down, "src/domain/role.rs", "fn f() -> super::super::clock::SystemClock {}"),
        (imports_point_down, "src/clock.rs", "use super::storage::Store;"),
        (imports_point_down, "src/services/mod.rs", "use crate::{domain::ids::ObjectId, http::routes};"),
        (imports_point_down, "src/services/mod.rs", "use crate::storage::{Page, sqlite::SqliteStore};"),
        (imports_point_down, "src/storage/mod.rs", "fn f(s: crate::storage::sqlite::SqliteStore) {}"),
        (imports_point_down, "src/storage/sqlite/mod.rs", "use crate::services::Core;"),
        (imports_point_down, "src/storage/postgres/facts.rs", "use crate::storage::sqlite::SqliteStore;"),
        (imports_point_down, "src/signing/signer.rs", "use crate::storage::{SealedPrivate, Store};"),
        (imports_point_down, "src/novel/mod.rs", "fn f() {}"),
        (actix_stays_at_the_edge, "src/services/mod.rs", "use actix_web::HttpResponse;"),
        (sqlx_stays_in_its_dialects, "src/storage/error.rs", "fn f(e: sqlx::Error) {}"),
        (the_wall_clock_is_read_in_one_file, "src/http/ops.rs", "fn f() { Utc::now(); }"),
        (the_wall_clock_is_read_in_one_file, "src/http/ops.rs", "fn f() { std::time::SystemTime::now(); }"),
        (no_file_outgrows_its_limit, "src/http/ops.rs", &long),
        (the_median_file_is_short, "src/http/ops.rs", &long),
        (the_rule_of_issuance_fits_a_screen, "src/domain/issuance.rs", &issuance),
        (the_rule_of_issuance_fits_a_screen, "src/domain/issuance.rs", "pub fn mint() {}"),
        (every_allow_says_why, "src/http/ops.rs", "\n#[must_use]\n#[allow(dead_code)]\nfn f() {}"),
        (every_allow_says_why, "src/http/ops.rs", "#![allow(dead_code)]"),
    ];
    for (rule, path, text) in planted {
        let complaints = rule(&[Source::new(path, text)]);
        assert_eq!(complaints.len(), 1, "in {path}: {text}\n{complaints:?}");
        assert!(complaints[0].starts_with("src"), "names no place: {}", complaints[0]);
    }
}

#[test]
fn no_rule_complains_of_words_in_comments_strings_and_tests() {
    let text = r##"
        //! crate::http::routes, sqlx::Error and actix_web, Utc::now() */
        /* nested /* crate::cli::serve */ sqlx */
        const A: &str = "crate::http \" sqlx"; const B: &str = r#"actix_web " crate::cli"#; const C: char = '"';
        fn f<'a>(x: &'a str) -> char { '\'' }
        // because
        #[allow(dead_code)]
        fn g() {}
        #[cfg(test)]
        mod tests { use crate::storage::sqlite::SqliteStore; fn f() { Utc::now(); sqlx::query(""); } }
    "##;
    let source = [Source::new("src/domain/role.rs", text)];
    let rules: [Rule; 5] = [
        imports_point_down,
        actix_stays_at_the_edge,
        sqlx_stays_in_its_dialects,
        the_wall_clock_is_read_in_one_file,
        every_allow_says_why,
    ];
    for rule in rules {
        assert_eq!(rule(&source), Vec::<String>::new());
    }
    assert_eq!(source[0].lines, 9, "of 11 lines the tests take two");
}
