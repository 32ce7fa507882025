//! A network, its VMs, and packets built octet by octet, for this module's tests.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::wire::tests::{Decoded, decode};
use super::{Arrival, Destination, Malformed, Offers, Response, Scope, respond};
use crate::model::dhcp::{DhcpPolicy, Relay, Unregistered};
use crate::model::{
    Custom, DhcpSettings, Directory, MacAddress, NetBoot, Network, Route, Timestamp, Vm, examples,
};

/// The gateway is 10.77.0.1, and every option is set.
pub(super) fn network() -> Network {
    let plain = examples::network("lab", "10.77.0.1/24");
    Network {
        bridge: "br-lab".parse().unwrap(),
        domain: "lab.example".parse().unwrap(),
        dhcp: DhcpPolicy {
            settings: DhcpSettings {
                ntp: vec![[10, 77, 0, 1].into(), [10, 77, 0, 2].into()],
                mtu: Some(1450),
                routes: vec![Route {
                    destination: [192, 168, 4, 0].into(),
                    prefix: 22,
                    router: [10, 77, 0, 9].into(),
                }],
                ..DhcpSettings::default()
            },
            ..plain.dhcp
        },
        ..plain
    }
}

fn vm(name: &str, network: &str, mac: [u8; 6], address: &str) -> Vm {
    Vm {
        network: network.parse().unwrap(),
        mac: MacAddress::new(mac),
        ..examples::vm(name, address)
    }
}

/// The VM whose packets [`Packet::new`] makes.
pub(super) fn web1() -> Vm {
    vm("web1", "lab", [0x52, 0x54, 0, 0, 0, 1], "10.77.0.5")
}

/// Another VM of the same network.
pub(super) fn web2() -> Vm {
    vm("web2", "lab", [0x52, 0x54, 0, 0, 0, 2], "10.77.0.6")
}

/// A VM of another network.
pub(super) fn stranger() -> Vm {
    vm("stranger", "dmz", [0x52, 0x54, 0, 0, 0, 3], "10.88.0.5")
}

/// The network `lab`, with clients of the pool in the 20 addresses from 10.77.0.230 to 249.
pub(super) fn lending() -> Network {
    let mut network = network();
    network.dhcp.unregistered = Unregistered::Pool;
    network.dhcp.dynamic = crate::model::Pool::parse("10.77.0.230-10.77.0.249", network.subnet).unwrap();
    network
}

/// A relayed network: 10.88.0.0/24, whose agent 10.88.0.1 reaches us at 10.77.0.1.
pub(super) fn relayed() -> Network {
    let mut network = examples::network("dmz", "10.88.0.1/24");
    network.dhcp.relay = Some(Relay {
        server: [10, 77, 0, 1].into(),
        agents: vec![AGENT],
    });
    network
}

pub(super) const AGENT: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

/// `web1`, and it boots from the network.
pub(super) fn booting(target: &str) -> Vm {
    Vm {
        custom: Custom {
            boot: Some(target.parse::<NetBoot>().unwrap()),
            ..Custom::default()
        }
        .boxed(),
        ..web1()
    }
}

/// A server of the bridge of `lab`, whose leases are in the registry at once.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) local: Network,
    pub(super) relayed: Vec<Arc<Network>>,
    pub(super) directory: Directory,
    pub(super) offers: Offers,
    pub(super) now: Timestamp,
    pub(super) source: SocketAddrV4,
    pub(super) port: u16,
    pub(super) out: Vec<u8>,
}

/// What a server did with one packet.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) reply: Option<Decoded>,
}

impl Server {
    pub(super) fn of(local: Network) -> Self {
        let mut directory = Directory::of([local.clone()]);
        for vm in [web1(), web2(), stranger()] {
            directory.put_vm(Arc::new(vm));
        }
        Self {
            local,
            relayed: Vec::new(),
            directory,
            offers: Offers::default(),
            now: Timestamp(1_000_000),
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
            port: 67,
            out: Vec::new(),
        }
    }

