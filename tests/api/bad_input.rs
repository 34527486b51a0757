//! Requests that are wrong in form: each refused, and the fault named.

use serde_json::json;

use crate::helpers::*;
use crate::raw::{self, Connection};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// A token request's good fields.
fn good(app: &TestApp) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", READER.client_id.to_owned()),
        ("client_secret", app.secret(&READER).to_owned()),
        ("resource", audience("scorer")),
    ]
}

fn post(app: &TestApp, fields: &[(&str, String)], headers: &[(&str, &str)]) -> Answer {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    app.form("/oauth2/token", headers, &fields)
}

#[track_caller]
fn assert_names(answer: &Answer, error: &str, words: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["error"], error, "{body}");
    let text = body["error_description"].as_str().unwrap();
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_missing_or_empty_parameter_is_named() {
    let app = TestApp::start();
    for (name, named) in [
        ("grant_type", "`grant_type`: missing"),
        ("client_id", "`client_id`: missing"),
        ("client_secret", "`client_secret`: missing"),
        ("resource", "`resource`: missing"),
    ] {
        let mut fields = good(&app);
        fields.retain(|(field, _)| *field != name);
        let absent = post(&app, &fields, &[]);
        assert_names(&absent, "invalid_request", named);
        fields.push((name, String::new()));
        assert_names(&post(&app, &fields, &[]), "invalid_request", named);
        // Nobody was proven and nothing asked for: no record.
        assert!(app.audit_of(&absent).is_empty());
    }
}

#[test]
fn a_doubled_parameter_is_named_even_when_both_are_the_same() {
    let app = TestApp::start();
    for extra in [
        ("grant_type", "client_credentials"),
        ("client_id", READER.client_id),
        ("client_secret", "x"),
        ("resource", ""),
        ("scope", "score"),
        ("token_lifetime_seconds", "60"),
    ] {
        let mut fields = good(&app);
        fields.push((extra.0, extra.1.to_owned()));
        fields.push((extra.0, extra.1.to_owned()));
        let named = format!("`{}`: sent more than once", extra.0);
        assert_names(&post(&app, &fields, &[]), "invalid_request", &named);
    }
    // One that we do not know is nobody's business (RFC 6749, section 3.2).
    let mut fields = good(&app);
    fields.extend([("x", "1".to_owned()), ("x", "2".to_owned())]);
    post(&app, &fields, &[]).expect(200);
}

#[test]
fn a_parameter_in_the_query_does_not_count() {
    let app = TestApp::start();
    let fields = good(&app);
    let fields: Vec<(&str, &str)> = fields[..3].iter().map(|(name, value)| (*name, value.as_str())).collect();
    let path = format!("/oauth2/token?resource={}", audience("scorer"));
    assert_names(&app.form(&path, &[], &fields), "invalid_request", "`resource`: missing");
}

#[test]
fn an_oversized_parameter_is_named() {
    let app = TestApp::start();
    for name in ["grant_type", "client_id", "client_secret", "resource", "scope", "token_lifetime_seconds"] {
        let mut fields = good(&app);
        fields.retain(|(field, _)| *field != name);
        fields.push((name, "x".repeat(4097)));
        let named = format!("`{name}`: longer than 4096 bytes");
        assert_names(&post(&app, &fields, &[]), "invalid_request", &named);
    }
}

#[test]
fn credentials_come_from_one_place() {
    let app = TestApp::start();
    let header = basic(READER.client_id, app.secret(&READER));
    let authorization = [("authorization", header.as_str())];
    assert_names(&post(&app, &good(&app), &authorization), "invalid_request", "`client_secret`");
    let mut fields = good(&app);
    fields.retain(|(name, _)| *name != "client_secret");
    post(&app, &fields, &authorization).expect(200);
    fields[1].1 = OWNER.client_id.to_owned();
    assert_names(&post(&app, &fields, &authorization), "invalid_request", "`client_id`");
    fields.retain(|(name, _)| *name != "client_id");
    for crooked in ["Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Bearer abc", "Negotiate abc", "Basic /w=="] {
        let answer = post(&app, &fields, &[("authorization", crooked)]);
        assert_names(&answer, "invalid_request", "`Authorization`");
    }
}

