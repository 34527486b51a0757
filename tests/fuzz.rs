//! The fuzz targets without a fuzzer: every file of the kept corpus, and changes of them that are the same each time.
//!
//! docs/verification.md tells how to run them with cargo-fuzz, for as long as one likes.

// A test has no caller to hand an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::path::Path;

/// For each target; together they take some seconds.
const CHANGES: usize = 4_000;

/// What a parser looks for, so that a change is often nearly right.
const WORDS: [&str; 24] = [
    ".",
    "=",
    "==",
    "&",
    "%",
    "%25",
    "+",
    "\n",
    "*",
    "/",
    "//",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "1e400",
    "client_id=",
    "\u{feff}",
    "\u{212a}",
];

/// A small generator of its own (xorshift): the same changes each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    /// Some bytes of it.
    fn slice(&mut self, of: &[u8]) -> std::ops::Range<usize> {
        let (one, other) = (self.roll(of.len() + 1), self.roll(of.len() + 1));
        one.min(other)..one.max(other)
    }

    fn change(&mut self, data: &mut Vec<u8>, all: &[Vec<u8>]) {
        let at = self.roll(data.len() + 1);
        match self.roll(8) {
            0 if at < data.len() => data[at] ^= 1 << self.roll(8),
            1 if at < data.len() => drop(data.remove(at)),
            2 => data.insert(at, self.roll(256) as u8),
            3 => drop(data.splice(at..at, WORDS[self.roll(WORDS.len())].bytes())),
            4 => drop(data.drain(self.slice(data))),
            5 => {
                let copy = data[self.slice(data)].to_vec();
                drop(data.splice(at..at, copy));
            }
            6 => {
                let other = &all[self.roll(all.len())];
                let part = other[self.slice(other)].to_vec();
                drop(data.splice(at..at, part));
            }
            _ => data.make_ascii_uppercase(),
        }
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn the_corpus_and_changes_of_it_break_no_property() {
    for (name, target) in targets::ALL {
        let all = corpus(name);
        assert!(all.len() >= 12, "{name}: {} files", all.len());
        all.iter().for_each(|data| target(data));
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for number in 0..CHANGES {
            let mut data = all[number % all.len()].clone();
            for _ in 0..=dice.roll(4) {
                dice.change(&mut data, &all);
            }
            let shown = String::from_utf8_lossy(&data).into_owned();
            let outcome = std::panic::catch_unwind(|| target(&data));
            assert!(outcome.is_ok(), "{name}, change {number}: {shown:?}");
        }
    }
}
