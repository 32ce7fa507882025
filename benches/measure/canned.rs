//! The floor: servers that know every answer beforehand and look it up by hash. What they cost, the kernel costs.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use crate::batch::Batch;
use crate::frame::{self, ACK, DISCOVER, OFFER, REQUEST};
use crate::hosts::{Host, MacTable};
use crate::port;

const BATCH: usize = 64;
/// How long it sleeps when nothing comes; it is ended by a signal.
const REST: Duration = Duration::from_secs(60);

/// Answers DHCP on a bridge until it is ended.
pub(crate) fn dhcp(bridge: &str, server: Ipv4Addr, hosts: &[Host]) -> io::Result<()> {
    let receiver = port::listener(bridge, 67)?;
    let transmitter = port::transmitter(bridge)?;
    let own = (port::hardware_address(bridge)?, server);
    let table = MacTable::new(hosts);
    let replies: Vec<Vec<u8>> = hosts
        .iter()
        .map(|host| frame::reply(host.mac, host.ip, own))
        .collect();
    let (mut inbox, mut outbox) = (Batch::new(BATCH, false), Batch::new(BATCH, false));
    loop {
        let received = inbox.receive(receiver.as_fd())?;
        if received == 0 {
            port::wait_one(&receiver, REST)?;
        }
        let mut queued = 0;
        for index in 0..received {
            let Some(message) = frame::parse(inbox.message(index), 1) else {
                continue;
            };
            let kind = match message.kind {
                DISCOVER => OFFER,
                REQUEST => ACK,
                _ => continue,
            };
            let Some(host) = table.get(message.chaddr) else {
                continue;
            };
            let reply = &replies[host];
            let room = &mut outbox.room(queued)[..reply.len()];
            room.copy_from_slice(reply);
            frame::patch(room, message.xid, kind);
            outbox.set_length(queued, reply.len());
            queued += 1;
        }
        outbox.send(transmitter.as_fd(), queued)?;
    }
}

/// The questions of a zone, in wire form and lower case, each with the answer section for it.
type Answers = HashMap<Vec<u8>, Vec<u8>, BuildHasherDefault<Fnv>>;

/// Answers DNS on a bridge until it is ended: A and PTR of the hosts in a domain, NXDOMAIN for all else.
pub(crate) fn dns(bridge: &str, domain: &str, hosts: &[Host]) -> io::Result<()> {
    let socket = port::listener(bridge, 53)?;
    let answers = answers(domain, hosts);
    let (mut inbox, mut outbox) = (Batch::new(BATCH, true), Batch::new(BATCH, true));
    loop {
        let received = inbox.receive(socket.as_fd())?;
        if received == 0 {
            port::wait_one(&socket, REST)?;
        }
        let mut queued = 0;
        for index in 0..received {
            let Some(length) = answer(&answers, inbox.message(index), outbox.room(queued)) else {
                continue;
            };
            outbox.set_length(queued, length);
            outbox.set_peer(queued, inbox.peer(index));
            queued += 1;
        }
        outbox.send(socket.as_fd(), queued)?;
    }
}

/// RFC 1035 section 4.1: header, question, and the answer that was kept for it.
fn answer(answers: &Answers, query: &[u8], reply: &mut [u8]) -> Option<usize> {
    let (header, rest) = query.split_first_chunk::<12>()?;
    let end = rest.iter().position(|byte| *byte == 0)? + 5;
    let question = rest.get(..end)?;
    let found = answers.get(question);
    let answer = found.map_or(&[][..], Vec::as_slice);
    let length = 12 + question.len() + answer.len();
    let reply = reply.get_mut(..length)?;
    reply[..2].copy_from_slice(&header[..2]);
    // QR, AA and the query's RD; NXDOMAIN when it is not known.
    reply[2..4].copy_from_slice(&[0x84 | (header[2] & 1), if found.is_some() { 0 } else { 3 }]);
    reply[4..12].copy_from_slice(&[0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    reply[12..12 + question.len()].copy_from_slice(question);
    reply[12 + question.len()..].copy_from_slice(answer);
    Some(length)
}

fn answers(domain: &str, hosts: &[Host]) -> Answers {
    let mut answers = Answers::with_capacity_and_hasher(hosts.len() * 2, BuildHasherDefault::default());
    for host in hosts {
        let name = format!("{}.{domain}", host.name);
        answers.insert(question(&name, A), record(A, &host.ip.octets()));
        answers.insert(question(&reverse(host.ip), PTR), record(PTR, &labels(&name)));
    }
    answers
}

/// RFC 1035 section 3.2.2.
pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;

/// The name whose PTR record tells whose address it is (RFC 1035 section 3.5).
pub(crate) fn reverse(ip: Ipv4Addr) -> String {
    let [a, b, c, d] = ip.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// A question of class IN, in wire form.
pub(crate) fn question(name: &str, kind: u16) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    [labels(name).as_slice(), &[high, low, 0, 1]].concat()
}

/// A record that owns the question's name (a pointer to it), with a TTL of five seconds.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    let length = u8::try_from(data.len()).unwrap_or(0);
    [&[0xc0, 12, high, low, 0, 1, 0, 0, 0, 5, 0, length], data].concat()
}

/// A name in wire form.
pub(crate) fn labels(name: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        wire.push(u8::try_from(label.len()).unwrap_or(0));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// The FNV-1a hash: cheap for keys as short as a name.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_is_answered_and_an_unknown_one_denied() {
        let host = Host {
            name: "h1".into(),
            mac: [2, 0, 0, 0, 0, 1],
            ip: Ipv4Addr::new(10, 64, 1, 1),
        };
        let answers = answers("lab", &[host]);
        let mut reply = [0; 512];
        let query =
            |name: &str, kind| [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question(name, kind)].concat();
        let length = answer(&answers, &query("h1.lab", A), &mut reply).unwrap();
        assert_eq!(&reply[..8], [7, 7, 0x85, 0, 0, 1, 0, 1]);
        assert_eq!(&reply[length - 4..length], [10, 64, 1, 1]);
        let length = answer(&answers, &query("1.1.64.10.in-addr.arpa", PTR), &mut reply).unwrap();
        assert_eq!(&reply[length - 8..length], b"\x02h1\x03lab\0");
        answer(&answers, &query("h2.lab", A), &mut reply).unwrap();
        assert_eq!((reply[3], reply[7]), (3, 0));
    }
}