    pub(super) fn with(mut self, vm: Vm) -> Self {
        self.directory.put_vm(Arc::new(vm));
        self
    }

    pub(super) fn relaying(mut self) -> Self {
        self.relayed = vec![Arc::new(relayed())];
        self.source = SocketAddrV4::new(AGENT, 67);
        self
    }

    /// As [`Self::receive`], without a look at the reply.
    pub(super) fn answer(&mut self, payload: &[u8]) -> Result<Response, Malformed> {
        let scope = Scope {
            local: Some(&self.local),
            relayed: &self.relayed,
            directory: &self.directory,
        };
        let arrival = Arrival {
            payload,
            source: self.source,
            port: self.port,
        };
        respond(&scope, &mut self.offers, &arrival, self.now, &mut self.out)
    }

    /// How long an answer takes.
    #[expect(clippy::disallowed_methods, reason = "a test's own stopwatch")]
    pub(super) fn time_of(&mut self, payload: &[u8]) -> Duration {
        let started = Instant::now();
        let answered = self.answer(payload);
        let took = started.elapsed();
        assert!(answered.is_ok_and(|response| response.to.is_some()));
        took
    }

    pub(super) fn receive(&mut self, payload: &[u8]) -> Result<Answer, Malformed> {
        let response = self.answer(payload)?;
        if let Some(lease) = &response.lend {
            self.directory.leases_mut().put(Arc::new(lease.clone()));
        }
        let message = match response.to {
            Some(Destination::Hardware { .. } | Destination::Broadcast) => &self.out[28..],
            Some(Destination::Relay { .. } | Destination::Client { .. }) => &self.out[..],
            None => &[],
        };
        let reply = response.to.map(|_| decode(message));
        Ok(Answer { response, reply })
    }

    pub(super) fn ask(&mut self, packet: Packet) -> Answer {
        self.receive(&packet.bytes()).unwrap()
    }
}

impl Answer {
    /// The reply, which must be there.
    pub(super) fn reply(&self) -> &Decoded {
        self.reply
            .as_ref()
            .unwrap_or_else(|| panic!("no reply: {self:?}"))
    }
}

/// A client's packet.
#[derive(Debug, Clone)]
pub(super) struct Packet(Vec<u8>);

impl Packet {
    /// A packet of `web1` with this message type, and no other options.
    pub(super) fn new(message_type: u8) -> Self {
        Self::bootp().option(53, &[message_type])
    }

    /// One without a message type.
    pub(super) fn bootp() -> Self {
        let mut bytes = vec![0; 240];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[28..34].copy_from_slice(&web1().mac.bytes());
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        Self(bytes)
    }

    pub(super) fn xid(self, xid: u32) -> Self {
        self.at(4, &xid.to_be_bytes())
    }

    pub(super) fn flags(self, flags: u16) -> Self {
        self.at(10, &flags.to_be_bytes())
    }

    pub(super) fn ciaddr(self, address: Ipv4Addr) -> Self {
        self.at(12, &address.octets())
    }

    pub(super) fn giaddr(self, address: Ipv4Addr) -> Self {
        self.at(24, &address.octets())
    }

    pub(super) fn mac(self, mac: [u8; 6]) -> Self {
        self.at(28, &mac)
    }

    /// Overwrites a part of the header.
    pub(super) fn at(mut self, offset: usize, octets: &[u8]) -> Self {
        self.0[offset..offset + octets.len()].copy_from_slice(octets);
        self
    }

    /// Adds an option, in parts of 255 octets.
    pub(super) fn option(mut self, code: u8, data: &[u8]) -> Self {
        if data.is_empty() {
            self.0.extend([code, 0]);
        }
        for part in data.chunks(255) {
            self.0.extend([code, u8::try_from(part.len()).unwrap()]);
            self.0.extend(part);
        }
        self
    }

    pub(super) fn bytes(mut self) -> Vec<u8> {
        self.0.push(255);
        self.0
    }
}
