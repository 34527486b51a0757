//! What no answer says: which software gives it, and what it was asked with.

use crate::helpers::*;
use crate::raw;

const SECRET: &str = "wsts_never-to-be-seen-again";

#[test]
fn a_secret_in_the_uri_is_refused_in_each_dialects_shape_and_not_repeated() {
    let app = TestApp::start();
    for (name, path, member) in [
        ("client_secret", "/oauth2/token", "error_description"),
        ("client_assertion", &format!("/{TENANT}/oauth2/v2.0/token"), "error_description"),
        ("subject_token", "/oauth2/token", "error_description"),
        ("Access_Token", &format!("{WORKSPACE}/onlineEndpoints/scorer"), "message"),
        ("access_token", &format!("/modelmanagement/v1.0{WORKSPACE}/services/scorer"), "message"),
        ("token", "/v1.0/servicePrincipals", "detail"),
        ("client%5Fsecret", "/.well-known/jwks.json", "detail"),
    ] {
        for method in ["GET", "POST"] {
            let answer = app.send(method, &format!("{path}?x=1&{name}={SECRET}"), &[], b"").expect(400);
            assert!(!answer.text().contains(SECRET), "{}", answer.text());
            let body = answer.json();
            let body = body.get("error").filter(|error| error.is_object()).unwrap_or(&body);
            let told = body[member].as_str().unwrap_or_else(|| panic!("{body}"));
            assert!(told.contains("sent in the URI"), "{told}");
        }
    }
    // Other parameters of a query are nobody's secret.
    app.get("/.well-known/jwks.json?tokens=1&x=token").expect(200);
}

#[test]
fn no_answer_names_the_software() {
    let app = TestApp::start();
    let request = |method, target| raw::send(&app, &raw::request(method, target, &[], b""));
    let long = format!("/{}", "x".repeat(9000));
    let mut answers = vec![
        request("GET", "/.well-known/jwks.json"),
        request("GET", "/"),
        request("BREW", "/oauth2/token"),
        request("POST", "/oauth2/token"),
        request("GET", &long),
        raw::send(&app, b"no http at all\r\n\r\n"),
        raw::send(&app, b"GET / HTTP/9.9\r\n\r\n"),
        raw::send(&app, b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
    ];
    let ops = ["/livez", "/readyz", "/metrics", "/nothing"];
    answers.extend(ops.map(|path| Some(app.get_ops(path))));
    let mut seen = 0;
    for answer in answers.into_iter().flatten() {
        seen += 1;
        for (name, value) in &answer.headers {
            assert!(
                !["server", "x-powered-by", "via", "x-aspnet-version"].contains(&name.as_str()),
                "{name}"
            );
            assert!(!names_software(value), "{name}: {value}");
        }
        let metrics = answer.text().contains("sts_build_info");
        assert!(metrics || !names_software(&answer.text()), "{}", answer.text());
    }
    assert!(seen >= 9, "{seen} answers were looked at");
}

/// The metrics alone tell the version, to the operators.
fn names_software(text: &str) -> bool {
    let text = text.to_lowercase();
    ["actix", "rustls", "hyper", "ureq", env!("CARGO_PKG_VERSION")].iter().any(|name| text.contains(name))
}
