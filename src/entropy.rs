//! Randomness as a parameter. The only place that reads the system's generator, save ring's own signing calls.

use std::cell::RefCell;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Fills buffers with random bytes. Two implementations: the system's, and a seeded one for exact snapshots.
pub trait Entropy: Send + Sync {
    /// A failing generator is a panic: nothing safe can be done without one.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's generator, through ring.
pub struct SystemEntropy {
    // The seam itself.
    #[allow(clippy::disallowed_types)]
    random: ring::rand::SystemRandom,
}

impl SystemEntropy {
    // The seam itself; and a generator is asked for by name, not by `default()`.
    #[allow(clippy::disallowed_types, clippy::new_without_default)]
    pub fn new() -> Self {
        Self { random: ring::rand::SystemRandom::new() }
    }
}

impl SystemEntropy {
    fn draw(&self, buffer: &mut [u8]) {
        use ring::rand::SecureRandom as _;
        if self.random.fill(buffer).is_err() {
            panic!("the system's random generator failed");
        }
    }
}

/// Random bytes that wait in each thread: a call of the system costs as much for 48 bytes as for these.
const DRAWN_AHEAD: usize = 1024;

struct Ahead {
    bytes: [u8; DRAWN_AHEAD],
    /// Those before were handed out.
    used: usize,
}

thread_local! {
    static AHEAD: RefCell<Ahead> = const { RefCell::new(Ahead { bytes: [0; DRAWN_AHEAD], used: DRAWN_AHEAD }) };
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > DRAWN_AHEAD {
            return self.draw(buffer);
        }
        AHEAD.with_borrow_mut(|ahead| {
            if DRAWN_AHEAD - ahead.used < buffer.len() {
                self.draw(&mut ahead.bytes);
                ahead.used = 0;
            }
            let end = ahead.used + buffer.len();
            if let Some(bytes) = ahead.bytes.get_mut(ahead.used..end) {
                buffer.copy_from_slice(bytes);
                // Handed out once, and no longer to be found here.
                bytes.fill(0);
            }
            ahead.used = end;
        });
    }
}

/// A counter stretched by SHA-256: unique and repeatable, for tests only.
#[derive(Debug, Default)]
pub struct SeededEntropy(std::sync::atomic::AtomicU64);

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let block = ring::digest::digest(&ring::digest::SHA256, &count.to_be_bytes());
            chunk.iter_mut().zip(block.as_ref()).for_each(|(to, from)| *to = *from);
        }
    }
}

/// A fixed number of random bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut buffer = [0; N];
    entropy.fill(&mut buffer);
    buffer
}

/// Random UUIDs, the smallest first: rows that get them in this order stand side by side in their table, and are not
/// strewn over all of it.
pub fn ascending_uuids(entropy: &dyn Entropy, count: usize) -> Vec<Uuid> {
    let mut drawn: Vec<Uuid> = (0..count).map(|_| random_uuid(entropy)).collect();
    drawn.sort_unstable();
    drawn
}

/// A random UUID (version 4).
pub fn random_uuid(entropy: &dyn Entropy) -> Uuid {
    uuid::Builder::from_random_bytes(bytes(entropy)).into_uuid()
}

/// A UUID that sorts by time (version 7, RFC 9562 section 5.7), to a quarter of a microsecond (section 6.2, method 3).
pub fn time_ordered_uuid(now: DateTime<Utc>, random: &[u8; 8]) -> Uuid {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let fraction = u64::from(now.timestamp_subsec_nanos()) % 1_000_000 * 4096 / 1_000_000;
    let mut after_millis = [0; 10];
    let (time, rest) = after_millis.split_at_mut(2);
    time.copy_from_slice(&(fraction as u16).to_be_bytes());
    rest.copy_from_slice(random);
    uuid::Builder::from_unix_timestamp_millis(millis, &after_millis).into_uuid()
}

/// A number in [0, 1) from 64 random bits.
pub fn unit_interval(random: [u8; 8]) -> f64 {
    // 53 bits fill an f64's mantissa exactly.
    (u64::from_be_bytes(random) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bytes_are_handed_out_twice() {
        let entropy = SystemEntropy::new();
        // Around the ends of what is drawn ahead, and beyond it.
        let mut seen = HashSet::new();
        for length in [16, 48, 1000, 1023, 1024, 1025, 4096, 17, 33].into_iter().cycle().take(900) {
            let mut buffer = vec![0; length];
            entropy.fill(&mut buffer);
            for eight in buffer.chunks_exact(8) {
                assert!(seen.insert(eight.to_vec()), "{length}: {eight:?}");
            }
        }
    }
}
