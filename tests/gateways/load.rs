//! Keys that change while 64 connections ask for tokens without a pause: nobody gets an error, and nobody waits for it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use workspace_sts::domain::signing_key::KeyPolicy;
use workspace_sts::services::Core;

use crate::helpers::{READER, Started, TestApp, audience};
use crate::service::lawful;
use crate::{alone, figure, is_full};

const CONNECTIONS: usize = 64;
/// The wait of the slowest hundredth with rotations, divided by that without.
const MOST: f64 = 1.2;

/// What the connections saw in one window.
#[derive(Default)]
struct Window {
    took: Vec<Duration>,
    /// Heads of the tokens, of which each names a key.
    heads: HashSet<String>,
    failed: usize,
}

impl Window {
    /// In milliseconds.
    fn p99(&mut self) -> f64 {
        self.took.sort_unstable();
        self.took[self.took.len() * 99 / 100].as_secs_f64() * 1e3
    }
}

#[test]
fn rotation_under_load_fails_nobody() {
    let _alone = alone();
    // The shortest that a rotation a second leaves; no gateway looks at these keys.
    let policy = KeyPolicy { lead: chrono::Duration::seconds(1), ..lawful() };
    let app = TestApp::with(|deployment| deployment.in_real_time = Some(policy));
    let mut config = app.deployment.config();
    config.server.tls = None;
    config.audit.spool_file = Some(app.deployment.path("loaded.spool"));
    let service = Started::new(config, app.deployment.parts()).unwrap();
    let request = Arc::new(request(&app));
    let (windows, seconds) = if is_full() { (9, 8) } else { (2, 2) };
    let run = |time| run(service.public, &request, Duration::from_secs(time));
    run(1);
    let (mut issued, mut failed, mut heads) = (0, 0, HashSet::new());
    let (mut quiet_p99, mut moved_p99, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..windows {
        let mut quiet = run(seconds);
        let rotating = service.handle.spawn(rotate(Arc::clone(&service.core)));
        let mut moved = run(seconds);
        rotating.abort();
        for window in [&quiet, &moved] {
            issued += window.took.len();
            failed += window.failed;
        }
        heads.extend(std::mem::take(&mut moved.heads));
        quiet_p99.push(quiet.p99());
        moved_p99.push(moved.p99());
        ratios.push(moved.p99() / quiet.p99());
    }
    let ratio = median(ratios);
    let of = "rotation under load";
    figure(of, "windows, of each kind; seconds of one", format!("{windows}; {seconds}"), "");
    figure(of, "tokens issued", issued, "many");
    figure(of, "keys that signed them with rotations", heads.len(), "one for each rotation");
    figure(of, "failed", failed, "0");
    figure(of, "p99 quiet, ms, median", format!("{:.2}", median(quiet_p99)), "");
    figure(of, "p99 with rotations, ms, median", format!("{:.2}", median(moved_p99)), "");
    figure(
        of,
        "the second / the first, median of pairs",
        format!("{ratio:.2}"),
        &format!("{MOST}, long form"),
    );
    let stopper = service.stopper.clone();
    service.handle.spawn(async move { stopper.stop(false).await });
    service.thread.join().unwrap();
    assert_eq!(failed, 0);
    assert!(heads.len() > windows, "the keys did not change under load");
    // A few seconds of an unoptimised build say nothing of time.
    assert!(!is_full() || cfg!(debug_assertions) || ratio <= MOST, "{ratio}");
}

/// Lets the standby take over as soon as it is lawful again.
async fn rotate(core: Arc<Core>) {
    loop {
        let _ = core.rotate_signing_key().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn request(app: &TestApp) -> Vec<u8> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials").append_pair("client_id", READER.client_id);
    form.append_pair("client_secret", app.secret(&READER)).append_pair("resource", &audience("scorer"));
    let body = form.finish();
    let head =
        "POST /oauth2/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// All connections at work for so long, on a thread of their own.
fn run(address: SocketAddr, request: &Arc<Vec<u8>>, time: Duration) -> Window {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let end = Instant::now() + time;
        let ask = || tokio::spawn(ask_until(end, address, Arc::clone(request)));
        let connections: Vec<_> = std::iter::repeat_with(ask).take(CONNECTIONS).collect();
        let mut all = Window::default();
        for connection in connections {
            let seen = connection.await.unwrap();
            all.took.extend(seen.took);
            all.heads.extend(seen.heads);
            all.failed += seen.failed;
        }
        all
    })
}

async fn ask_until(end: Instant, address: SocketAddr, request: Arc<Vec<u8>>) -> Window {
    let mut seen = Window::default();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    while Instant::now() < end {
        let began = Instant::now();
        match ask(&mut stream, &request).await {
            Ok(head) => {
                seen.took.push(began.elapsed());
                if !seen.heads.contains(&head) {
                    seen.heads.insert(head);
                }
            }
            Err(_) => {
                seen.failed += 1;
                stream = BufReader::new(TcpStream::connect(address).await.unwrap());
            }
        }
    }
    seen
}

/// The head of the token that is answered; an error for any other answer.
async fn ask(stream: &mut BufReader<TcpStream>, request: &[u8]) -> std::io::Result<String> {
    stream.write_all(request).await?;
    let (mut line, mut is_good, mut length) = (String::new(), false, 0);
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            None if line.starts_with("HTTP/1.1 ") => is_good = line.starts_with("HTTP/1.1 200 "),
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let text = String::from_utf8(body).unwrap();
    let token = text.split_once("\"access_token\":\"").filter(|_| is_good);
    let (_, token) = token.ok_or_else(|| std::io::Error::other(text.clone()))?;
    Ok(token.split('.').next().unwrap_or_default().to_owned())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
