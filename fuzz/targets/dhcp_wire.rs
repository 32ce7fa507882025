//! Any bytes, as a packet to a server of every policy: parsed or refused, and a reply is well-formed.
#![no_main]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seedbed::dhcp::{Arrival, Offers, Scope, respond};
use seedbed::model::Timestamp;
use seedbed_fuzz::dhcp::{Reply, Server, networks};

static SERVERS: LazyLock<Vec<Server>> = LazyLock::new(|| {
    [
        ("authoritative", "pool"),
        ("polite", "discover"),
        ("proxy", "ignore"),
    ]
    .map(|policy| Server::of(&networks(policy)))
    .into()
});

fuzz_target!(|payload: &[u8]| {
    for server in SERVERS.iter() {
        let scope = Scope {
            local: Some(&server.local),
            relayed: &server.relayed,
            directory: &server.directory,
        };
        for (source, port) in [
            (SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68), 67),
            (SocketAddrV4::new(Ipv4Addr::new(10, 78, 0, 1), 67), 67),
            (SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 11), 68), 4011),
        ] {
            let arrival = Arrival {
                payload,
                source,
                port,
            };
            let (mut offers, mut out) = (Offers::default(), Vec::new());
            if let Ok(response) = respond(&scope, &mut offers, &arrival, Timestamp(1_000), &mut out)
                && let Some(to) = response.to
            {
                let reply = Reply::of(&out, to);
                assert_eq!(reply.mac, response.client);
                assert_eq!(reply.xid, payload[4..8]);
                assert!(reply.len <= 1_500 - 28, "{} octets", reply.len);
            }
        }
    }
});
