//! Guests on the wire: keeps their frames moving in batches, at a pace, and says what came of it.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use serde::Serialize;
use socket2::Socket;

use crate::batch::Batch;
use crate::guests::{Guests, Send};
use crate::{clock, frame, port};

/// When guests boot, and when it is enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many at any time, for a time or until so many have booted, whichever is first.
    InFlight {
        guests: usize,
        nanoseconds: u64,
        count: u64,
    },
    /// One every so many nanoseconds whatever becomes of the earlier ones, for a time.
    Every { gap: u64, nanoseconds: u64 },
    /// All at once; nobody asks twice.
    Burst { guests: u64 },
}

/// What came of a run. Times of one guest are in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    bound: u64,
    seconds: f64,
    per_second: f64,
    lost: u64,
    loss: f64,
    unserved: u64,
    wrong: u64,
    refused: u64,
    stray: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    /// From the first DISCOVER to the last ACK.
    until_last_ms: f64,
    driver_cpu_us: f64,
}

/// How many frames go through one system call.
const BATCH: usize = 64;

struct Drive<'a> {
    socket: &'a Socket,
    guests: Guests,
    pace: Pace,
    /// Frames that came.
    inbox: Batch,
    /// Frames to be sent, and how many.
    outbox: Batch,
    queued: usize,
    booted: u64,
    began: u64,
}

/// Runs the guests at this pace to its end.
pub(crate) fn run(socket: &Socket, guests: Guests, pace: Pace) -> io::Result<Outcome> {
    let outbox = match pace {
        // All at once: built before, and sent by one call.
        Pace::Burst { guests } => usize::try_from(guests).map_err(io::Error::other)?,
        _ => BATCH,
    };
    let mut drive = Drive {
        socket,
        guests,
        pace,
        inbox: Batch::new(BATCH, false),
        outbox: Batch::new(outbox.max(BATCH), false),
        queued: 0,
        booted: 0,
        began: clock::now(),
    };
    let cpu = clock::cpu();
    while drive.turn()? {}
    Ok(drive.outcome(clock::cpu() - cpu))
}

impl Drive<'_> {
    /// One round of receiving, booting and sending; false when all is done.
    fn turn(&mut self) -> io::Result<bool> {
        let now = clock::now();
        let (more, again) = self.boot(now);
        self.flush()?;
        self.receive()?;
        let now = clock::now();
        while let Some(send) = self.guests.overdue(now, again) {
            self.queue(send)?;
        }
        self.flush()?;
        Ok(more || self.guests.in_flight() > 0)
    }

    /// Starts the guests whose time has come; whether there will be more, and whether guests may ask again.
    fn boot(&mut self, now: u64) -> (bool, bool) {
        let passed = now - self.began;
        match self.pace {
            Pace::InFlight {
                guests,
                nanoseconds,
                count,
            } => {
                let more = passed < nanoseconds && self.booted < count;
                while more && self.guests.in_flight() < guests && self.booted < count && self.boot_one(now) {}
                (more, more || nanoseconds == u64::MAX)
            }
            Pace::Every { gap, nanoseconds } => {
                let more = passed < nanoseconds;
                while more && self.booted * gap <= passed && self.boot_one(now) {}
                (more, false)
            }
            Pace::Burst { guests } => {
                while self.booted < guests && self.boot_one(now) {}
                (false, false)
            }
        }
    }

    /// False when there is no room, or nobody free to boot.
    fn boot_one(&mut self, now: u64) -> bool {
        if self.queued == self.outbox.capacity() {
            return false;
        }
        let Some(send) = self.guests.boot(now) else {
            return false;
        };
        self.write(send);
        self.booted += 1;
        true
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut received = self.inbox.receive(self.socket.as_fd())?;
        if received == 0 {
            self.rest()?;
            received = self.inbox.receive(self.socket.as_fd())?;
        }
        let now = clock::now();
        for index in 0..received {
            let Some(message) = frame::parse_reply(self.inbox.message(index)) else {
                self.guests.tally.stray += 1;
                continue;
            };
            if let Some(send) = self.guests.receive(&message, now) {
                self.queue(send)?;
            }
        }
        Ok(())
    }

    /// Nothing has come: waits for the next frame or deadline. At a fixed rate it looks again at once, so that its own
    /// waking up is not part of the latency.
    fn rest(&self) -> io::Result<()> {
        if matches!(self.pace, Pace::Every { .. }) {
            return Ok(());
        }
        let now = clock::now();
        let due = self.guests.next_deadline().unwrap_or(now + 1_000_000);
        port::wait_one(self.socket, Duration::from_nanos(due.saturating_sub(now)))
    }

    fn queue(&mut self, send: Send) -> io::Result<()> {
        if self.queued == self.outbox.capacity() {
            self.flush()?;
        }
        self.write(send);
        Ok(())
    }

    fn write(&mut self, send: Send) {
        let room = self.outbox.room(self.queued);
        let length = match send {
            Send::Discover { mac, xid } => frame::discover(room, mac, xid),
            Send::Request {
                mac,
                xid,
                address,
                server,
            } => frame::request(room, mac, xid, (address, server)),
        };
        self.outbox.set_length(self.queued, length);
        self.queued += 1;
    }

    fn flush(&mut self) -> io::Result<()> {
        let queued = std::mem::take(&mut self.queued);
        if queued > 0 {
            self.outbox.send(self.socket.as_fd(), queued)
        } else {
            Ok(())
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn outcome(mut self, cpu: u64) -> Outcome {
        let tally = &mut self.guests.tally;
        tally.latencies.sort_unstable();
        let at = |share: f64| quantile(&tally.latencies, share) / 1e3;
        let until_last = tally.last.saturating_sub(self.began) as f64;
        let tried = (tally.bound + tally.lost).max(1) as f64;
        Outcome {
            bound: tally.bound,
            seconds: until_last / 1e9,
            per_second: if until_last > 0.0 {
                tally.bound as f64 * 1e9 / until_last
            } else {
                0.0
            },
            lost: tally.lost,
            loss: tally.lost as f64 / tried,
            unserved: tally.unserved,
            wrong: tally.wrong,
            refused: tally.refused,
            stray: tally.stray,
            p50_us: at(0.50),
            p99_us: at(0.99),
            max_us: at(1.0),
            until_last_ms: until_last / 1e6,
            driver_cpu_us: cpu as f64 / 1e3 / tally.bound.max(1) as f64,
        }
    }
}

/// The smallest of the sorted values that this share of them does not exceed; 0 when there is none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, and a share from 0 to 1"
)]
pub(crate) fn quantile(sorted: &[u64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil().max(1.0) as usize;
    sorted.get(rank - 1).map_or(0.0, |value| *value as f64)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    #[expect(clippy::float_cmp, reason = "small whole numbers are exact")]
    fn a_quantile_is_one_of_the_values() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (
                quantile(&sorted, 0.5),
                quantile(&sorted, 0.99),
                quantile(&sorted, 1.0)
            ),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
