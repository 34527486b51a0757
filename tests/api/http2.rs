//! The same answers over HTTP/2, where one that is given before its request was read is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use http::{HeaderMap, Request};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::helpers::*;

/// TLS that asks for HTTP/2.
fn connector(app: &TestApp) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(app.deployment.ca_pem.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Asks for something and grants no window to its answer; how long until the connection is ended, of 20 s at most.
pub fn never_read(app: &TestApp, path: &str) -> Duration {
    let (connector, address, request) = (connector(app), app.public, request("GET", path).body(()).unwrap());
    app.block_on(async move {
        let tcp = TcpStream::connect(address).await.unwrap();
        let tls = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
        let (client, connection) =
            h2::client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(tls).await.unwrap();
        let began = Instant::now();
        let driven = tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let (answer, _stream) = client.send_request(request, true).unwrap();
        let answer = answer.await.expect("a head needs no window");
        assert_eq!(answer.status(), 200);
        let ended = tokio::time::timeout(Duration::from_secs(20), driven).await;
        ended.expect("the connection still stands").unwrap().ok();
        began.elapsed()
    })
}

/// Sends one request on a connection of its own; gives status and headers, or panics when the stream is reset.
pub fn send(app: &TestApp, request: Request<()>, body: &'static [u8]) -> (u16, HeaderMap) {
    let (connector, address) = (connector(app), app.public);
    app.block_on(async move {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = connector.connect(name, tcp).await.unwrap();
        let (client, connection) = h2::client::handshake(tls).await.unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let (answer, mut stream) = client.send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            stream.send_data(Bytes::from_static(body), true).unwrap();
        }
        let answer = answer.await.expect("an answer and not a reset stream");
        let (head, mut body) = answer.into_parts();
        while let Some(bytes) = body.data().await {
            let count = bytes.expect("a whole body").len();
            body.flow_control().release_capacity(count).unwrap();
        }
        (head.status.as_u16(), head.headers)
    })
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("https://localhost{path}"))
}

#[test]
fn a_head_or_uri_that_is_too_large_is_answered_though_a_body_comes_with_it() {
    let app = TestApp::start();
    let body: &[u8] = &[b'x'; 20_000];
    for _ in 0..5 {
        let large = request("POST", "/oauth2/token").header("x-large", "a".repeat(17 * 1024));
        assert_eq!(send(&app, large.body(()).unwrap(), body).0, 431);
        let long = request("POST", &format!("/oauth2/token?{}", "a".repeat(9 * 1024)));
        assert_eq!(send(&app, long.body(()).unwrap(), body).0, 414);
    }
}

#[test]
fn a_304_declares_no_length() {
    let app = TestApp::start();
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration"] {
        let (status, headers) = send(&app, request("GET", path).body(()).unwrap(), b"");
        assert_eq!(status, 200);
        let known = request("GET", path).header("if-none-match", &headers["etag"]);
        let (status, headers) = send(&app, known.body(()).unwrap(), b"");
        assert_eq!((status, headers.get("content-length")), (304, None), "{path}");
    }
}
