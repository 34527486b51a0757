//! A proxy before the database that can delay what passes, or let nothing pass.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

pub struct Proxy {
    port: u16,
    target: Arc<AtomicU16>,
    delay_millis: Arc<AtomicU64>,
}

impl Proxy {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (target, delay_millis) = (Arc::new(AtomicU16::new(target)), Arc::new(AtomicU64::new(0)));
        let proxy = Self { port, target: Arc::clone(&target), delay_millis: Arc::clone(&delay_millis) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target.load(Ordering::SeqCst)))
                else {
                    continue;
                };
                let (client_back, server_back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let delay = Arc::clone(&delay_millis);
                std::thread::spawn(move || pass(client, server, &delay));
                std::thread::spawn(move || pass(server_back, client_back, &AtomicU64::new(0)));
            }
        });
        proxy
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Every message to the server waits so long.
    pub fn delay(&self, delay: Duration) {
        self.delay_millis.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// New connections go to another server.
    pub fn turn_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: &AtomicU64) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        std::thread::sleep(Duration::from_millis(delay.load(Ordering::SeqCst)));
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
