//! `wsts serve` and `wsts healthcheck`: starting, draining, refusing to start twice.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::helpers::*;

#[test]
fn healthcheck_tells_by_its_exit_code() {
    let place = Place::with_demo();
    let ended = place.healthcheck().expect(1);
    assert!(ended.err.contains("127.0.0.1"), "{}", ended.err);
    let _serving = place.serve();
    assert_eq!(place.healthcheck().expect(0).out, "ready\n");
}

#[test]
fn sigterm_lets_a_running_request_end_and_exits_with_0() {
    let place = Place::with_demo();
    // Plain HTTP on loopback, so that the test can write half a request.
    let text = place.read("wsts-data/wsts.toml");
    let tls = text[text.find("[server.tls]").unwrap()..text.find("[ops]").unwrap()].to_owned();
    place.write("plain.toml", &text.replace(&tls, ""));
    let mut serving = place.serve_with("plain.toml");
    let body = format!(
        "grant_type=client_credentials&client_id={READER}&client_secret={}&resource={}{WORKSPACE}/services/scorer",
        place.read(&format!("wsts-data/{READER}.secret")),
        place.url(""),
    );
    let mut running = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{}",
        body.len(),
        &body[..20]
    );
    running.write_all(head.as_bytes()).unwrap();
    // In flight when the metrics say so.
    wait_until(|| {
        let mut ops = TcpStream::connect(("127.0.0.1", place.ops_port)).unwrap();
        ops.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        ops.read_to_string(&mut text).unwrap();
        text.contains("sts_http_requests_in_flight{region=\"local\"} 1")
    });
    serving.terminate();
    wait_until(|| TcpStream::connect(("127.0.0.1", place.port)).is_err());
    running.write_all(&body.as_bytes()[20..]).unwrap();
    let mut answer = String::new();
    running.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(serving.wait(), Some(0));
    assert!(place.read("log").contains("draining"), "{}", place.read("log"));
}

#[test]
fn an_idle_service_stops_at_once_on_sigterm() {
    let place = Place::with_demo();
    let mut serving = place.serve();
    serving.terminate();
    assert_eq!(serving.wait(), Some(0));
}

#[test]
fn a_second_service_on_the_same_port_is_refused_and_disturbs_nothing() {
    let place = Place::with_demo();
    let _serving = place.serve();
    let rows = place.audit().len();
    let ended = place.over_demo(&["serve"]).expect(1);
    assert!(ended.err.contains(&format!("can't listen on 127.0.0.1:{}", place.port)), "{}", ended.err);
    place.healthcheck().expect(0);
    assert_eq!(place.audit().len(), rows);
}

#[test]
fn a_log_line_holds_no_secret() {
    let place = Place::with_demo();
    let serving = place.serve();
    let secret_file = format!("wsts-data/{READER}.secret");
    crate::token::token(&place, &["--client-id", STRANGER, "--client-secret-file", &secret_file]).expect(1);
    crate::token::token(&place, &["--client-id", READER, "--client-secret-file", &secret_file]).expect(0);
    drop(serving);
    let log = place.read("log");
    assert!(log.contains("request refused"), "{log}");
    assert!(!log.contains(&place.read(&secret_file)) && !log.contains("eyJ"), "{log}");
}

/// Of the running service: a crash leaves no memory behind.
#[cfg(target_os = "linux")]
#[test]
fn a_serving_process_leaves_no_core() {
    let place = Place::with_demo();
    let serving = place.serve();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serving.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[4..], ["0", "0", "bytes"], "{line}");
}

/// Of every command: its memory is not for other processes of its user. The system then gives what is in /proc to root,
/// so the command is run by somebody else.
#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_a_command_is_not_for_others_of_its_user() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    const NOBODY: u32 = 65534;
    let place = Place::new();
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    // It asks, and is never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/readyz", silent.local_addr().unwrap());
    let mut command = place.command(&["healthcheck", "--url", &url]);
    if is_root {
        // Somewhere that nobody may enter, too.
        std::fs::set_permissions(place.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
        let copy = place.path("wsts");
        std::fs::copy(env!("CARGO_BIN_EXE_wsts"), &copy).unwrap();
        command = std::process::Command::new(copy);
        command.args(["healthcheck", "--url", &url]).current_dir("/").uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    silent.accept().unwrap();
    let owner = std::fs::metadata(format!("/proc/{}/environ", child.id())).unwrap().uid();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(owner, 0, "the process belongs to its user, as one does that may be traced");
}
