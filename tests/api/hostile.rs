//! Random hostile requests over every route: whatever they are, the service never answers 5xx, never loses an answer,
//! and serves on.

use crate::helpers::*;
use crate::raw;

/// A small generator of its own (xorshift), so that a failing case is found again by its number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.roll(all.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.roll(most + 1);
        (0..length).map(|_| self.roll(256) as u8).collect()
    }
}

const ODD_SEGMENTS: [&str; 14] = [
    "x",
    "%00",
    "%ff",
    "%2e%2e",
    "..",
    "%2f",
    "*",
    "'--",
    "%25",
    "{workspace}",
    "-1",
    "%F0%9F%92%A9",
    "99999999999999999999",
    "$batch",
];

const BODIES: [&str; 12] = [
    "",
    "{}",
    "[]",
    "null",
    "{\"location\":\"local\",\"properties\":{\"authMode\":\"AMLToken\"}}",
    "{\"properties\":{\"roleName\":\"x\",\"permissions\":[{\"actions\":[\"*\"]}]}}",
    "{\"passwordCredential\":{\"endDateTime\":\"9999-12-31T23:59:59Z\"}}",
    "{\"passwordCredential\":{\"endDateTime\":\"+262142-12-31T23:59:59Z\"}}",
    "{\"properties\":{\"roleDefinitionId\":\"//\",\"principalId\":\"\"}}",
    "{\"properties\":{\"tokenLifetimeSeconds\":1e400}}",
    "grant_type=client_credentials&client_id=%00&client_secret=%ff&resource=https://localhost",
    "grant_type=client_credentials&scope=/.default&client_id=a&client_secret=b&token_lifetime_seconds=0",
];

fn paths() -> Vec<String> {
    let id = "eeeeeeee-0000-0000-0000-000000000001";
    let provider = "providers/Microsoft.MachineLearningServices/workspaces";
    let mut all = vec![
        "/oauth2/token".to_owned(),
        format!("/{TENANT}/oauth2/v2.0/token"),
        format!("/modelmanagement/v1.0{WORKSPACE}/services/scorer/token"),
        format!("{}/token", webservice("scorer")),
        format!("{WORKSPACE}/onlineEndpoints"),
        webservice("scorer"),
        WORKSPACE.to_owned(),
        format!("{SUBSCRIPTION}/resourceGroups/demo-rg/{provider}"),
        format!("{SUBSCRIPTION}/{provider}"),
        "/v1.0/servicePrincipals".to_owned(),
        format!("/v1.0/servicePrincipals/{}", STRANGER.object_id),
        format!("/v1.0/servicePrincipals/{}/addPassword", STRANGER.object_id),
        format!("/v1.0/servicePrincipals/{}/removePassword", STRANGER.object_id),
        "/.well-known/jwks.json".to_owned(),
        "/.well-known/openid-configuration".to_owned(),
        format!("/{TENANT}/discovery/v2.0/keys"),
        "/regions/local/jwks.json".to_owned(),
        "/metadata/endpoints".to_owned(),
        "/authorize".to_owned(),
        "/oauth2/revoke".to_owned(),
        "/oauth2/introspect".to_owned(),
        "/revocations".to_owned(),
        "/".to_owned(),
        "*".to_owned(),
    ];
    for scope in ["", WORKSPACE] {
        for kind in ["roleAssignments", "roleDefinitions"] {
            all.push(format!("{scope}/providers/Microsoft.Authorization/{kind}"));
            all.push(format!("{scope}/providers/Microsoft.Authorization/{kind}/{id}"));
        }
    }
    all
}

