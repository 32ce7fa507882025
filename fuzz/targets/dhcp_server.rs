//! A server over time, with several clients: whoever asks gets what is its own, or what is nobody's.
#![no_main]

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use seedbed::dhcp::{Arrival, Destination, Offers, Response, Scope, respond};
use seedbed::model::{LeaseState, MacAddress, Network, Timestamp};
use seedbed_fuzz::dhcp::{Packet, Reply, Server, networks};

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// The policies a network can have; most of what happens, happens with a pool.
const POLICIES: [(&str, &str); 6] = [
    ("authoritative", "pool"),
    ("polite", "pool"),
    ("authoritative", "discover"),
    ("polite", "ignore"),
    ("proxy", "ignore"),
    ("proxy", "discover"),
];

static NETWORKS: LazyLock<Vec<Vec<Network>>> = LazyLock::new(|| POLICIES.map(networks).into());

/// What the clients were told, kept apart from what the server keeps.
#[derive(Default)]
struct Told {
    /// Who was acknowledged which address, until when.
    given: HashMap<Ipv4Addr, (MacAddress, Timestamp)>,
}

fuzz_target!(|bytes: &[u8]| {
    // Bytes that run out end the run.
    let _ended = run(&mut Unstructured::new(bytes));
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let mut server = Server::of(u.choose(&NETWORKS)?);
    let (mut offers, mut told, mut now, mut out) = (
        Offers::default(),
        Told::default(),
        Timestamp(1_000_000),
        Vec::new(),
    );
    for _ in 0..64 {
        if u.is_empty() {
            break;
        }
        now.0 += *u.choose(&[0, 0, 1, 5, 61, 4_000, 50_000])?;
        if u.ratio(1, 32)? {
            // A daemon that was started again has the registry, and nothing else.
            offers = Offers::default();
        }
        let packet = Packet::arbitrary(u)?;
        let payload = packet.bytes();
        let arrival = Arrival {
            payload: &payload,
            source: packet.source,
            port: packet.port,
        };
        let scope = Scope {
            local: Some(&server.local),
            relayed: &server.relayed,
            directory: &server.directory,
        };
        let Ok(response) = respond(&scope, &mut offers, &arrival, now, &mut out) else {
            continue;
        };
        if let Some(lease) = &response.lend {
            lends_what_is_free(&server, &response, now);
            server.directory.leases_mut().put(Arc::new(lease.clone()));
        }
        if let Some(to) = response.to {
            told.hears(&server, &packet, (&Reply::of(&out, to), to), now);
        }
    }
    Ok(())
}

/// A lease is the asking client's, of the pool, and takes nothing from another.
fn lends_what_is_free(server: &Server, response: &Response, now: Timestamp) {
    let lease = response.lend.as_ref().unwrap();
    assert!(lease.mac == response.client && response.vm.is_none(), "{lease:?}");
    assert!(server.local.dhcp.dynamic.contains(lease.address), "{lease:?}");
    assert!(
        server.directory.vm_at(lease.address).is_none(),
        "{lease:?} is a VM's"
    );
    if let Some(old) = server.directory.leases().at(lease.address) {
        let another = old.state == LeaseState::Bound && old.mac != lease.mac && old.expires > now;
        assert!(!another, "{old:?} is lent again: {lease:?}");
    }
}

impl Told {
    fn hears(
        &mut self,
        server: &Server,
        packet: &Packet,
        (reply, to): (&Reply, Destination),
        now: Timestamp,
    ) {
        // Only the client that asked.
        assert_eq!((reply.mac, reply.xid), (packet.mac, packet.xid), "{packet:?}");
        match to {
            Destination::Hardware { mac, .. } => assert_eq!(mac, packet.mac),
            Destination::Relay { agent } => assert_eq!(agent, packet.giaddr),
            Destination::Client { address, .. } => assert_eq!(address, *packet.source.ip()),
            Destination::Broadcast => {}
        }
        assert!([OFFER, ACK, NAK].contains(&reply.kind), "{reply:?}");
        if reply.yiaddr.is_unspecified() {
            return;
        }
        if let Some(vm) = server.directory.vm_by_mac(packet.mac) {
            assert_eq!(
                reply.yiaddr, vm.address,
                "{packet:?}: a VM is given another address"
            );
            return;
        }
        assert!(
            server.local.dhcp.dynamic.contains(reply.yiaddr),
            "{packet:?}: {reply:?}"
        );
        if reply.kind == ACK {
            let lease = server
                .directory
                .leases()
                .at(reply.yiaddr)
                .expect("what is acknowledged is in the registry");
            assert!(
                lease.mac == packet.mac && lease.state == LeaseState::Bound,
                "{lease:?}"
            );
            if let Some((other, until)) = self.given.insert(reply.yiaddr, (packet.mac, lease.expires))
                && other != packet.mac
                && until > now
            {
                // Only a client that gave it back, or said that it is taken, has it no longer; the registry says so.
                let still = server.directory.leases().of(&server.local.name, other);
                assert!(
                    still.is_none_or(|still| still.address != reply.yiaddr),
                    "{other} and {}",
                    packet.mac
                );
            }
        }
    }
}
