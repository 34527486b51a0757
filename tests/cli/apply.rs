//! `wsts apply`: the registry becomes what a file says, whole or not at all; of a very large file, in batches.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::helpers::*;

const FILE: &str = include_str!("../../config/quickstart.toml");

fn apply(place: &Place, text: &str, more: &[&str]) -> Ended {
    place.write("registry.toml", text);
    place.over_demo(&[&["apply", "-f", "registry.toml"], more].concat())
}

/// How many changes the audit knows.
fn changes(place: &Place) -> usize {
    place.audit().iter().filter(|row| row["event"] == "change").count()
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let place = Place::with_demo();
    let before = changes(&place);
    let ended = apply(&place, &FILE.replace("home_region", "home_regoin"), &[]).expect(1);
    assert!(ended.err.contains("registry.toml") && ended.err.contains("home_regoin"), "{}", ended.err);
    assert!(ended.err.contains("line"), "{}", ended.err);
    let ended = apply(&place, "[[tenant]]\nid = 1\n", &[]).expect(1);
    assert!(ended.err.contains("tenant"), "{}", ended.err);
    assert_eq!(changes(&place), before);
}

#[test]
fn dangling_references_are_all_named_and_nothing_is_applied() {
    let place = Place::with_demo();
    let before = changes(&place);
    let text = format!(
        "{FILE}\n[[role_assignments]]\nprincipal = \"77777777-7777-7777-7777-777777777777\"\nrole = \"Reader\"\nscope = \"/\"\n\
         [[role_assignments]]\nprincipal = \"{READER}\"\nrole = \"Raeder\"\nscope = \"/\"\n\
         [[webservices]]\nworkspace = \"{}\"\nname = \"lonely\"\ncompute_type = \"AKS\"\n\
         [[tenants]]\nid = \"77777777-7777-7777-7777-777777777777\"\nname = \"new\"\n",
        WORKSPACE.replace("/demo", "/none")
    );
    let ended = apply(&place, &text, &[]).expect(1);
    for word in ["no such principal", "no such role", "lonely"] {
        assert!(ended.err.contains(word), "{word}: {}", ended.err);
    }
    assert_eq!(changes(&place), before, "not even the new tenant, which was right");
}

#[test]
fn an_issuer_that_the_configuration_does_not_name_is_warned_of() {
    let place = Place::with_demo();
    let text = FILE.replacen(
        "[[role_",
        "[[principals.federated_credentials]]\nname = \"ci\"\nissuer = \"https://issuer.example\"\n\
         subject = \"s\"\naudience = \"api://sts\"\n\n[[role_",
        1,
    );
    let ended = apply(&place, &text, &[]).expect(0);
    let warning = "! issuer https://issuer.example: its tokens are refused until federation.issuers";
    assert!(ended.out.contains(warning), "{}", ended.out);
}

#[test]
fn a_dry_run_shows_the_difference_and_changes_nothing() {
    let place = Place::with_demo();
    let before = changes(&place);
    let text = FILE.replace("auth_mode = \"key\"", "auth_mode = \"token\"");
    for _ in 0..2 {
        let ended = apply(&place, &text, &["--dry-run"]).expect(0);
        assert!(ended.out.starts_with("~ webservice"), "{}", ended.out);
        assert!(ended.out.contains("dry run: nothing was changed"), "{}", ended.out);
    }
    assert_eq!(changes(&place), before);
}

#[test]
fn applied_again_there_is_nothing_to_do() {
    let place = Place::with_demo();
    let text = FILE.replace("auth_mode = \"key\"", "auth_mode = \"token\"");
    let ended = apply(&place, &text, &[]).expect(0);
    assert!(ended.out.contains("1 changes applied"), "{}", ended.out);
    let before = place.audit().len();
    let ended = apply(&place, &text, &[]).expect(0);
    assert_eq!(ended.out, "nothing to do: the registry is as the file says\n");
    assert_eq!(place.audit().len(), before);
    let row = place.audit().into_iter().find(|row| row["event"] == "change").unwrap();
    assert_eq!((&row["method"], &row["endpoint"]), (&"command_line".into(), &"command_line".into()));
}

#[test]
fn only_prune_removes_what_the_file_does_not_name() {
    let place = Place::with_demo();
    // All but the assignment at the end of the file.
    let shorter = &FILE[..FILE.find("[[role_assignments]]").unwrap()];
    let ended = apply(&place, shorter, &[]).expect(0);
    assert!(ended.out.starts_with("nothing to do"), "{}", ended.out);
    let ended = apply(&place, shorter, &["--prune"]).expect(0);
    assert!(ended.out.starts_with("- role assignment"), "{}", ended.out);
    let ended = apply(&place, FILE, &["--prune"]).expect(0);
    assert!(ended.out.starts_with("+ role assignment"), "{}", ended.out);
    // An empty file with --prune empties the registry, and the built-in roles stay.
    let ended = apply(&place, "", &["--prune"]).expect(0);
    assert!(!ended.out.contains("built-in"), "{}", ended.out);
    let ended = apply(&place, "", &["--prune"]).expect(0);
    assert!(ended.out.starts_with("nothing to do"), "{}", ended.out);
}

/// A further principal that gets a secret.
fn principal(number: u32) -> String {
    format!(
        "\n[[principals]]\nclient_id = \"aaaaaaaa-0000-0000-0000-{number:012}\"\ntenant = \"11111111-1111-1111-1111-111111111111\"\n\
         name = \"further {number}\"\nsecret_lifetime_days = 30\n"
    )
}