#[test]
fn another_grant_is_refused_by_its_own_code() {
    let app = TestApp::start();
    for grant in
        ["password", "authorization_code", "refresh_token", "CLIENT_CREDENTIALS", " client_credentials"]
    {
        let mut fields = good(&app);
        fields[0].1 = grant.to_owned();
        let answer = post(&app, &fields, &[]).expect(400);
        assert_eq!(answer.json()["error"], "unsupported_grant_type", "{grant}");
        assert_eq!(answer.json()["error_codes"], json!([70_003]));
    }
}

#[test]
fn a_target_outside_the_rules_is_refused_by_its_own_code() {
    let app = TestApp::start();
    for resource in [
        "https://evil.example",
        "https://localhost.evil.example",
        "http://localhost",
        "HTTPS://LOCALHOST",
        "scorer",
        &format!("{ISSUER}{WORKSPACE}"),
        &format!("{ISSUER}{}/", webservice("scorer")),
        &format!("{ISSUER}{}?x=1", webservice("scorer")),
        &format!("{ISSUER}{}", webservice("sc%6Frer")),
        &format!("{ISSUER}{}", webservice("../scorer")),
        &format!("{ISSUER}{}", webservice("ѕcorer")),
        &format!("{ISSUER}:443{}", webservice("scorer")),
        &format!("{ISSUER}{}\u{0}", webservice("scorer")),
        &format!("{ISSUER}{} {ISSUER}", webservice("scorer")),
    ] {
        let mut fields = good(&app);
        fields[3].1 = resource.to_owned();
        let answer = post(&app, &fields, &[]).expect(400);
        assert_eq!(answer.json()["error"], "invalid_target", "{resource}");
    }
    for scope in [
        "openid",
        "score",
        &audience("scorer"),
        &format!("{0}/.default {0}/.default", audience("scorer")),
        "https://evil.example/.default",
        "/.default",
    ] {
        let mut fields = good(&app);
        fields[3] = ("scope", scope.to_owned());
        let answer = post(&app, &fields, &[]).expect(400);
        assert_eq!(answer.json()["error"], "invalid_scope", "{scope}");
    }
    let mut fields = good(&app);
    fields.push(("scope", format!("{}/.default", audience("scorer"))));
    assert_eq!(post(&app, &fields, &[]).expect(400).json()["error"], "invalid_scope");
}

#[test]
fn another_content_type_or_a_content_encoding_is_415() {
    let app = TestApp::start();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(good(&app)).finish();
    let ask = |headers: &[(&str, &str)]| app.send("POST", "/oauth2/token", headers, body.as_bytes());
    let form = "application/x-www-form-urlencoded";
    ask(&[("content-type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8")]).expect(200);
    for headers in [
        &[("content-type", "application/json")][..],
        &[("content-type", "text/plain")],
        &[("content-type", "multipart/form-data; boundary=x")],
        &[("content-type", "")],
        &[],
        &[("content-type", form), ("content-encoding", "gzip")],
        &[("content-type", form), ("content-encoding", "identity")],
    ] {
        let answer = ask(headers).expect(415);
        let text = answer.json()["error_description"].as_str().unwrap().to_owned();
        assert!(text.contains(form), "{text}");
    }
    let token = format!("Bearer {}", app.management_token(&OWNER));
    let path = format!("{WORKSPACE}?{V}");
    let json = br#"{"location":"local"}"#;
    for content_type in ["text/json", "application/x-www-form-urlencoded", "application/jsonp"] {
        let headers = [("authorization", token.as_str()), ("content-type", content_type)];
        let answer = app.send("PUT", &path, &headers, json).expect(415);
        assert_eq!(answer.json()["error"]["code"], "UnsupportedMediaType");
    }
}

#[test]
fn a_body_over_32_kib_is_413_declared_or_chunked() {
    let app = TestApp::start();
    let limit = 32 * 1024;
    // Declared: refused before a byte of it is read.
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\nContent-Length: {}\r\n\r\n",
        limit + 1
    );
    let declared = raw::send(&app, head.as_bytes()).unwrap().expect(413);
    assert_eq!(declared.json()["error"], "invalid_request");
    let vast = head.replace(&(limit + 1).to_string(), "99999999999999");
    raw::send(&app, vast.as_bytes()).unwrap().expect(413);
    // Chunked: refused when it has grown too large.
    let mut connection = Connection::open(&app);
    connection.write(
        format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .as_bytes(),
    );
    for _ in 0..9 {
        connection.write(format!("1000\r\n{}\r\n", "x".repeat(4096)).as_bytes());
    }
    connection.read().unwrap().expect(413);
    // At the limit it is read, and judged for what it says.
    let fitting = raw::request("POST", "/oauth2/token", &[FORM], &vec![b'x'; limit]);
    raw::send(&app, &fitting).unwrap().expect(400);
    let token = format!("Authorization: Bearer {}", app.management_token(&OWNER));
    let put = raw::request(
        "PUT",
        &format!("{WORKSPACE}?{V}"),
        &["Content-Type: application/json", &token],
        &vec![b' '; limit + 1],
    );
    let answer = raw::send(&app, &put).unwrap().expect(413);
    assert_eq!(answer.json()["error"]["code"], "RequestEntityTooLarge");
}

