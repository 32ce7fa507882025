//! How much one asker gets, so that there is something left for the others. Pure: the time is an argument.
//!
//! A name that is there costs less than its question's way through the kernel, and its answer is about as long as the
//! question: such answers are not limited. All else is, per source address: a missing name, since a guest can invent any
//! number of them, and what is sent on, since somebody else pays for it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// How many questions a second one address may ask that are limited.
pub const RATE: u32 = 200;
/// How many it may ask at once after a pause.
pub const BURST: u32 = 2 * RATE;

/// What an asker gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The answer.
    Answer,
    /// That it may come back by TCP: who speaks from its own address can, and goes on, slower.
    ByStream,
    /// Nothing.
    Silence,
}

/// A token bucket for each source address, in a table of fixed size.
#[derive(Debug)]
pub struct Limiter {
    sets: Box<[[Bucket; WAYS]]>,
}

/// How many addresses share a place in the table before one of them is forgotten, and starts anew.
const WAYS: usize = 4;
/// How many such places there are; a power of two. 1,024 addresses in all.
const SETS: usize = 256;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    source: Ipv4Addr,
    /// Thousandths of a question.
    tokens: u64,
    /// When it was last asked of.
    touched: Duration,
    /// Whether the last refusal was told.
    told: bool,
}

const FULL: u64 = BURST as u64 * 1_000;

impl Default for Limiter {
    fn default() -> Self {
        let unused = Bucket {
            source: Ipv4Addr::UNSPECIFIED,
            tokens: FULL,
            touched: Duration::ZERO,
            told: false,
        };
        Self {
            sets: vec![[unused; WAYS]; SETS].into(),
        }
    }
}

impl Limiter {
    /// What the next limited question of an address gets. `now` is the time since any fixed moment.
    pub fn take(&mut self, source: IpAddr, now: Duration) -> Verdict {
        let IpAddr::V4(source) = source.to_canonical() else {
            return Verdict::Answer;
        };
        let set = self.sets.get_mut(place(source)).into_iter().flatten();
        // Its own bucket, or that of the address which has not asked for longest.
        let Some(bucket) = set.min_by_key(|bucket| (bucket.source != source, bucket.touched)) else {
            return Verdict::Answer;
        };
        if bucket.source != source {
            *bucket = Bucket {
                source,
                tokens: FULL,
                touched: now,
                told: false,
            };
        }
        bucket.take(now)
    }
}

impl Bucket {
    fn take(&mut self, now: Duration) -> Verdict {
        let waited = now.saturating_sub(self.touched).as_millis();
        let gained = u64::try_from(waited)
            .unwrap_or(u64::MAX)
            .saturating_mul(RATE.into());
        self.tokens = self.tokens.saturating_add(gained).min(FULL);
        // The part of a millisecond that is left counts the next time.
        if gained > 0 {
            self.touched = now;
        }
        if let Some(rest) = self.tokens.checked_sub(1_000) {
            self.tokens = rest;
            return Verdict::Answer;
        }
        // Every other one is told: enough for who waits for it, and half the work.
        self.told = !self.told;
        if self.told {
            Verdict::ByStream
        } else {
            Verdict::Silence
        }
    }
}

/// Neighbouring addresses lie in different places: a subnet as large as the table fills it evenly.
const fn place(source: Ipv4Addr) -> usize {
    source.to_bits() as usize % SETS
}

#[cfg(test)]
mod tests;
