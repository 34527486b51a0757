//! The connections of the public listener: how many an address may have, and the end of those that do not go on.
//!
//! actix gives the first head of a connection a deadline, and a connection without a request its keep-alive. A head that
//! begins and stops after a request was answered, and an answer that its caller does not read, have neither.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Shutdown};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::{SockRef, Socket};

use super::proxies::TrustedProxies;
use crate::metrics::Metrics;

/// Answers of one HTTP/2 connection that its caller has not read yet; actix sets no limit of streams. More than a caller
/// can have token requests under way with the default `limits.max_waiting_tokens`.
const MOST_UNREAD: u32 = 1024;

/// What the listener allows.
pub struct Rules {
    /// 0: no limit.
    pub per_address: usize,
    /// How long a connection may be without a request, or an answer without a reader.
    pub patience: Duration,
    /// Exempt from the limit: they bring everybody's requests.
    pub proxies: TrustedProxies,
    /// Plain HTTP: nobody but the proxies and this machine may come.
    pub proxies_only: bool,
}

/// The connections that are open.
pub struct Connections {
    rules: Rules,
    metrics: Arc<Metrics>,
    opened: Instant,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    all: Mutex<Vec<Weak<Open>>>,
}

/// One connection.
struct Open {
    /// A descriptor of our own: the other one may be closed, and its number another's, at any time.
    socket: Socket,
    is_http2: bool,
    /// Requests whose answer is not given, or over HTTP/2 not read.
    busy: AtomicU32,
    /// When a request last came or was done with, in milliseconds after `opened`.
    changed: AtomicU64,
}

/// Stands in the connection's extensions as long as it lives.
pub struct Connection {
    open: Arc<Open>,
    connections: Arc<Connections>,
    /// Counted under this address.
    counted: Option<IpAddr>,
}

/// A request from its head to its answer.
pub struct Turn(Arc<Open>, Arc<Connections>);

impl Connections {
    pub fn new(rules: Rules, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            rules,
            metrics,
            opened: Instant::now(),
            by_address: Mutex::default(),
            all: Mutex::default(),
        })
    }

    /// For `HttpServer::on_connect`. Over TLS it is called after the handshake, which has its own deadline.
    pub fn connected(self: &Arc<Self>, io: &dyn Any, extensions: &mut Extensions) {
        let tls = io.downcast_ref::<TlsStream<TcpStream>>();
        let (stream, is_http2) = match tls {
            Some(tls) => (Some(tls.get_ref().0), tls.get_ref().1.alpn_protocol() == Some(b"h2")),
            None => (io.downcast_ref::<TcpStream>(), false),
        };
        let Some(stream) = stream else { return };
        // Neither fails but for a connection that is gone, or when there are no descriptors left.
        let (Ok(peer), Ok(socket)) = (stream.peer_addr(), SockRef::from(stream).try_clone()) else {
            let _ = SockRef::from(stream).shutdown(Shutdown::Both);
            return;
        };
        let address = peer.ip().to_canonical();
        let is_proxy = self.rules.proxies.contains(address);
        if self.rules.proxies_only && !is_proxy && !address.is_loopback() {
            return self.cut(&socket, "not_a_proxy");
        }
        let counted = (!is_proxy && self.rules.per_address > 0).then_some(address);
        if let Some(address) = counted
            && !self.enter(address)
        {
            return self.cut(&socket, "too_many");
        }
        let open =
            Arc::new(Open { socket, is_http2, busy: AtomicU32::new(0), changed: AtomicU64::new(self.now()) });
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&open));
        extensions.insert(Connection { open, connections: Arc::clone(self), counted });
    }

    fn enter(&self, address: IpAddr) -> bool {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.entry(address).or_default();
        let has_room = *count < self.rules.per_address;
        if has_room {
            *count += 1;
        }
        has_room
    }

    fn leave(&self, address: IpAddr) {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }

    fn cut(&self, socket: &Socket, reason: &'static str) {
        self.metrics.connections_cut.with_label_values(&[reason]).inc();
        // It fails for a connection that has ended already.
        let _ = socket.shutdown(Shutdown::Both);
    }

    /// Ends, each second, the connections that do not go on. Never returns.
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let (now, patience) = (self.now(), millis(self.rules.patience));
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|open| {
                let Some(open) = open.upgrade() else { return false };
                let is_stalled = now.saturating_sub(open.changed.load(Ordering::Relaxed)) > patience
                    && open.is_waited_for();
                if is_stalled {
                    self.cut(&open.socket, "stalled");
                }
                !is_stalled
            });
        }
    }

    fn now(&self) -> u64 {
        millis(self.opened.elapsed())
    }
}

impl Open {
    /// Whether it is the caller's turn. Over HTTP/2 a connection may be without requests: actix asks by pings whether its
    /// caller is there, and one who is in the middle of a head can't answer them (RFC 9113, section 6.10).
    fn is_waited_for(&self) -> bool {
        (self.busy.load(Ordering::Relaxed) > 0) == self.is_http2
    }
}

impl Connection {
    pub fn is_http2(&self) -> bool {
        self.open.is_http2
    }

    /// A request has come.
    pub fn begin(&self) -> Turn {
        let unread = self.open.busy.fetch_add(1, Ordering::Relaxed);
        self.open.changed.store(self.connections.now(), Ordering::Relaxed);
        if unread >= MOST_UNREAD && self.open.is_http2 {
            self.connections.cut(&self.open.socket, "stalled");
        }
        Turn(Arc::clone(&self.open), Arc::clone(&self.connections))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.changed.store(self.1.now(), Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(address) = self.counted {
            self.connections.leave(address);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
