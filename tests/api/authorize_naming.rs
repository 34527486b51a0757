//! `/authorize`: which webservice is meant, when part of the question is the gateway's and part its caller's; and
//! requests of every shape, which get 200, 401 or 403 and nothing else.

use http::Request;

use crate::helpers::*;
use crate::{http2, raw};

/// What a gateway's caller sends to be judged for another webservice than the one it is let through to.
const OPEN: &str = "open";

/// Status at a path, with these names in headers, without a credential: 200 when `open` is meant, 401 when `scorer` or
/// `keyed` is, 403 when nothing is or two are.
fn status(app: &TestApp, path: &str, names: &[&str]) -> u16 {
    let headers: Vec<String> = names.iter().map(|name| format!("X-Wsts-Webservice: {name}")).collect();
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    raw::send(app, &raw::request("GET", path, &headers, b"")).expect("an answer").status
}

fn v1_id(name: &str) -> String {
    format!("{WORKSPACE}/services/{name}")
}

#[test]
fn a_webservice_is_named_by_header_query_or_path_in_either_spelling() {
    let app = TestApp::start();
    let (v1, v2, whole) = (v1_id(OPEN), webservice(OPEN), audience(OPEN));
    for id in [&v1, &v2, &v2.to_uppercase(), &v1.to_lowercase(), &whole] {
        assert_eq!(status(&app, "/authorize", &[id]), 200, "{id}");
        assert_eq!(status(&app, &format!("/authorize?webservice={id}"), &[]), 200, "{id}");
        let encoded: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        assert_eq!(status(&app, &format!("/authorize?a=b&webservice={encoded}"), &[]), 200, "{id}");
    }
    for id in [&v1, &v2, &v2.to_uppercase()] {
        for tail in ["", "/", "/score", "/score?x=y", "//", "/../..", "/%2e%2e/%2F", "?webservice=x"] {
            assert_eq!(status(&app, &format!("/authorize{id}{tail}"), &[]), 200, "{id}{tail}");
        }
    }
    // A gateway that says it twice says the same.
    assert_eq!(status(&app, &format!("/authorize?webservice={v1}"), &[&whole]), 200);
    assert_eq!(status(&app, &format!("/authorize{v1}/score"), &[&v2]), 200);
}

#[test]
fn a_region_address_before_the_id_is_an_audience_too_and_another_host_is_not() {
    let app = TestApp::with(|deployment| {
        deployment.more_config =
            "[[regions]]\nname = \"local\"\nurl = \"https://west.example\"\n[[regions]]\nname = \"b\"\nurl = \"https://b.example\"\n"
                .into();
    });
    assert_eq!(status(&app, "/authorize", &[&format!("https://west.example{}", webservice(OPEN))]), 200);
    for base in
        ["https://west.example.evil", "https://localhost.evil", "http://localhost", "https://localhost:1"]
    {
        assert_eq!(status(&app, "/authorize", &[&format!("{base}{}", webservice(OPEN))]), 403, "{base}");
    }
}

#[test]
fn places_that_name_two_webservices_are_refused() {
    let app = TestApp::start();
    let (open, scorer) = (webservice(OPEN), webservice("scorer"));
    // The gateway's query, and a header that its caller slipped in; the other way round; the gateway's header, and its
    // caller's path.
    assert_eq!(status(&app, &format!("/authorize?webservice={scorer}"), &[&open]), 403);
    assert_eq!(status(&app, &format!("/authorize?webservice={open}"), &[&scorer]), 403);
    assert_eq!(status(&app, &format!("/authorize{open}/score"), &[&scorer]), 403);
    assert_eq!(status(&app, &format!("/authorize{scorer}/score"), &[&open]), 403);
    // Twice in one place, even with the same name, and however it is spelled.
    assert_eq!(status(&app, "/authorize", &[&open, &scorer]), 403);
    assert_eq!(status(&app, "/authorize", &[&open, &open]), 403);
    assert_eq!(status(&app, "/authorize", &[&format!("{open}, {open}")]), 403);
    assert_eq!(status(&app, &format!("/authorize?webservice={open}&webservice={scorer}"), &[]), 403);
    assert_eq!(status(&app, &format!("/authorize?webservice={open}&Webservice={open}"), &[]), 403);
    assert_eq!(status(&app, &format!("/authorize?webservice={open}&%77ebservice={open}"), &[]), 403);
    // One that can't be read beside one that can.
    for unreadable in
        ["", "x", "/", &format!("{open}/"), &format!("{open}%20"), &format!("{open}/score"), WORKSPACE]
    {
        assert_eq!(
            status(&app, &format!("/authorize?webservice={open}"), &[unreadable]),
            403,
            "{unreadable}"
        );
        assert_eq!(
            status(&app, &format!("/authorize?webservice={unreadable}"), &[&open]),
            403,
            "{unreadable}"
        );
    }
}

