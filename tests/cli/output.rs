//! Commands whose output can't be written end with one line, and never panic.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::helpers::*;

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// Every command that prints without a server.
const PRINTING: [&[&str]; 8] = [
    &["keys", "list"],
    &["audit", "list"],
    &["audit", "list", "--format", "json"],
    &["audit", "export"],
    &["audit", "verify"],
    &["audit", "remove", "--before", "1h"],
    &["config", "check"],
    &["apply", "-f", "registry.toml", "--dry-run"],
];

fn demo(place: &Place, args: &[&str]) -> std::process::Command {
    place.command(&[args, &["--config", "wsts-data/wsts.toml"]].concat())
}

#[test]
fn a_full_disk_under_the_output_is_an_error_of_one_line() {
    let place = Place::with_demo();
    place.write("registry.toml", include_str!("../../config/quickstart.toml"));
    for args in PRINTING {
        let mut command = demo(&place, args);
        let ended: Ended = command.stdout(full()).stderr(Stdio::piped()).output().unwrap().into();
        let ended = ended.expect(1);
        assert_eq!(ended.err.lines().count(), 1, "{args:?}: {}", ended.err);
        assert!(
            ended.err.starts_with("wsts: ") && ended.err.contains("No space left"),
            "{args:?}: {}",
            ended.err
        );
    }
}

#[test]
fn a_reader_that_went_away_is_not_told() {
    let place = Place::with_demo();
    place.write("registry.toml", include_str!("../../config/quickstart.toml"));
    for args in PRINTING {
        let mut child = demo(&place, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended: Ended = child.wait_with_output().unwrap().into();
        // Ended by the signal, or well.
        assert!(matches!(ended.code, None | Some(0)), "{args:?}: {:?}", ended.code);
        assert_eq!(ended.err, "", "{args:?}");
    }
}

#[test]
fn an_error_that_nobody_can_read_is_still_an_error() {
    let place = Place::new();
    let mut command = place.command(&["config", "check", "--config", "nowhere.toml"]);
    assert_eq!(command.stdout(full()).stderr(full()).status().unwrap().code(), Some(1));
}
