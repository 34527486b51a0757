//! Callers without a pause: through every gateway, with tokens as callers have them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::gateway::{Gateway, agent, ask};
use crate::helpers::decoded;
use crate::service::Service;

const PAUSE: Duration = Duration::from_millis(20);

/// How a caller treats its tokens.
#[derive(Debug, Clone, Copy)]
struct Habit {
    renews_after: Duration,
    /// Uses all that it ever had, in turn.
    keeps: bool,
}

/// The first two meet each new key as soon as it signs, the last uses tokens of every key that ever signed.
const HABITS: [Habit; 4] = [
    Habit { renews_after: Duration::from_millis(200), keeps: false },
    Habit { renews_after: Duration::from_millis(300), keeps: false },
    Habit { renews_after: Duration::from_secs(8), keeps: false },
    Habit { renews_after: Duration::from_secs(1), keeps: true },
];

struct Token {
    text: String,
    kid: String,
    taken: Instant,
}

impl Token {
    fn fresh(service: &Service) -> Self {
        let text = service.token();
        let kid = decoded(&text).0["kid"].as_str().unwrap().to_owned();
        Self { text, kid, taken: Instant::now() }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub first: Instant,
    pub last: Instant,
}

impl Span {
    fn join(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

#[derive(Debug)]
pub struct Refusal {
    pub at: Instant,
    pub kid: String,
    pub answer: Result<u16, String>,
    pub token_age: Duration,
}

/// What the callers of one gateway saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: usize,
    /// When tokens of a key were sent that were then accepted.
    pub accepted: BTreeMap<String, Span>,
    pub refused: Vec<Refusal>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.refused.extend(other.refused);
        for (kid, span) in other.accepted {
            self.accepted.entry(kid).and_modify(|known| *known = known.join(span)).or_insert(span);
        }
    }

    pub fn refused_of(&self, kid: &str) -> usize {
        self.refused.iter().filter(|refusal| refusal.kid == kid).count()
    }

    /// The first refusals, in words.
    pub fn complaints(&self, began: Instant) -> Vec<String> {
        let words = |refusal: &Refusal| {
            let (at, age) = (refusal.at.saturating_duration_since(began), refusal.token_age);
            format!("at {at:.1?} {:?}: a token {age:.1?} old, of key {}", refusal.answer, refusal.kid)
        };
        self.refused.iter().take(5).map(words).collect()
    }
}

/// Has callers at work through each gateway while something is done; what they saw, a gateway each.
pub fn during(service: &Service, gateways: &[Gateway], act: impl FnOnce()) -> Vec<Seen> {
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<Vec<_>> = gateways
            .iter()
            .map(|gateway| {
                let call = |habit| scope.spawn(move || call(service, gateway, habit, stop));
                HABITS.into_iter().map(call).collect()
            })
            .collect();
        // Also after a panic, or the callers would never end.
        let _stop = StopAtEnd(stop);
        act();
        stop.store(true, Ordering::SeqCst);
        let all = |callers: Vec<std::thread::ScopedJoinHandle<'_, Seen>>| {
            let mut seen = Seen::default();
            callers.into_iter().for_each(|caller| seen.add(caller.join().unwrap()));
            seen
        };
        callers.into_iter().map(all).collect()
    })
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn call(service: &Service, gateway: &Gateway, habit: Habit, stop: &AtomicBool) -> Seen {
    let (agent, mut seen, mut tokens) = (agent(), Seen::default(), Vec::<Token>::new());
    while !stop.load(Ordering::SeqCst) {
        if tokens.last().is_none_or(|newest| newest.taken.elapsed() >= habit.renews_after) {
            if !habit.keeps {
                tokens.clear();
            }
            tokens.push(Token::fresh(service));
        }
        let token = &tokens[seen.requests % tokens.len()];
        let at = Instant::now();
        let answer = ask(&agent, &gateway.url, &token.text);
        seen.requests += 1;
        if answer == Ok(200) {
            let span = Span { first: at, last: at };
            let known = seen.accepted.entry(token.kid.clone()).or_insert(span);
            *known = known.join(span);
        } else {
            let token_age = at - token.taken;
            seen.refused.push(Refusal { at, kid: token.kid.clone(), answer, token_age });
        }
        std::thread::sleep(PAUSE);
    }
    seen
}