#[test]
fn the_path_and_query_of_the_gateways_caller_name_nothing_beside_the_gateways_header() {
    let app = TestApp::start();
    let (open, scorer) = (webservice(OPEN), webservice("scorer"));
    let encoded = open.replace('/', "%2f");
    for tail in [
        "/".to_owned(),
        "/score".to_owned(),
        format!("/?webservice={open}"),
        format!("/score?webservice={open}&webservice={open}"),
        format!("/{open}"),
        format!("//{open}"),
        format!("/x/..{open}"),
        format!("/..{open}"),
        format!("/{encoded}"),
        open.replace("subscriptions", "%73ubscriptions"),
        open.replace(OPEN, "%6fpen"),
        open.replace("/providers", "//providers"),
        format!("{open};x"),
        format!("{open}%00"),
        WORKSPACE.to_owned(),
        format!("{WORKSPACE}/services/"),
        format!("{WORKSPACE}/deployments/{OPEN}"),
    ] {
        assert_eq!(
            status(&app, &format!("/authorize{tail}"), &[&scorer]),
            401,
            "{tail}: the header's, not open"
        );
        assert_eq!(status(&app, &format!("/authorize{tail}"), &[]), 403, "{tail}: nothing is named");
    }
}

#[test]
fn the_path_names_the_first_webservice_in_it_whatever_comes_behind() {
    let app = TestApp::start();
    let (open, scorer) = (webservice(OPEN), webservice("scorer"));
    for tail in [
        format!("/../{OPEN}"),
        format!("/..%2f{OPEN}"),
        format!("/%2e%2e/{OPEN}/score"),
        format!("/../../../../../../../../../..{open}"),
        format!("/../..{open}"),
        format!("//{open}"),
        format!("?webservice={open}"),
        format!("/score?webservice={open}"),
    ] {
        assert_eq!(status(&app, &format!("/authorize{scorer}{tail}"), &[]), 401, "{tail}");
    }
    // Glued to the name it is another name.
    assert_eq!(status(&app, &format!("/authorize{scorer}%2f..%2f{OPEN}"), &[]), 403);
    assert_eq!(status(&app, &format!("/authorize{scorer}-not"), &[]), 401, "no webservice of that name");
}

#[test]
fn only_the_very_path_reads_the_query() {
    let app = TestApp::start();
    let open = webservice(OPEN);
    for path in ["/authorize/", "/authorize//", "/%61uthorize", "/authorize/x", "/authorize/."] {
        assert_eq!(status(&app, &format!("{path}?webservice={open}"), &[]), 403, "{path}");
    }
    assert_eq!(status(&app, "/authorize", &[]), 403);
    assert_eq!(status(&app, "/authorize?", &[]), 403);
    assert_eq!(status(&app, "/authorize?webservice", &[]), 403);
    // As a proxy writes it.
    assert_eq!(status(&app, &format!("http://elsewhere/authorize?webservice={open}"), &[]), 200);
}

#[test]
fn every_method_is_answered_and_no_body_is_read() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").expect(200).token();
    let named = webservice("scorer");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "x"] {
        for (credential, status) in [(token.as_str(), 200), ("wrong", 401)] {
            let (bearer, name) =
                (format!("Authorization: Bearer {credential}"), format!("X-Wsts-Webservice: {named}"));
            let headers = [bearer.as_str(), &name];
            for body in [&b""[..], b"{}", &[b'x'; 100_000]] {
                let answer = raw::send(&app, &raw::request(method, "/authorize/score", &headers, body));
                assert_eq!(answer.map(|answer| answer.status), Some(status), "{method}");
            }
            let chunked = |body: &str| {
                format!(
                    "{method} /authorize/score HTTP/1.1\r\nHost: x\r\n{bearer}\r\n{name}\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
                )
            };
            // Whole, too large, and never coming.
            let large = format!("ffffff\r\n{}", "x".repeat(100_000));
            for body in ["5\r\nhello\r\n0\r\n\r\n", &large, ""] {
                let answer = raw::send(&app, chunked(body).as_bytes());
                assert_eq!(answer.map(|answer| answer.status), Some(status), "{method} {body:.10}");
            }
        }
    }
}

