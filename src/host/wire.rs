//! A bridge with guests for tests: taps whose other end is in the test's hands, so that it is the guest.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, AsRawFd as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::frame::{BROADCAST, Mac, ethernet, udp};
use super::namespace::{ip, lab};
use super::ruleset::{self, Guarded, Segment};
use super::tap::Tap;
use super::{Host, nft, sysctl};
use crate::model::{MacAddress, TapName};

pub(super) const IPV4: u16 = 0x0800;
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(super) const ALL: Ipv4Addr = Ipv4Addr::BROADCAST;
pub(super) const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
/// The hardware address of the host's uplink.
pub(super) const WORLD_ROUTER: Mac = [0x52, 0x54, 0, 0, 1, 2];

/// A tap on the bridge, with the guest's end in our hands.
pub(super) struct Port {
    pub(super) file: std::fs::File,
    pub(super) mac: Mac,
    pub(super) address: Ipv4Addr,
}

impl Port {
    /// The port of station `last`; plugged into the bridge.
    pub(super) async fn plug(host: &Host, tap: &str, last: u8) -> Self {
        let tap: TapName = tap.parse().unwrap();
        let fd = Tap::create(&tap).unwrap().into_fd();
        rustix::io::ioctl_fionbio(&fd, true).unwrap();
        host.attach(&tap, &lab().bridge).await.unwrap();
        Self {
            file: fd.into(),
            mac: [0x52, 0x54, 0, 0, 0, last],
            address: Ipv4Addr::new(10, 77, 0, last),
        }
    }

    /// The port of a router beyond the host's uplink, `world`, that all other addresses lie behind.
    pub(super) fn world() -> Self {
        sysctl::enable_forwarding().unwrap();
        let fd = Tap::create(&"world".parse().unwrap()).unwrap().into_fd();
        rustix::io::ioctl_fionbio(&fd, true).unwrap();
        sysctl::disable_ipv6("world").unwrap();
        ip(&["link", "set", "world", "up", "address", "52:54:00:00:01:02"]);
        ip(&["addr", "add", "192.0.2.1/24", "dev", "world"]);
        ip(&[
            "neigh",
            "add",
            "192.0.2.9",
            "lladdr",
            "52:54:00:00:01:01",
            "dev",
            "world",
        ]);
        ip(&["route", "add", "default", "via", "192.0.2.9"]);
        Self {
            file: fd.into(),
            mac: [0x52, 0x54, 0, 0, 1, 1],
            address: Ipv4Addr::new(192, 0, 2, 9),
        }
    }

    pub(super) fn station(&self) -> (Mac, Ipv4Addr) {
        (self.mac, self.address)
    }

    pub(super) fn guarded(&self, tap: &str) -> Guarded {
        Guarded {
            tap: tap.parse().unwrap(),
            mac: MacAddress::new(self.mac),
            address: self.address,
        }
    }

    pub(super) fn send(&mut self, frame: &[u8]) {
        let with_header = [&[0; 10][..], frame].concat();
        assert_eq!(self.file.write(&with_header).unwrap(), with_header.len());
    }

    /// The next frame, within a time that only a failing test uses up.
    pub(super) fn receive(&mut self) -> Vec<u8> {
        let deadline = Timespec {
            tv_sec: 5,
            tv_nsec: 0,
        };
        let mut events = [PollFd::new(&self.file, PollFlags::IN)];
        let ready = poll(&mut events, Some(&deadline)).unwrap();
        assert_eq!(
            ready,
            1,
            "nothing arrived on descriptor {}",
            self.file.as_fd().as_raw_fd()
        );
        let mut buffer = [0; 2048];
        let length = self.file.read(&mut buffer).unwrap();
        buffer[10..length].to_vec()
    }

    /// All frames that arrive before the sentinel.
    pub(super) fn until(&mut self, sentinel: &[u8]) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        loop {
            let frame = self.receive();
            if frame == sentinel {
                return seen;
            }
            seen.push(frame);
        }
    }

    /// An honest broadcast of this station, different each time.
    pub(super) fn honest(&self, count: u32) -> Vec<u8> {
        let packet = udp((self.address, 9), (ALL, 9), &count.to_be_bytes());
        ethernet(BROADCAST, self.mac, IPV4, &packet)
    }
}

/// Two guarded guests, `web` and `db`, and a port that is someone else's.
pub(super) struct Wire {
    pub(super) web: Port,
    pub(super) db: Port,
    pub(super) other: Port,
    pub(super) gateway_mac: Mac,
    pub(super) count: u32,
}

impl Wire {
    pub(super) async fn new(host: &Host) -> Self {
        let network = lab();
        host.ensure_bridge(&network).await.unwrap();
        let web = Port::plug(host, "tap-web1", 11).await;
        let db = Port::plug(host, "tap-db1", 12).await;
        let other = Port::plug(host, "uplink", 99).await;
        let mac = host.mac_of_bridge(&network.bridge).await.unwrap();
        let guarded = [web.guarded("tap-web1"), db.guarded("tap-db1")];
        nft::load(&ruleset::text(&guarded, &[Segment::of(&network, mac)]))
            .await
            .unwrap();
        Self {
            web,
            db,
            other,
            gateway_mac: mac.bytes(),
            count: 0,
        }
    }

    /// Whether `db` sees a frame that `web` sends.
    pub(super) fn web_reaches_db(&mut self, frame: &[u8]) -> bool {
        self.count += 1;
        let sentinel = self.web.honest(self.count);
        self.web.send(frame);
        self.web.send(&sentinel);
        self.db.until(&sentinel).iter().any(|seen| seen == frame)
    }

    /// Whether `db` sees a frame that the other port sends.
    pub(super) fn other_reaches_db(&mut self, frame: &[u8]) -> bool {
        self.count += 1;
        let sentinel = self.other.honest(self.count);
        self.other.send(frame);
        self.other.send(&sentinel);
        self.db.until(&sentinel).iter().any(|seen| seen == frame)
    }
}
