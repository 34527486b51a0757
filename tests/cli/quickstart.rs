//! `wsts quickstart`: from nothing to a verified token, and the same again over what is there.

use crate::helpers::*;

#[test]
fn from_nothing_to_a_verified_token_and_again_without_making_anything_anew() {
    let place = Place::new();
    let first = place.quickstart().expect(0);
    assert!(first.out.contains("\nverified    against https://localhost:"), "{}", first.out);
    assert!(first.out.contains("+ webservice"), "{}", first.out);
    let secret = place.read(&format!("wsts-data/{READER}.secret"));
    assert!(secret.starts_with("wsts_") && !first.out.contains(&secret), "a secret on the screen");
    let kept = ["kek", "pepper", "server.pem", "server.key", "ca.pem"].map(str::to_owned);
    let secrets = [READER, STRANGER].map(|id| format!("{id}.secret"));
    let files: Vec<String> =
        kept.into_iter().chain(secrets).map(|name| format!("wsts-data/{name}")).collect();
    let before: Vec<String> = files.iter().map(|name| place.read(name)).collect();
    let tokens = |place: &Place| place.audit().iter().filter(|row| row["outcome"] == "issued").count();
    assert_eq!(tokens(&place), 2);

    let second = place.quickstart().expect(0);
    assert!(!second.out.contains("\n+ ") && !second.out.contains("\n~ "), "{}", second.out);
    let after: Vec<String> = files.iter().map(|name| place.read(name)).collect();
    assert_eq!(before, after);
    assert_eq!(tokens(&place), 4, "the first run's records are there too");
    let keys = place.audit().iter().filter(|row| row["event"] == "signing_key").count();
    let listed = place.over_demo(&["keys", "list"]).expect(0);
    assert_eq!(listed.out.matches("ES256").count(), keys, "no key at the second start");
}

#[test]
fn what_is_secret_is_readable_by_its_owner_only() {
    let place = Place::with_demo();
    for name in ["kek", "pepper", "server.key", &format!("{READER}.secret")] {
        let path = place.path("wsts-data").join(name);
        assert_eq!(mode(&path), 0o600, "{name}");
    }
    assert_eq!(mode(&place.path("wsts-data")), 0o700);
    assert!(std::fs::read_dir(place.path("home")).unwrap().next().is_none(), "nothing in the home folder");
}

#[test]
fn a_taken_port_is_named_and_nothing_is_registered() {
    let place = Place::new();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", place.port)).unwrap();
    let ended = place.quickstart().expect(1);
    assert!(ended.err.contains(&format!("can't listen on 127.0.0.1:{}", place.port)), "{}", ended.err);
    assert!(!place.path("wsts-data/wsts.db").exists());
}

#[test]
fn a_secret_that_is_missing_beside_a_database_is_not_made_anew() {
    for name in ["kek", "pepper"] {
        let place = Place::with_demo();
        let file = place.path("wsts-data").join(name);
        let secret = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let ended = place.quickstart().expect(1);
        let named = format!("wsts-data/{name} is missing");
        assert!(ended.err.contains(&named) && ended.err.contains("restore it"), "{}", ended.err);
        assert!(!file.exists(), "a new {name} beside the old database");
        std::fs::write(&file, secret).unwrap();
        place.quickstart().expect(0);
    }
}

#[test]
fn the_printed_lines_paste_though_the_folder_has_a_space_and_a_quote() {
    let place = Place::new();
    let (port, ops) = (place.port.to_string(), place.ops_port.to_string());
    let args = ["quickstart", "--once", "--port", &port, "--ops-port", &ops, "--data", "it's my data"];
    let shown = place.run(&args).expect(0).out;
    assert!(shown.contains(r"curl --cacert 'it'\''s my data/ca.pem' https://localhost"), "{shown}");
    assert!(shown.contains(r"--data-urlencode 'client_secret@it'\''s my data/"), "{shown}");
    let (_, line) = shown.split_once("Who got what: wsts ").unwrap();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_wsts"), line.trim());
    let mut shell = std::process::Command::new("sh");
    let listed = shell.args(["-c", &line]).current_dir(place.path("")).output().unwrap();
    assert!(listed.status.success(), "{line}: {}", String::from_utf8_lossy(&listed.stderr));
}

#[test]
fn another_port_over_the_same_demo_is_refused_with_the_port_it_has() {
    let place = Place::with_demo();
    let (other, ops) = (Place::new().port.to_string(), place.ops_port.to_string());
    let args = ["quickstart", "--once", "--port", &other, "--ops-port", &ops];
    let ended = place.run(&args).expect(1);
    assert!(ended.err.contains(&format!("was made as https://localhost:{}", place.port)), "{}", ended.err);
    place.quickstart().expect(0);
}