#[test]
fn a_uri_over_8_kib_is_414_and_a_head_over_16_kib_431() {
    let app = TestApp::start();
    let uri = |length: usize| format!("/oauth2/{}", "x".repeat(length - 8));
    let get =
        |target: &str, headers: &[&str]| raw::send(&app, &raw::request("GET", target, headers, b"")).unwrap();
    get(&uri(8192), &[]).expect(404);
    let answer = get(&uri(8193), &[]).expect(414);
    assert_eq!(answer.json()["error"], "invalid_request");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    get(&format!("/subscriptions?{}", "q".repeat(8192)), &[]).expect(414);
    let padding = format!("X-Padding: {}", "p".repeat(15 * 1024));
    get("/oauth2/token", &[&padding]).expect(405);
    let padding = format!("X-Padding: {}", "p".repeat(16 * 1024));
    let answer = get("/subscriptions/x", &[&padding]).expect(431);
    assert_eq!(answer.json()["error"]["code"], "RequestHeaderFieldsTooLarge");
    // Many small ones too.
    let many: Vec<String> = (0..90).map(|number| format!("X-{number}: {}", "p".repeat(200))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    get("/oauth2/token", &many).expect(431);
}

#[test]
fn bytes_that_are_no_utf_8_are_refused() {
    let app = TestApp::start();
    let form = raw::request("POST", "/oauth2/token", &[FORM], b"grant_type=\xff\xfe");
    let answer = raw::send(&app, &form).unwrap();
    assert_names(&answer, "invalid_request", "`body`: not UTF-8");
    // Escaped, it is text that names nobody.
    let body = format!("grant_type=client_credentials&client_id=%ff&client_secret=x&resource={ISSUER}");
    raw::send(&app, &raw::request("POST", "/oauth2/token", &[FORM], body.as_bytes())).unwrap().expect(401);
    let token = format!("Authorization: Bearer {}", app.management_token(&OWNER));
    let headers = ["Content-Type: application/json", token.as_str()];
    let put = raw::request("PUT", &format!("{WORKSPACE}?{V}"), &headers, b"{\"location\":\"\xff\"}");
    raw::send(&app, &put).unwrap().expect(400);
    for path in ["%ff%fe", "%00", "%2e%2e", "a%2fb", "%E2%80%AE"] {
        let target =
            format!("/subscriptions/{path}/providers/Microsoft.MachineLearningServices/workspaces?{V}");
        let answer = raw::send(&app, &raw::request("GET", &target, &[token.as_str()], b"")).unwrap();
        assert!([400, 404].contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
    }
}

#[test]
fn malformed_json_is_refused_with_its_place() {
    let app = TestApp::start();
    let bearer = format!("Bearer {}", app.management_token(&OWNER));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let deep = "[".repeat(20_000);
    for (body, place) in [
        ("{", "line 1"),
        ("{\"location\":}", "line 1"),
        ("{\"location\":\"local\"} trailing", "line 1"),
        ("{\"location\":\"local\",\"location\":\"local\"}", "line 1"),
        ("{\"location\":\"local\",\"x\":{\"y\":1,\"y\":1}}", "line 1"),
        ("null", "expected an object"),
        ("\"text\"", "expected an object"),
        // serde alone takes the values of the members for the object.
        ("[\"local\",{}]", "expected an object"),
        ("{\"location\":\"local\",\"properties\":[[]]}", "`properties`: "),
        ("{\"location\":null}", "`location`: "),
        (&deep, "line 1"),
    ] {
        let answer = app.send("PUT", &format!("{WORKSPACE}?{V}"), &headers, body.as_bytes()).expect(400);
        let text = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(text.contains("`body`") && text.contains(place), "{text}");
    }
    let answer = app.send("PUT", &format!("{WORKSPACE}?{V}"), &headers, b"").expect(400);
    assert!(answer.text().contains("`body`"));
}

#[test]
fn names_outside_the_rules_are_refused_in_paths() {
    let app = TestApp::start();
    let api = app.api(&OWNER);
    let token = app.management_token(&OWNER);
    for name in ["ab", "1scorer", "scorer-", "sc_orer", "sc.orer", "sc%20orer", "sc%2Forer"] {
        let v1 = app.v1_token(&token, name);
        assert_eq!(v1.status, 400, "{name}: {}", v1.text());
        assert_eq!(v1.json()["code"], "InvalidParameter");
        let v2 = app.v2_token(&token, name);
        assert_eq!(v2.status, 400, "{name}: {}", v2.text());
        assert_eq!(v2.json()["error"]["code"], "InvalidParameter");
    }
    let provider = "providers/Microsoft.MachineLearningServices/workspaces";
    for path in [
        format!("/subscriptions/a_b/resourceGroups/rg/{provider}/demo"),
        format!("{SUBSCRIPTION}/resourceGroups/ends./{provider}/demo"),
        format!("{SUBSCRIPTION}/resourceGroups/rg/{provider}/_x1"),
        format!("{SUBSCRIPTION}/resourceGroups/rg/{provider}/{}", "x".repeat(34)),
    ] {
        let answer = api.get(&path).expect(400);
        assert_eq!(answer.json()["error"]["code"], "InvalidParameter", "{path}");
    }
}

#[test]
fn a_connection_serves_on_after_a_refusal() {
    let app = TestApp::start();
    let mut connection = Connection::open(&app);
    for _ in 0..3 {
        connection.write(&raw::request("POST", "/oauth2/token", &[FORM], b"grant_type=password"));
        connection.read().unwrap().expect(400);
    }
    connection.write(&raw::request("GET", "/.well-known/jwks.json", &[], b""));
    connection.read().unwrap().expect(200);
}

#[test]
fn a_request_with_two_lengths_is_refused_before_routing() {
    let app = TestApp::start();
    for heads in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 1e1\r\n",
        "Transfer-Encoding: gzip, x\r\n",
    ] {
        let request =
            format!("POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\n{heads}\r\n0\r\n\r\n");
        // Answered with an error of the client, or hung up on; never taken for two requests.
        if let Some(answer) = raw::send(&app, request.as_bytes()) {
            assert!((400..500).contains(&answer.status), "{heads}: {}", answer.status);
        }
    }
}

#[test]
fn two_authorization_headers_are_refused() {
    let app = TestApp::start();
    let (reader, owner) = (app.management_token(&READER), app.management_token(&OWNER));
    let headers = [format!("Authorization: Bearer {reader}"), format!("Authorization: Bearer {owner}")];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let request = raw::request("GET", &format!("{WORKSPACE}?{V}"), &headers, b"");
    raw::send(&app, &request).unwrap().expect(401);
    // On the token endpoint too, even if both are good.
    let header = format!("Authorization: {}", basic(READER.client_id, app.secret(&READER)));
    let body = format!("grant_type=client_credentials&resource={ISSUER}");
    let ask = |headers: &[&str]| {
        raw::send(&app, &raw::request("POST", "/oauth2/token", headers, body.as_bytes())).unwrap()
    };
    ask(&[FORM, &header]).expect(200);
    assert_names(&ask(&[FORM, &header, &header]), "invalid_request", "`Authorization`");
}

#[test]
fn the_member_of_a_json_body_that_is_wrong_is_named() {
    let app = TestApp::start();
    let bearer = format!("Bearer {}", app.management_token(&OWNER));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for (body, said) in [
        (
            r#"{"properties":{"scoringUri":7}}"#,
            "`properties.scoringUri`: invalid type: integer `7`, expected a string",
        ),
        (r#"{"properties":{"tokenLifetimeSeconds":1}}"#, "`properties.tokenLifetimeSeconds`: "),
        (r#"{"properties":{},"tags":{"a":[]}}"#, "`tags.a`: "),
        (r#"{"properties":[]}"#, "`properties`: "),
        (r#"{"properties":{}} x"#, "trailing characters"),
        (r#"{}"#, "missing field `properties`"),
        ("7", "invalid type: integer `7`, expected an object"),
    ] {
        let path = format!("{}?{V}", webservice("scorer"));
        let answer = app.send("PUT", &path, &headers, body.as_bytes()).expect(400);
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("`body`: ") && message.contains(said), "{body}: {message}");
        assert!(!message.contains("struct"), "{message}");
    }
}
