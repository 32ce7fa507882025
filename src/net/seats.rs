//! Places for work in hand, such as open connections: so many in all and per source, so that one guest can not take those
//! of the others.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// The places there are.
#[derive(Debug)]
pub struct Seats {
    taken: Mutex<Taken>,
    in_all: usize,
    per_source: usize,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_source: HashMap<Ipv4Addr, usize>,
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    source: Ipv4Addr,
}

impl Seats {
    /// So many places in all, and at most so many of them for one source.
    pub fn new(in_all: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            in_all,
            per_source,
        })
    }

    /// A place for somebody there, when there is one.
    pub fn take(self: &Arc<Self>, source: Ipv4Addr) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.by_source.get(&source).copied().unwrap_or_default();
        if taken.in_all >= self.in_all || here >= self.per_source {
            return None;
        }
        taken.in_all += 1;
        taken.by_source.insert(source, here + 1);
        Some(Seat {
            seats: Arc::clone(self),
            source,
        })
    }
}

impl Seat {
    /// Whose place it is.
    pub const fn source(&self) -> Ipv4Addr {
        self.source
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        let left = taken
            .by_source
            .get(&self.source)
            .map_or(0, |here| here.saturating_sub(1));
        if left == 0 {
            taken.by_source.remove(&self.source);
        } else {
            taken.by_source.insert(self.source, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
    const TWO: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 6);

    #[test]
    fn one_source_can_not_take_every_place() {
        let seats = Seats::new(3, 2);
        let held: Vec<_> = [ONE, ONE].into_iter().map(|source| seats.take(source)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(seats.take(ONE).is_none());
        let other = seats.take(TWO);
        assert!(other.is_some() && seats.take(TWO).is_none());
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let seats = Seats::new(1, 1);
        drop(seats.take(ONE));
        assert!(seats.take(TWO).is_some());
        assert!(seats.taken.lock().unwrap().by_source.is_empty());
    }
}
