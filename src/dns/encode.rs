//! Writes records into room of a fixed size: no allocation, and names shortened only where that is known to work.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::data::{Data, Soa};
use crate::model::Sshfp;

/// Where a message's question has its name: behind the header.
pub(super) const QUESTION_NAME: u16 = 12;
/// The class IN.
const INTERNET: u16 = 1;

/// A message being written.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    room: &'a mut [u8],
    end: usize,
    full: bool,
}

/// A name in a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    /// Written out: absolute, without the final dot.
    Whole(&'a str),
    /// One that is in the message already, by its place there (RFC 1035 §4.1.4).
    At(u16),
    /// Labels, and then a name that is in the message already.
    Below(&'a str, u16),
}

impl<'a> Writer<'a> {
    pub(super) const fn new(room: &'a mut [u8]) -> Self {
        Self {
            room,
            end: 0,
            full: false,
        }
    }

    /// Where the next octet goes.
    pub(super) const fn end(&self) -> usize {
        self.end
    }

    /// Takes back what was written from `end` on.
    pub(super) const fn rewind(&mut self, end: usize) {
        self.end = end;
        self.full = false;
    }

    /// The message's length; `None` when something did not fit.
    pub(super) const fn finish(self) -> Option<usize> {
        if self.full { None } else { Some(self.end) }
    }

    /// Whether everything fitted so far.
    pub(super) const fn fits(&self) -> bool {
        !self.full
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let room = self
            .room
            .get_mut(self.end..)
            .and_then(|room| room.get_mut(..bytes.len()));
        match room {
            Some(room) if !self.full => {
                room.copy_from_slice(bytes);
                self.end += bytes.len();
            }
            _ => self.full = true,
        }
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u16s(&mut self, values: &[u16]) {
        for value in values {
            self.u16(*value);
        }
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes over the number at `place`.
    pub(super) fn set_u16(&mut self, place: usize, value: u16) {
        match self.room.get_mut(place..).and_then(|room| room.first_chunk_mut()) {
            Some(room) => *room = value.to_be_bytes(),
            None => self.full = true,
        }
    }

    pub(super) fn name(&mut self, name: Name<'_>) {
        match name {
            Name::Whole(text) => {
                self.labels(text);
                self.bytes(&[0]);
            }
            Name::At(place) => self.u16(0xc000 | place),
            Name::Below(labels, place) => {
                self.labels(labels);
                self.u16(0xc000 | place);
            }
        }
    }

    /// Labels with dots between them, and nothing behind.
    pub(super) fn labels(&mut self, text: &str) {
        for label in text.split('.') {
            match u8::try_from(label.len()) {
                Ok(length @ 1..=63) => {
                    self.bytes(&[length]);
                    self.bytes(label.as_bytes());
                }
                _ => self.full = true,
            }
        }
    }

    /// The fixed part of a record (RFC 1035 §3.2.1), then what `data` writes, with its length before it.
    pub(super) fn record(&mut self, owner: Name<'_>, kind: u16, ttl: u32, data: impl FnOnce(&mut Self)) {
        self.name(owner);
        self.u16(kind);
        self.u16(INTERNET);
        self.u32(ttl);
        let length_at = self.end;
        self.u16(0);
        let start = self.end;
        data(self);
        match u16::try_from(self.end - start) {
            Ok(length) => self.set_u16(length_at, length),
            Err(_) => self.full = true,
        }
    }

    pub(super) fn a(&mut self, owner: Name<'_>, ttl: u32, address: Ipv4Addr) {
        self.record(owner, 1, ttl, |to| to.bytes(&address.octets()));
    }

    fn aaaa(&mut self, owner: Name<'_>, ttl: u32, address: Ipv6Addr) {
        self.record(owner, 28, ttl, |to| to.bytes(&address.octets()));
    }

    /// The start of a zone; `names` writes its server and its mailbox, for which there may be a shorter way.
    pub(super) fn soa(
        &mut self,
        owner: Name<'_>,
        (serial, minimum): (u32, u32),
        names: impl FnOnce(&mut Self),
    ) {
        self.record(owner, 6, minimum, |to| {
            names(to);
            for number in [serial, Soa::REFRESH, Soa::RETRY, Soa::EXPIRE, minimum] {
                to.u32(number);
            }
        });
    }

    /// A record of any kind, with the names in it written out.
    pub(super) fn data(&mut self, owner: Name<'_>, ttl: u32, data: &Data) {
        let whole = Name::Whole;
        match data {
            Data::A(address) => self.a(owner, ttl, *address),
            Data::Aaaa(address) => self.aaaa(owner, ttl, *address),
            Data::Ptr(target) => self.record(owner, 12, ttl, |to| to.name(whole(target))),
            Data::Ns(target) => self.record(owner, 2, ttl, |to| to.name(whole(target))),
            Data::Cname(target) => self.record(owner, 5, ttl, |to| to.name(whole(target))),
            Data::Soa(soa) => {
                self.soa(owner, (soa.serial, soa.minimum), |to| {
                    to.name(whole(&soa.server));
                    to.name(whole(&soa.mailbox));
                });
            }
            Data::Mx { preference, exchange } => self.record(owner, 15, ttl, |to| {
                to.u16(*preference);
                to.name(whole(exchange));
            }),
            Data::Srv {
                priority,
                weight,
                port,
                target,
            } => self.record(owner, 33, ttl, |to| {
                to.u16s(&[*priority, *weight, *port]);
                to.name(whole(target));
            }),
            Data::Txt(strings) => self.record(owner, 16, ttl, |to| {
                for text in strings {
                    to.string(text);
                }
            }),
            Data::Sshfp(print) => self.record(owner, 44, ttl, |to| {
                to.bytes(&[print.algorithm, Sshfp::TYPE]);
                to.bytes(&print.sha256);
            }),
            Data::Minimal => self.record(owner, 13, ttl, |to| {
                to.string(b"RFC8482");
                to.string(b"");
            }),
        }
    }

    /// A character string (RFC 1035 §3.3).
    fn string(&mut self, text: &[u8]) {
        match u8::try_from(text.len()) {
            Ok(length) => {
                self.bytes(&[length]);
                self.bytes(text);
            }
            Err(_) => self.full = true,
        }
    }
}

#[cfg(test)]
mod tests;
