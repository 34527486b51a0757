//! What the documents promise of the code: that a test named in `docs/security.md` is there.

use super::root;

/// Every test that the text names (`api::credentials::an_expired_secret_…` in backticks) and that is nowhere.
pub fn missing_tests(document: &str) -> Vec<String> {
    let named = document.split('`').skip(1).step_by(2);
    named.filter(|name| is_test_name(name) && !exists(name)).map(str::to_owned).collect()
}

/// Rows `M1` to `M37` that the text lacks.
pub fn missing_rows(document: &str) -> Vec<String> {
    let rows = (1..=37).map(|number| format!("M{number}"));
    rows.filter(|row| !document.lines().any(|line| line.starts_with(&format!("| {row} |")))).collect()
}

/// Programs of tests, and where their files are.
const PROGRAMS: [(&str, &str); 10] = [
    ("lib", "src"),
    ("api", "tests/api"),
    ("cli", "tests/cli"),
    ("faults", "tests/faults"),
    ("fuzz", "tests"),
    ("strict", "tests/strict"),
    ("gateways", "tests/gateways"),
    ("model", "tests/model"),
    ("storage", "tests/storage"),
    ("architecture", "tests"),
];

fn is_test_name(name: &str) -> bool {
    let program = name.split("::").next().unwrap_or_default();
    name.contains("::") && PROGRAMS.iter().any(|(known, _)| *known == program)
}

/// `lib::a::b::test` is `fn test` in `src/a/b.rs`, `src/a/b/mod.rs` or `src/a/b/tests.rs`.
fn exists(name: &str) -> bool {
    let mut parts: Vec<&str> = name.split("::").collect();
    let (Some(test), false) = (parts.pop(), parts.is_empty()) else { return false };
    let program = parts.remove(0);
    let folder = PROGRAMS.iter().find(|(known, _)| *known == program).map_or("", |(_, folder)| folder);
    let module = if parts.is_empty() { program.to_owned() } else { parts.join("/") };
    let base = root().join(folder);
    [format!("{module}.rs"), format!("{module}/mod.rs"), format!("{module}/tests.rs"), "main.rs".to_owned()]
        .iter()
        .filter_map(|file| std::fs::read_to_string(base.join(file)).ok())
        .any(|text| text.contains(&format!("fn {test}(")))
}
