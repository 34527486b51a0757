//! Bytes over TLS as they are written here: for requests that no well-behaved client makes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::helpers::{Answer, TestApp};

/// A connection of which the test decides every byte.
pub struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    pub fn open(app: &TestApp) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(app.deployment.ca_pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = TcpStream::connect(app.public).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        tcp.set_nodelay(true).unwrap();
        let tls =
            ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        Self(StreamOwned::new(tls, tcp))
    }

    /// A peer that answered early may have hung up already; what it answered still counts.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
        let _ = self.0.flush();
    }

    fn close_writing(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }

    /// Reads one answer; `None` when the peer hung up without one.
    pub fn read(&mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Some(answer) = parse(&bytes) {
                return Some(answer);
            }
            match self.0.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer in time"),
                Err(_) => return None,
            }
        }
    }
}

/// One request on a connection of its own.
pub fn send(app: &TestApp, request: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(app);
    connection.write(request);
    connection.read()
}

/// One request, after which this side says that nothing more will come: a peer that waits for more gives up.
pub fn send_and_close(app: &TestApp, request: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(app);
    connection.write(request);
    connection.close_writing();
    connection.read()
}

/// A request with a body whose length is declared.
pub fn request(method: &str, target: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    for header in headers {
        text.extend_from_slice(header.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(body);
    text
}

/// A whole answer with its length declared, or `None` if more bytes must come.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("an answer's head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse::<usize>().ok())
        .unwrap_or(0);
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some(Answer { status, headers, body })
}