/// One request; `bearer` belongs to an owner, so that handlers are reached and not only the door.
fn hostile(dice: &mut Dice, paths: &[String], bearer: &str) -> Vec<u8> {
    let mut path = paths[dice.roll(paths.len())].clone();
    if dice.roll(3) == 0 {
        let mut segments: Vec<&str> = path.split('/').collect();
        let at = dice.roll(segments.len()).max(1).min(segments.len() - 1);
        segments[at] = dice.pick(&ODD_SEGMENTS);
        path = segments.join("/");
    }
    let query = dice.pick(&[
        "",
        "?api-version=1",
        "?api-version=1&$skipToken=%00%ff",
        "?api-version=1&%24skiptoken=zzz",
        "?%",
        "?api-version=%ff&api-version=",
    ]);
    let method = dice.pick(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X-ODD"]);
    let authorization = match dice.roll(5) {
        0 => String::new(),
        1 => "Authorization: Basic Og==".to_owned(),
        2 => format!("Authorization: Bearer {}", dice.pick(&["", ".", "..", "a.b.c", "eyJ9.eyJ9.", "\u{1}"])),
        _ => format!("Authorization: Bearer {bearer}"),
    };
    let content_type = dice.pick(&[
        "Content-Type: application/json",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: ;;;",
        "If-None-Match: W/,*\"",
        "traceparent: 00-\u{7f}",
        "Accept-Encoding: gzip;q=-1",
        "Expect: 100-continue-not",
    ]);
    let body = match dice.roll(3) {
        0 => dice.bytes(300),
        _ => dice.pick(&BODIES).as_bytes().to_vec(),
    };
    let headers: Vec<&str> =
        [authorization.as_str(), content_type].into_iter().filter(|header| !header.is_empty()).collect();
    raw::request(method, &format!("{path}{query}"), &headers, &body)
}

#[test]
fn no_request_is_answered_with_5xx() {
    let app = TestApp::start();
    let bearer = app.management_token(&OWNER);
    let paths = paths();
    for number in 1..=400_u64 {
        let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let request = hostile(&mut dice, &paths, &bearer);
        let text = String::from_utf8_lossy(&request).replace(&bearer, "OWNER");
        if let Some(answer) = raw::send_and_close(&app, &request) {
            assert!(
                (200..500).contains(&answer.status),
                "request {number} got {}: {text}\n{}",
                answer.status,
                answer.text()
            );
        }
    }
    let metrics = app.get_ops("/metrics").text();
    assert!(metrics.contains("sts_panics_total{region=\"local\"} 0"), "a handler panicked");
    app.get_ops("/readyz").expect(200);
}

#[test]
fn compressed_bodies_are_refused_and_lengths_that_are_only_declared_cost_nothing() {
    let app = TestApp::start();
    let bearer = format!("Authorization: Bearer {}", app.management_token(&OWNER));
    let form = "Content-Type: application/x-www-form-urlencoded";
    let json = "Content-Type: application/json";
    // What a gzip of it would hold is never known: it is not inflated.
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for encoding in ["gzip", "br", "zstd", "deflate", "identity"] {
        let encoding = format!("Content-Encoding: {encoding}");
        let token = raw::request("POST", "/oauth2/token", &[form, &encoding], &gzip);
        assert_eq!(raw::send(&app, &token).expect("an answer").status, 415, "{encoding}");
        let api = raw::request("POST", "/v1.0/servicePrincipals", &[json, &bearer, &encoding], &gzip);
        assert_eq!(raw::send(&app, &api).expect("an answer").status, 415, "{encoding}");
    }
    for length in ["10485760", "4294967296", "18446744073709551615", "99999999999999999999999"] {
        let head = format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\n{form}\r\nContent-Length: {length}\r\n\r\n"
        );
        // What is no number of 64 bits is a bad request.
        let answer = raw::send(&app, head.as_bytes()).expect("an answer, and no wait for the body");
        assert!([400, 413].contains(&answer.status), "{length}: {}", answer.status);
    }
    // A token of 10 MB is no head: an answer, or the end of the connection.
    let token = format!("Authorization: Bearer {}", "a".repeat(10 << 20));
    let path = format!("{}/token?{V}", webservice("scorer"));
    if let Some(answer) = raw::send(&app, &raw::request("POST", &path, &[&token], b"")) {
        assert!([400, 431].contains(&answer.status), "{}", answer.status);
    }
    app.token_as(&READER, "scorer").expect(200);
}

#[test]
fn bytes_that_are_no_http_disturb_nobody() {
    let app = TestApp::start();
    for number in 1..=40_u64 {
        let mut dice = Dice(number.wrapping_mul(0x2545_F491_4F6C_DD1D));
        let mut bytes = dice.bytes(400);
        bytes.extend_from_slice(b"\r\n\r\n");
        if let Some(answer) = raw::send_and_close(&app, &bytes) {
            assert!((400..500).contains(&answer.status), "{number}: {}", answer.status);
        }
    }
    app.token_as(&READER, "scorer");
    app.get_ops("/readyz").expect(200);
}

#[test]
fn a_body_in_chunks_that_nobody_wants_is_answered_and_its_connection_closed() {
    let app = TestApp::start();
    let head = |target: &str| {
        format!("PATCH {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    };
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    for target in ["/nowhere", "/oauth2/token", "/modelmanagement/v1.0/x"] {
        let mut connection = raw::Connection::open(&app);
        connection.write(head(target).as_bytes());
        for _ in 0..80 {
            connection.write(&chunk);
        }
        let answer = connection.read().expect("an answer before the end of the body");
        assert_eq!(answer.status, 413, "{target}");
        assert_eq!(answer.header("connection"), Some("close"), "{target}");
        assert!(connection.read().is_none(), "{target}: the connection is still open");
        // A small one is read, and the connection goes on.
        let mut connection = raw::Connection::open(&app);
        for _ in 0..2 {
            connection.write(head(target).as_bytes());
            connection.write(b"2\r\n{}\r\n0\r\n\r\n");
            let answer = connection.read().expect("an answer");
            assert!(
                (400..500).contains(&answer.status) && answer.status != 408,
                "{target}: {}",
                answer.status
            );
        }
    }
}
