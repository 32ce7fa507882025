//! What each guest of a run is doing: DISCOVER, REQUEST, bound; lost packets; addresses that are wrong. No I/O is here.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use crate::frame::{ACK, Message, NAK, OFFER};
use crate::hosts::{Host, Mac, MacTable};

/// How often a guest tries before it is given up.
const ATTEMPTS: u8 = 4;

/// A guest's place in an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Selecting,
    Requesting,
}

#[derive(Debug, Clone, Copy)]
struct Guest {
    mac: Mac,
    ip: Ipv4Addr,
    xid: u32,
    started: u64,
    /// When it loses its patience.
    due: u64,
    phase: Phase,
    attempts: u8,
}

/// What a guest sends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Send {
    Discover {
        mac: Mac,
        xid: u32,
    },
    Request {
        mac: Mac,
        xid: u32,
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Exchanges from DISCOVER to ACK, with the right address.
    pub(crate) bound: u64,
    /// Messages that were not answered in time.
    pub(crate) lost: u64,
    /// Guests that were given up.
    pub(crate) unserved: u64,
    /// Replies with another address than the guest's own.
    pub(crate) wrong: u64,
    /// NAKs, all of them unasked for.
    pub(crate) refused: u64,
    /// Replies that came too late, twice, or for nobody.
    pub(crate) stray: u64,
    /// Nanoseconds from DISCOVER to ACK of each that was bound at its first attempt.
    pub(crate) latencies: Vec<u64>,
    /// When the last ACK came.
    pub(crate) last: u64,
}

/// All guests of a run.
#[derive(Debug)]
pub(crate) struct Guests {
    all: Vec<Guest>,
    table: MacTable,
    /// Who may lose patience when. An entry whose time is no longer its guest's is void.
    deadlines: VecDeque<(u64, usize)>,
    patience: u64,
    next_guest: usize,
    stride: usize,
    next_xid: u32,
    in_flight: usize,
    pub(crate) tally: Tally,
}

impl Guests {
    /// Guests that wait `patience` nanoseconds for each answer. Room for `expected` latencies is made beforehand.
    pub(crate) fn new(hosts: &[Host], patience: u64, expected: usize) -> Self {
        let guest = |host: &Host| Guest {
            mac: host.mac,
            ip: host.ip,
            xid: 0,
            started: 0,
            due: 0,
            phase: Phase::Idle,
            attempts: 0,
        };
        let mut tally = Tally::default();
        tally.latencies.reserve(expected);
        Self {
            all: hosts.iter().map(guest).collect(),
            table: MacTable::new(hosts),
            deadlines: VecDeque::with_capacity(1 << 16),
            patience,
            next_guest: 0,
            stride: stride(hosts.len()),
            next_xid: 0x5eed_0000,
            in_flight: 0,
            tally,
        }
    }

    /// How many are between their DISCOVER and their ACK.
    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The next guest boots. Guests come in an order that is neither that of the configuration nor random; `None`
    /// when the one whose turn it is has not finished yet.
    pub(crate) fn boot(&mut self, now: u64) -> Option<Send> {
        let index = self.next_guest;
        if self.all[index].phase != Phase::Idle {
            return None;
        }
        self.next_guest = (index + self.stride) % self.all.len();
        self.in_flight += 1;
        self.all[index].attempts = 0;
        Some(self.discover(index, now))
    }

    fn discover(&mut self, index: usize, now: u64) -> Send {
        self.next_xid = self.next_xid.wrapping_add(1);
        let xid = self.next_xid;
        let guest = &mut self.all[index];
        guest.xid = xid;
        guest.started = now;
        guest.due = now + self.patience;
        guest.phase = Phase::Selecting;
        guest.attempts += 1;
        self.deadlines.push_back((guest.due, index));
        Send::Discover { mac: guest.mac, xid }
    }

    /// A reply came; what the guest says to it.
    pub(crate) fn receive(&mut self, message: &Message, now: u64) -> Option<Send> {
        let found = self.table.get(message.chaddr);
        let Some(index) = found.filter(|index| self.all[*index].xid == message.xid) else {
            self.tally.stray += 1;
            return None;
        };
        let guest = &mut self.all[index];
        match (guest.phase, message.kind) {
            (Phase::Selecting | Phase::Requesting, OFFER | ACK) if message.yiaddr != guest.ip => {
                self.tally.wrong += 1;
            }
            (Phase::Selecting, OFFER) => {
                guest.phase = Phase::Requesting;
                guest.due = now + self.patience;
                self.deadlines.push_back((guest.due, index));
                return Some(Send::Request {
                    mac: guest.mac,
                    xid: message.xid,
                    address: message.yiaddr,
                    server: message.server.unwrap_or(Ipv4Addr::UNSPECIFIED),
                });
            }
            (Phase::Requesting, ACK) => {
                if guest.attempts == 1 {
                    self.tally.latencies.push(now - guest.started);
                }
                self.tally.bound += 1;
                self.tally.last = now;
                self.rest(index);
            }
            (Phase::Requesting, NAK) => self.tally.refused += 1,
            _ => self.tally.stray += 1,
        }
        None
    }

