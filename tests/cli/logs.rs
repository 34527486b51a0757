//! What the log and the audit hold of what callers send: no secret, and no line that a caller wrote.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::helpers::*;

/// Hostile values, and one mark in each by which a forged line would be known.
const HOSTILE: usize = 1000;
const MARK: &str = "forged-line";

/// The demo over plain HTTP on the loopback interface, so that a test can write any byte; everything is logged, and what
/// is refused is recorded however often it comes.
fn serve_plain(place: &Place, format: &str) -> Serving {
    let text = place.read("wsts-data/wsts.toml");
    let tls = text[text.find("[server.tls]").unwrap()..text.find("[ops]").unwrap()].to_owned();
    let text = text.replace(&tls, "");
    let text = text.split("[log]").next().unwrap().to_owned();
    let limits = "[limits]\nmax_failures_per_minute = 0";
    place
        .write("plain.toml", &format!("{text}\n{limits}\n[log]\nformat = \"{format}\"\nlevel = \"trace\"\n"));
    place.serve_with("plain.toml")
}

/// The answer as text; empty when the connection was closed without one.
fn send(place: &Place, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
    // Whoever refuses the head may have closed already.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn hostile(number: usize) -> String {
    let tricks = [
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\u{1b}[2K\u{1b}[1A",
        "\u{202e}",
        "\u{2028}",
        "\u{85}",
        "\"}\n{\"",
        "\\n\\u000a",
        "%0d%0a",
        "\u{7f}\u{8}\u{8}",
        "\u{feff}",
    ];
    let trick = tricks[number % tricks.len()];
    let level = ["ERROR", "INFO"][number % 2];
    format!("x{trick}{{\"level\":\"{level}\",\"message\":\"{MARK}\"}}{trick}{level} {MARK} {number}{trick}")
}

/// One request with the value in a place that is logged or recorded.
fn request(place: &Place, number: usize) -> Vec<u8> {
    let value = hostile(number);
    let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    // What can stand in a header at all.
    let in_header: String = value.chars().filter(|c| *c != '\r' && *c != '\n' && *c != '\0').collect();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let token = |fields: String| post("/oauth2/token", form, fields.as_bytes());
    let resource = format!("{}{WORKSPACE}/services/scorer", place.url(""));
    let wrong = format!("grant_type=client_credentials&client_secret=x&resource={resource}");
    // Refused and recorded, with what its head brings.
    let refused = format!("{wrong}&client_id={READER}");
    let good = "grant_type=client_credentials&client_secret=x";
    match number % 9 {
        0 => token(format!("{wrong}&client_id={encoded}")),
        1 => token(format!("{good}&client_id={READER}&resource={encoded}")),
        2 => token(format!("{good}&client_id={READER}&scope={encoded}")),
        3 => token(format!("grant_type={encoded}&client_id={READER}")),
        4 => post("/oauth2/token", &format!("{form}X-Request-Id: {in_header}\r\n"), refused.as_bytes()),
        5 => post(
            "/oauth2/token",
            &format!("{form}traceparent: 00-{in_header}\r\nUser-Agent: {in_header}\r\n"),
            refused.as_bytes(),
        ),
        6 => post(&format!("/{encoded}/oauth2/v2.0/token?{encoded}={encoded}"), form, refused.as_bytes()),
        7 => post(
            &format!("{WORKSPACE}/onlineEndpoints/{encoded}/token?api-version=2022-05-01"),
            &format!("Authorization: Bearer {in_header}\r\n"),
            b"",
        ),
        // Between two line ends of its own.
        _ => post("/oauth2/token", &format!("{form}X-Request-Id: {value}\r\n"), refused.as_bytes()),
    }
}

#[test]
fn a_thousand_hostile_values_forge_no_line() {
    for format in ["json", "text"] {
        let place = Place::with_demo();
        let serving = serve_plain(&place, format);
        for number in 0..HOSTILE {
            let answer = send(&place, &request(&place, number));
            assert!(!answer.starts_with("HTTP/1.1 5"), "{number}: {answer}");
        }
        drop(serving);
        let log = std::fs::read(place.path("log")).unwrap();
        let log = String::from_utf8(log).expect("the log is UTF-8");
        let forged = log.lines().filter(|line| !is_own(line, format)).collect::<Vec<_>>();
        let with_control = log.chars().filter(|c| c.is_control() && *c != '\n').count();
        println!("figure: {format}: {} of {HOSTILE} forged lines in {}", forged.len(), log.lines().count());
        assert_eq!(forged, Vec::<&str>::new());
        assert_eq!(with_control, 0, "control characters stand in the log");
        assert!(log.lines().count() >= HOSTILE / 2, "{} lines", log.lines().count());

        // And what an operator sees of the audit.
        let records =
            place.run(&["audit", "list", "--config", "plain.toml", "--limit", "100000"]).expect(0).out;
        assert!(records.lines().count() >= HOSTILE / 3, "{} lines", records.lines().count());
        assert!(!records.chars().any(|c| (c.is_control() && c != '\n') || is_bidi(c)), "{records:.2000}");
        place.run(&["audit", "verify", "--config", "plain.toml"]).expect(0);
    }
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line of the service's own: it begins with the time, and in JSON it is one object that has no other message inside.
fn is_own(line: &str, format: &str) -> bool {
    if format == "json" {
        let parsed = serde_json::from_str::<serde_json::Value>(line);
        return parsed.is_ok_and(|line| line["timestamp"].is_string() && line["message"] != MARK);
    }
    line.len() > 20 && line.as_bytes()[4] == b'-' && line.as_bytes()[10] == b'T'
}

#[test]
fn nothing_that_is_kept_or_answered_holds_a_secret() {
    let place = Place::with_demo();
    let serving = serve_plain(&place, "json");
    let secret = place.read(&format!("wsts-data/{READER}.secret")).trim().to_owned();
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let fields = format!("grant_type=client_credentials&client_id={READER}&client_secret={secret}");
    let resource = format!("&resource={}{WORKSPACE}/services/scorer", place.url(""));
    let issued = send(&place, &post("/oauth2/token", form, format!("{fields}{resource}").as_bytes()));
    let token = issued.split("\"access_token\":\"").nth(1).unwrap_or_else(|| panic!("{issued}"));
    let token = token.split('"').next().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let wrong =
        |place_of: &str| format!("grant_type=client_credentials&{place_of}={secret}&client_id={secret}");
    let mut answers = Vec::new();
    for request in [
        post("/oauth2/token", form, wrong("client_secret").as_bytes()),
        post("/oauth2/token", form, wrong("scope").as_bytes()),
        post("/oauth2/token", form, wrong("resource").as_bytes()),
        post("/oauth2/token", form, wrong("client_assertion").as_bytes()),
        post("/oauth2/token", form, wrong("token_lifetime_seconds").as_bytes()),
        post("/oauth2/token", &format!("Content-Type: {secret}\r\n"), b""),
        post(
            "/oauth2/token",
            &format!("{form}Authorization: Basic {secret}\r\n"),
            b"grant_type=client_credentials",
        ),
        post(&format!("/oauth2/token?client_secret={secret}"), form, fields.as_bytes()),
        post(&format!("/{secret}/oauth2/v2.0/token"), form, fields.as_bytes()),
        post(&format!("/{token}"), &bearer, b""),
        post(&format!("{WORKSPACE}/onlineEndpoints/scorer/token?api-version=2022-05-01"), &bearer, b""),
        post(&format!("/modelmanagement/v1.0{WORKSPACE}/services/{token}/token"), &bearer, b""),
        post(
            "/oauth2/token",
            &format!("{form}X-Request-Id: {secret}{secret}\r\nCookie: {token}\r\n"),
            fields.as_bytes(),
        ),
    ] {
        answers.push(send(&place, &request));
    }
    drop(serving);
    let audit =
        place.run(&["audit", "list", "--format", "json", "--config", "plain.toml", "--limit", "100000"]);
    let kept = [("log", place.read("log")), ("audit", audit.expect(0).out), ("answers", answers.join("\n"))];
    let payload = token.split('.').nth(1).unwrap();
    for (what, text) in &kept {
        for (name, needle) in [("secret", secret.as_str()), ("token", token.as_str()), ("claims", payload)] {
            let at = text
                .find(needle)
                .map(|at| text[at.saturating_sub(200)..].chars().take(500).collect::<String>());
            assert_eq!(at, None, "the {what} hold a {name}");
        }
    }
}