#[test]
fn new_secrets_go_to_a_private_file_and_are_not_shown() {
    let place = Place::with_demo();
    let ended = apply(&place, &format!("{FILE}{}", principal(1)), &["--secrets-to", "secrets"]).expect(0);
    let path = place.path("secrets");
    assert_eq!(mode(&path), 0o600);
    let line: serde_json::Value = serde_json::from_str(place.read("secrets").trim()).unwrap();
    assert_eq!(line["client_id"], "aaaaaaaa-0000-0000-0000-000000000001");
    let secret = line["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("wsts_") && !ended.out.contains(secret) && !ended.err.contains(secret));
    // Without a file it is shown once.
    let ended = apply(&place, &format!("{FILE}{}", principal(2)), &[]).expect(0);
    assert!(ended.out.contains("shown once): wsts_"), "{}", ended.out);
}

#[test]
fn a_file_of_secrets_keeps_the_earlier_ones_and_becomes_private() {
    let place = Place::with_demo();
    let path = place.write("secrets", "{\"earlier\": true}\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!("{FILE}{}", principal(1));
    apply(&place, &text, &["--secrets-to", "secrets"]).expect(0);
    assert_eq!(mode(&path), 0o600);
    // The same command again, with a change that makes no secret.
    let text = text.replace("auth_mode = \"key\"", "auth_mode = \"token\"");
    apply(&place, &text, &["--secrets-to", "secrets"]).expect(0);
    let kept = place.read("secrets");
    assert_eq!(kept.lines().count(), 2, "{kept}");
    assert!(kept.starts_with("{\"earlier\": true}\n"));
}

#[test]
fn secrets_that_nobody_reads_are_said_to_be_lost() {
    let place = Place::with_demo();
    place.write("registry.toml", &format!("{FILE}{}", principal(1)));
    let args = ["apply", "-f", "registry.toml", "--config", "wsts-data/wsts.toml"];
    let mut command = place.command(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended: Ended = child.wait_with_output().unwrap().into();
    let ended = ended.expect(1);
    for words in ["2 of 2 changes are applied", "aaaaaaaa-0000-0000-0000-000000000001", "--secrets-to FILE"] {
        assert!(ended.err.contains(words), "{words}: {}", ended.err);
    }
    // Nothing to be lost, nothing to be said.
    let text = FILE.replace("auth_mode = \"key\"", "auth_mode = \"token\"");
    place.write("registry.toml", &text);
    let mut command = place.command(&args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended: Ended = child.wait_with_output().unwrap().into();
    assert_eq!(ended.expect(0).err, "");
}

#[test]
fn a_large_file_goes_on_where_it_stopped_and_loses_no_secret() {
    const PRINCIPALS: usize = 2100;
    let place = Place::with_demo();
    let before = changes(&place);
    let mut text = FILE.to_owned();
    text.extend((0..PRINCIPALS as u32).map(principal));
    // The database refuses a principal in the second batch of 2048 changes.
    let twin = text.replace("\"further 2060\"", "\"further 5\"");
    sql(&place, "CREATE UNIQUE INDEX refuse ON principals (display_name)");
    let to_file = ["--secrets-to", "secrets"];
    let ended = apply(&place, &twin, &to_file).expect(1);
    assert!(ended.err.contains("2048 of 4200 changes are applied, and none of the others"), "{}", ended.err);
    assert!(ended.err.contains("principal aaaaaaaa-0000-0000-0000-000000002060: "), "{}", ended.err);
    assert_eq!(changes(&place) - before, 2048);
    assert_eq!(count(&place, "principals WHERE display_name LIKE 'further%'"), 2048);
    assert_eq!(place.read("secrets"), "");
    // Now it stops among the secrets, of which those of a batch that is in are kept.
    sql(&place, "DROP INDEX refuse");
    sql(
        &place,
        "CREATE TRIGGER refuse BEFORE INSERT ON client_secrets WHEN (SELECT count(*) FROM client_secrets) > 2010 \
         BEGIN SELECT RAISE(ABORT, 'no more'); END",
    );
    let held = count(&place, "client_secrets");
    let ended = apply(&place, &text, &to_file).expect(1);
    assert!(ended.err.contains("2048 of 2152 changes are applied, and none of the others"), "{}", ended.err);
    assert_eq!(place.read("secrets").lines().count(), 2048 - 52);
    assert_eq!(count(&place, "client_secrets") - held, 2048 - 52);
    sql(&place, "DROP TRIGGER refuse");
    let ended = apply(&place, &text, &to_file).expect(0);
    assert!(ended.out.contains("104 changes applied"), "{}", ended.out);
    let secrets = place.read("secrets");
    let named =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["client_id"].to_string();
    let whose: std::collections::BTreeSet<String> = secrets.lines().map(named).collect();
    assert_eq!((whose.len(), secrets.lines().count()), (PRINCIPALS, PRINCIPALS));
    // One record for each change, and none for what was refused.
    assert_eq!(changes(&place) - before, 2 * PRINCIPALS);
    place.over_demo(&["audit", "verify"]).expect(0);
    let ended = apply(&place, &text, &to_file).expect(0);
    assert!(ended.out.starts_with("nothing to do"), "{}", ended.out);
}

/// Says something to the demo's database.
fn sql(place: &Place, statement: &str) -> i64 {
    use sqlx::{AssertSqlSafe, Connection as _, Row as _, sqlite::SqliteConnection};
    let url = format!("sqlite://{}", place.path("wsts-data/wsts.db").display());
    let run = async {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let row =
            sqlx::query(AssertSqlSafe(statement.to_owned())).fetch_optional(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        row.map_or(0, |row| row.get(0))
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run)
}

fn count(place: &Place, from: &str) -> i64 {
    sql(place, &format!("SELECT count(*) FROM {from}"))
}
