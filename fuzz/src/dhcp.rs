//! DHCP messages, written and read as RFC 2131 §2 lays them out.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use seedbed::dhcp::Destination;
use seedbed::model::{Directory, MacAddress, Network};

/// The magic cookie (RFC 2131 §3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// What leaves in a frame of ours has an IPv4 and a UDP header before the message.
const HEADERS: usize = 28;

/// A server's networks and records.
pub struct Server {
    /// The bridge's own network.
    pub local: Network,
    /// The networks behind relay agents.
    pub relayed: Vec<Arc<Network>>,
    /// The records.
    pub directory: Directory,
}

impl Server {
    /// A server of networks of which the first is local.
    pub fn of(networks: &[Network]) -> Self {
        let (local, relayed) = networks.split_first().unwrap();
        Self {
            local: local.clone(),
            relayed: relayed.iter().cloned().map(Arc::new).collect(),
            directory: crate::directory(networks),
        }
    }
}

/// Networks of which the first has this policy, and four addresses to lend.
pub fn networks((mode, unregistered): (&str, &str)) -> Vec<Network> {
    crate::networks(&format!(
        "  dhcp:\n    mode: {mode}\n    unregistered: {unregistered}\n    dynamic: 10.77.0.240-10.77.0.243\n"
    ))
}

/// A client's message.
#[derive(Debug, Clone)]
pub struct Packet {
    /// The message type (option 53).
    pub kind: u8,
    /// The hardware address.
    pub mac: MacAddress,
    /// The transaction.
    pub xid: [u8; 4],
    /// The flags.
    pub flags: u16,
    /// The address it has.
    pub ciaddr: Ipv4Addr,
    /// The relay agent.
    pub giaddr: Ipv4Addr,
    /// The options, in their order.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Where it comes from.
    pub source: SocketAddrV4,
    /// Which port it is sent to.
    pub port: u16,
}

impl Packet {
    /// A message of one of a few clients, near to what real ones send.
    pub fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let addresses = [
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::new(10, 77, 0, 1),
            Ipv4Addr::new(10, 77, 0, 11),
            Ipv4Addr::new(10, 77, 0, 12),
            Ipv4Addr::new(10, 77, 0, 240),
            Ipv4Addr::new(10, 77, 0, 241),
            Ipv4Addr::new(10, 77, 0, 242),
            Ipv4Addr::new(10, 77, 0, 243),
            Ipv4Addr::new(10, 78, 0, 11),
            Ipv4Addr::new(192, 0, 2, 1),
        ];
        let macs = [
            "web1", "web2", "far1", "guest1", "guest2", "guest3", "guest4", "guest5", "guest6",
        ];
        let relayed = u.ratio(1, 6)?;
        let ciaddr = if u.ratio(1, 3)? {
            *u.choose(&addresses)?
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        let agent = Ipv4Addr::new(10, 78, 0, 1);
        let source = if relayed { agent } else { ciaddr };
        let mut packet = Self {
            kind: u.int_in_range(1..=8)?,
            mac: crate::mac_of(u.choose(&macs)?),
            xid: u.arbitrary()?,
            flags: if u.arbitrary()? { 0x8000 } else { 0 },
            ciaddr,
            giaddr: if relayed { agent } else { Ipv4Addr::UNSPECIFIED },
            options: Vec::new(),
            source: SocketAddrV4::new(source, if relayed { 67 } else { 68 }),
            port: if u.ratio(1, 16)? { 4011 } else { 67 },
        };
        if u.arbitrary()? {
            packet.options.push((50, u.choose(&addresses)?.octets().to_vec()));
        }
        if u.arbitrary()? {
            packet.options.push((54, u.choose(&addresses)?.octets().to_vec()));
        }
        for _ in 0..u.int_in_range(0..=3)? {
            let codes = [12, 55, 57, 60, 61, 77, 81, 82, 93, 97, 175];
            let len = u.int_in_range(0..=40)?;
            packet.options.push((*u.choose(&codes)?, u.bytes(len)?.to_vec()));
        }
        Ok(packet)
    }

    /// Its octets.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1, 1, 6, 0];
        bytes.extend(self.xid);
        bytes.extend([0, 0]);
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.ciaddr.octets());
        bytes.extend([0; 8]);
        bytes.extend(self.giaddr.octets());
        bytes.extend(self.mac.bytes());
        bytes.resize(236, 0);
        bytes.extend(COOKIE);
        bytes.extend([53, 1, self.kind]);
        for (code, data) in &self.options {
            bytes.extend([*code, data.len() as u8]);
            bytes.extend(data);
        }
        bytes.push(255);
        bytes
    }
}

/// A server's message.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// The message type.
    pub kind: u8,
    /// The transaction it answers.
    pub xid: [u8; 4],
    /// Whom it is for.
    pub mac: MacAddress,
    /// The address it gives.
    pub yiaddr: Ipv4Addr,
    /// How many octets the message has.
    pub len: usize,
}

impl Reply {
    /// Reads what leaves; a reply that can not be read is a bug.
    pub fn of(out: &[u8], to: Destination) -> Self {
        let message = if to.link().is_some() { &out[HEADERS..] } else { out };
        assert!(message.len() >= 240, "a reply of {} octets", message.len());
        assert_eq!((message[0], message[1], message[2]), (2, 1, 6), "op, htype, hlen");
        assert_eq!(message[236..240], COOKIE);
        let mut kind = None;
        let mut rest = &message[240..];
        loop {
            match rest {
                [0, tail @ ..] => rest = tail,
                [255, ..] => break,
                [code, len, tail @ ..] => {
                    let (data, tail) = tail.split_at(usize::from(*len));
                    if *code == 53 {
                        assert_eq!((data.len(), kind), (1, None), "one message type");
                        kind = Some(data[0]);
                    }
                    rest = tail;
                }
                _ => panic!("the options have no end"),
            }
        }
        Self {
            kind: kind.expect("a reply has a message type"),
            xid: message[4..8].try_into().unwrap(),
            mac: MacAddress::new(message[28..34].try_into().unwrap()),
            yiaddr: Ipv4Addr::from(<[u8; 4]>::try_from(&message[16..20]).unwrap()),
            len: message.len(),
        }
    }
}
