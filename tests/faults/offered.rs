//! Callers that ask on a schedule, whatever the answers do: thousands of connections on one thread, without a client
//! library, so that they leave the cores to the service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::load::token_id;

/// What a caller does that was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    AsksAgainAtOnce,
    WaitsOutRetryAfter,
}

/// So many callers, each with a connection of its own and one request on it at a time, together asking so often. A caller
/// whose answer is late asks again as soon as it has it.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    pub callers: usize,
    pub per_second: f64,
    pub patience: Patience,
    pub time: Duration,
}

/// What came of it. Times in milliseconds, from the request to its whole answer.
#[derive(Debug, Default)]
pub struct Outcome {
    pub tokens: Vec<String>,
    pub served: Vec<f64>,
    pub refused: Vec<f64>,
    /// Neither a token nor a refusal in the dialect's shape, or no answer.
    pub bad: Vec<String>,
    pub took: Duration,
}

/// Longer than this nobody waits for an answer.
const ANSWER: Duration = Duration::from_secs(10);

impl Offer {
    /// Offers it to the service at this address, each caller sending one of these requests.
    pub fn make(self, address: &str, requests: &[Vec<u8>]) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let requests: Vec<Arc<[u8]>> = requests.iter().map(|request| request.as_slice().into()).collect();
        runtime.block_on(async {
            let mut streams = Vec::new();
            for _ in 0..self.callers {
                streams.push(TcpStream::connect(address).await.unwrap());
            }
            let began = Instant::now();
            let tasks: Vec<_> = streams
                .into_iter()
                .enumerate()
                .map(|(number, stream)| {
                    let caller = Caller {
                        stream,
                        request: Arc::clone(&requests[number % requests.len()]),
                        buffer: Vec::with_capacity(4096),
                        seen: Outcome::default(),
                    };
                    tokio::spawn(caller.ask_until(self, began, number))
                })
                .collect();
            let mut all = Outcome::default();
            for task in tasks {
                all.add(task.await.unwrap());
            }
            Outcome { took: began.elapsed(), ..all }
        })
    }
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.tokens.len() as f64 / self.took.as_secs_f64()
    }

    pub fn add(&mut self, other: Self) {
        self.took += other.took;
        self.tokens.extend(other.tokens);
        self.served.extend(other.served);
        self.refused.extend(other.refused);
        self.bad.extend(other.bad);
    }
}

/// The value below which that share of the values lies.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}

struct Caller {
    stream: TcpStream,
    request: Arc<[u8]>,
    buffer: Vec<u8>,
    seen: Outcome,
}

impl Caller {
    async fn ask_until(mut self, offer: Offer, began: Instant, number: usize) -> Outcome {
        let pause = Duration::from_secs_f64(offer.callers as f64 / offer.per_second);
        let end = began + offer.time;
        let mut due = began + pause.mul_f64(number as f64 / offer.callers as f64);
        while due < end {
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            let asked = Instant::now();
            if asked >= end {
                break;
            }
            let answer = match tokio::time::timeout(ANSWER, self.ask()).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return self.broken(error.to_string()),
                Err(_) => return self.broken(format!("no answer in {ANSWER:?}")),
            };
            let took = asked.elapsed().as_secs_f64() * 1e3;
            due += pause;
            match answer {
                Answer::Token(id) => {
                    self.seen.tokens.push(id);
                    self.seen.served.push(took);
                }
                Answer::Refusal { retry_after } => {
                    self.seen.refused.push(took);
                    due = Instant::now();
                    if offer.patience == Patience::WaitsOutRetryAfter {
                        due += retry_after;
                    }
                }
                Answer::Other(text) => self.seen.bad.push(text),
            }
        }
        self.seen
    }

    fn broken(mut self, what: String) -> Outcome {
        self.seen.bad.push(what);
        self.seen
    }

    async fn ask(&mut self) -> io::Result<Answer> {
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = read(&self.buffer) {
                return Ok(answer);
            }
        }
    }
}

enum Answer {
    Token(String),
    Refusal { retry_after: Duration },
    Other(String),
}

/// The answer, once it is whole.
fn read(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let length: usize = header("content-length")?.parse().ok()?;
    if body.len() < length {
        return None;
    }
    Some(match (head.split(' ').nth(1), header("retry-after")) {
        (Some("200"), _) => {
            let token = body.split_once("\"access_token\":\"").and_then(|(_, rest)| rest.split_once('"'));
            token
                .and_then(|(token, _)| token_id(token))
                .map_or_else(|| Answer::Other(text.to_owned()), Answer::Token)
        }
        (Some("503"), Some(seconds)) if body.contains("\"error\":\"temporarily_unavailable\"") => {
            Answer::Refusal { retry_after: Duration::from_secs(seconds.parse().ok()?) }
        }
        _ => Answer::Other(text.to_owned()),
    })
}