    fn rest(&mut self, index: usize) {
        self.all[index].phase = Phase::Idle;
        self.in_flight -= 1;
    }

    /// When the next guest loses its patience, if one waits.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// A guest whose answer is overdue: it starts again (`retransmit`), or is given up. `None` when nobody else is due.
    pub(crate) fn overdue(&mut self, now: u64, retransmit: bool) -> Option<Send> {
        while let Some((at, index)) = self.deadlines.front().copied() {
            let guest = self.all[index];
            let waits = guest.phase != Phase::Idle && guest.due == at;
            if waits && at > now {
                return None;
            }
            self.deadlines.pop_front();
            if !waits {
                continue;
            }
            self.tally.lost += 1;
            if retransmit && guest.attempts < ATTEMPTS {
                return Some(self.discover(index, now));
            }
            self.tally.unserved += 1;
            self.rest(index);
        }
        None
    }
}

/// A step through `count` guests that meets each once before any twice, and leaves neighbours far apart.
fn stride(count: usize) -> usize {
    let golden = count * 618 / 1000;
    (golden.max(1)..=count)
        .find(|step| gcd(*step, count) == 1)
        .unwrap_or(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);

    fn guests(count: u8) -> Guests {
        let host = |n| Host {
            name: format!("h{n}"),
            mac: [2, 0x5b, 0, 0, 0, n],
            ip: Ipv4Addr::new(10, 64, 1, n),
        };
        Guests::new(&(0..count).map(host).collect::<Vec<_>>(), 100, 10)
    }

    fn answer(send: Send, kind: u8, host: u8) -> Message {
        let (Send::Discover { mac, xid } | Send::Request { mac, xid, .. }) = send;
        Message {
            kind,
            xid,
            chaddr: mac,
            yiaddr: Ipv4Addr::new(10, 64, 1, host),
            server: Some(SERVER),
        }
    }

    #[test]
    fn an_exchange_counts_from_discover_to_ack() {
        let mut guests = guests(1);
        let discover = guests.boot(10).unwrap();
        let request = guests.receive(&answer(discover, OFFER, 0), 20).unwrap();
        assert!(matches!(request, Send::Request { server: SERVER, .. }));
        assert_eq!(guests.receive(&answer(request, ACK, 0), 35), None);
        assert_eq!((guests.tally.bound, guests.in_flight()), (1, 0));
        assert_eq!(guests.tally.latencies, [25]);
    }

    #[test]
    fn anothers_address_is_wrong_and_binds_nobody() {
        let mut guests = guests(2);
        let discover = guests.boot(0).unwrap();
        assert_eq!(guests.receive(&answer(discover, OFFER, 1), 1), None);
        assert_eq!(
            (guests.tally.wrong, guests.tally.bound, guests.in_flight()),
            (1, 0, 1)
        );
    }

    #[test]
    fn a_guest_that_hears_nothing_starts_again_and_is_given_up_at_last() {
        let mut guests = guests(1);
        guests.boot(0).unwrap();
        let mut now = 0;
        for _ in 1..ATTEMPTS {
            now += 100;
            assert!(matches!(guests.overdue(now, true), Some(Send::Discover { .. })));
            assert_eq!(guests.overdue(now, true), None);
        }
        assert_eq!(guests.overdue(now + 100, true), None);
        assert_eq!((guests.tally.lost, guests.tally.unserved), (ATTEMPTS.into(), 1));
        assert_eq!((guests.in_flight(), guests.next_deadline()), (0, None));
    }

    #[test]
    fn the_stride_meets_every_guest() {
        for count in [1, 2, 100, 101, 1024, 10_000, 50_000] {
            let step = stride(count);
            let mut met = vec![false; count];
            (0..count).for_each(|turn| met[turn * step % count] = true);
            assert!(met.iter().all(|met| *met), "{count}");
        }
    }
}