#[test]
fn a_head_gets_the_status_and_the_headers() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").expect(200).token();
    for (credential, status) in [(token.as_str(), 200), ("wrong", 401)] {
        let headers = [("authorization", format!("Bearer {credential}"))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = app.send("HEAD", &format!("/authorize{}", webservice("scorer")), &headers, b"");
        assert_eq!(answer.expect(status).header("x-wsts-auth").is_some(), status == 200);
    }
}

#[test]
fn http2_is_answered_with_and_without_a_body() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").expect(200).token();
    static LARGE: [u8; 60_000] = [b'x'; 60_000];
    for (credential, expected) in [(token.as_str(), 200), ("wrong", 401)] {
        for body in [&b""[..], b"{}", &LARGE] {
            let request = Request::builder()
                .method("POST")
                .uri(format!("https://localhost/authorize{}/score", webservice("scorer")))
                .header("authorization", format!("Bearer {credential}"));
            assert_eq!(http2::send(&app, request.body(()).unwrap(), body).0, expected);
        }
    }
}

#[test]
fn one_bearer_credential_is_taken_and_nothing_else() {
    let app = TestApp::start();
    let token = app.token_as(&READER, "scorer").expect(200).token();
    let name = format!("X-Wsts-Webservice: {}", webservice("scorer"));
    let ask = |headers: &[String]| {
        let headers: Vec<&str> = headers.iter().map(String::as_str).chain([name.as_str()]).collect();
        raw::send(&app, &raw::request("GET", "/authorize", &headers, b"")).expect("an answer").status
    };
    let of = |value: &str| vec![format!("Authorization: {value}")];
    for right in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER   {token} ")] {
        assert_eq!(ask(&of(&right)), 200, "{right}");
    }
    for wrong in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer{token}"),
        format!("Bearer\t{token}"),
        format!("Bearer {token},Bearer {token}"),
        format!("Bearer {token} {token}"),
        format!("Bearer {token}="),
        format!("Bearer Bearer {token}"),
        "Bearer \u{e9}\u{ff}".to_owned(),
    ] {
        assert_eq!(ask(&of(&wrong)), 401, "{wrong}");
    }
    assert_eq!(ask(&[of(&format!("Bearer {token}")), of(&format!("Bearer {token}"))].concat()), 401);
    assert_eq!(ask(&[format!("X-Forwarded-Authorization: Bearer {token}")]), 401);
    assert_eq!(ask(&[format!("Cookie: Authorization=Bearer {token}")]), 401);
}

#[test]
fn whatever_bytes_come_the_answer_is_401_or_403() {
    let app = TestApp::start();
    let named = format!("X-Wsts-Webservice: {}", webservice("scorer"));
    let long = format!("/authorize/{}", "a".repeat(9 * 1024));
    let many = format!("X-Large: {}", "a".repeat(17 * 1024));
    for (path, headers, expected) in [
        (long.as_str(), vec![named.as_str()], 403),
        ("/authorize", vec![named.as_str(), &many], 403),
        ("/authorize", vec!["X-Wsts-Webservice: \u{e9}"], 403),
        ("/authorize/%", vec![named.as_str()], 401),
        ("/authorize/%zz%00%ff%0a", vec![named.as_str()], 401),
        ("/authorize/?%ff=%00&&&=", vec![named.as_str()], 401),
        ("/authorize?%ff=%00&&&=", vec![named.as_str()], 401),
        ("/authorize", vec![named.as_str(), "Connection: Upgrade", "Upgrade: websocket"], 401),
        ("/authorize", vec![named.as_str(), "Content-Encoding: gzip", "Content-Type: x"], 401),
        ("/authorize", vec![named.as_str(), "X-Request-Id: a b", "Traceparent: zz"], 401),
    ] {
        let request = raw::request("POST", path, &headers, b"");
        let answer = raw::send_and_close(&app, &request).expect("an answer");
        assert_eq!(answer.status, expected, "{path:.40} {headers:.40?}");
    }
}
