//! The rules: what each client in each state is answered (RFC 2131 §4.3), from the directory alone.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::message::{Asking, Kind, ReplyKind, Request};
use super::netboot::Boot;
use super::offers::Offers;
use super::options::{self, Content, Reply};
use super::outcome::{Destination, Outcome, Reason, Seen, Verdict};
use super::relay::Arrival;
use super::{pool, proxy};
use crate::model::dhcp::{DhcpMode, Unregistered};
use crate::model::{Directory, Event, EventKind, Network, Nic, Timestamp, Vm};

/// A request, and all that is known when it is answered.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The network the client is on.
    pub network: &'a Network,
    /// All records, at one revision.
    pub directory: &'a Directory,
    /// What the client sent.
    pub request: &'a Request<'a>,
    /// Where from, and to which port.
    pub arrival: Arrival<'a>,
    /// When.
    pub now: Timestamp,
}

/// Answers a request.
///
/// The VM is found by its hardware address alone: one VM has up to five client identifiers in one boot, and clones of
/// one base share theirs.
pub fn answer<'a>(case: Case<'a>, offers: &mut Offers) -> Outcome<'a> {
    let registered = case.directory.vm_by_mac(case.request.mac);
    let proxied = case.network.dhcp.mode == DhcpMode::Proxy;
    match registered {
        Some(vm) => match vm.nic_with(case.request.mac) {
            Some(nic) if *nic.network == case.network.name => Outcome {
                vm: Some(vm),
                ..if proxied {
                    proxy::answer(case, vm)
                } else {
                    Reserved { case, vm, nic }.answer(offers)
                }
            },
            _ => Outcome::ignored(Reason::OtherNetwork),
        },
        None if proxied => Outcome::ignored(Reason::Unregistered),
        None => stranger(case, offers),
    }
}

/// Answers a client that no VM is known by.
///
/// RFC 2131 §4.3.2: "If the DHCP server has no record of this client, then it MUST remain silent". So too when it asks for
/// an address of another subnet, where a server may send a NAK: without a pool we do not speak for the whole wire. On an
/// uplink in the bridge another server may serve that subnet, and its client would lose its address; and the DISCOVER
/// that follows a NAK would get nothing from us.
fn stranger<'a>(case: Case<'a>, offers: &mut Offers) -> Outcome<'a> {
    match case.network.dhcp.unregistered {
        Unregistered::Pool => pool::answer(case, offers),
        Unregistered::Ignore => Outcome::ignored(Reason::Unregistered),
        Unregistered::Discover => Outcome {
            // One that declines or releases an address speaks to somebody else.
            seen: (!matches!(case.request.kind, Kind::Decline { .. } | Kind::Release { .. }))
                .then(|| Seen::of(case.network, case.request)),
            ..Outcome::ignored(Reason::Unregistered)
        },
    }
}

impl<'a> Case<'a> {
    /// Our own identifier.
    pub(super) fn server(&self) -> Ipv4Addr {
        self.network.dhcp_server()
    }

    /// Whether a client that chose no server may be refused: on a wire with other servers it may be one of theirs.
    pub(super) fn is_authoritative(&self) -> bool {
        self.network.dhcp.mode == DhcpMode::Authoritative
    }

    /// A reply that says nothing of an address yet.
    pub(super) const fn reply(&self, kind: ReplyKind, content: Content) -> Reply<'a> {
        Reply {
            kind,
            content,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            network: self.network,
            vm: None,
            request: self.request,
            boot: None,
        }
    }

    /// An address for as long as the network lends one.
    pub(super) fn whole_lease(&self) -> Content {
        Content::Lease {
            seconds: options::seconds(self.network.dhcp.lease),
        }
    }

    /// RFC 2131 §4.1: "In all cases, when 'giaddr' is zero, the server broadcasts any DHCPNAK messages to 0xffffffff." A
    /// client that renews by unicast from behind a router would not hear that: its refusal goes where it sent from.
    pub(super) fn refusal(&self, wanted: Ipv4Addr, why: &'static str) -> Outcome<'a> {
        let unicast = || {
            if self.network.is_local() {
                Destination::Broadcast
            } else {
                self.to_address(*self.arrival.source.ip())
            }
        };
        let to = self.relay().unwrap_or_else(unicast);
        let reply = self.reply(ReplyKind::Nak, Content::Refusal(why));
        Outcome::sent(reply, to, Verdict::Refused { wanted })
    }

    /// §4.1: "If the 'giaddr' field in a DHCP message from a client is non-zero, the server sends any return messages to
    /// the 'DHCP server' port on the BOOTP relay agent whose address appears in 'giaddr'."
    pub(super) fn relay(&self) -> Option<Destination> {
        let agent = self.request.giaddr;
        (!agent.is_unspecified()).then_some(Destination::Relay { agent })
    }

    /// §4.1: "If 'giaddr' is zero and 'ciaddr' is zero, and the broadcast bit is set, then the server broadcasts [...]
    /// If the broadcast bit is not set [...], then the server unicasts DHCPOFFER and DHCPACK messages to the client's
    /// hardware address and 'yiaddr' address."
    pub(super) fn to_new_client(self, address: Ipv4Addr) -> Destination {
        if self.request.flags.broadcast() && self.network.is_local() {
            self.relay().unwrap_or(Destination::Broadcast)
        } else {
            self.to_address(address)
        }
    }

    /// §4.1: "If the 'giaddr' field is zero and the 'ciaddr' field is nonzero, then the server unicasts DHCPOFFER and
    /// DHCPACK messages to the address in 'ciaddr'." A client of a relayed network is behind its router.
    pub(super) fn to_address(self, address: Ipv4Addr) -> Destination {
        let unicast = if self.network.is_local() {
            Destination::Hardware {
                mac: self.request.mac,
                address,
            }
        } else {
            Destination::Client {
                address,
                port: super::frame::CLIENT_PORT,
            }
        };
        self.relay().unwrap_or(unicast)
    }

    /// §4.3.5: "The server responds to a DHCPINFORM message by sending a DHCPACK message directly to the address given
    /// in the 'ciaddr' field", and "SHOULD check the network address in a DHCPINFORM message for consistency, but MUST
    /// NOT check for an existing lease"; it "SHOULD NOT fill in 'yiaddr'".
    pub(super) fn inform(&self, address: Ipv4Addr, vm: Option<&'a Vm>) -> Outcome<'a> {
        if self.network.subnet.check(address).is_err() {
            return Outcome::ignored(Reason::OtherAddress);
        }
        let reply = Reply {
            ciaddr: address,
            vm,
            ..self.reply(ReplyKind::Ack, Content::Parameters)
        };
        Outcome::sent(reply, self.to_address(address), Verdict::Informed)
    }
}

/// A request of a registered VM.
#[derive(Clone, Copy)]
struct Reserved<'a> {
    case: Case<'a>,
    vm: &'a Arc<Vm>,
    /// The NIC that it asks by.
    nic: Nic<'a>,
}

impl<'a> Reserved<'a> {
    fn answer(self, offers: &mut Offers) -> Outcome<'a> {
        match self.case.request.kind {
            Kind::Discover => self.offer(),
            Kind::Request(asking) => self.request(asking),
            Kind::Decline { server, address } => self.declined(server, address, offers),
            Kind::Release { server, address } => self.released(server, address),
            Kind::Inform { address } => self.case.inform(address, Some(self.vm)),
        }
    }

    /// RFC 2131 §4.3.1: the server chooses "the client's current address as recorded in the client's current binding";
    /// a reservation is always that, so a requested address (option 50) does not matter.
    ///
    /// RFC 4039 §3.1: a server answers "rapid commit" (option 80) with an ACK when it is "configured to"; this one is not,
    /// for a client that chose another server's offer would then hold two addresses.
    fn offer(self) -> Outcome<'a> {
        let address = self.nic.address;
        let reply = Reply {
            yiaddr: address,
            ..self.reply(ReplyKind::Offer)
        };
        Outcome::sent(reply, self.case.to_new_client(address), Verdict::Offered)
    }

    /// RFC 2131 §4.3.2, by the state the client is in.
    fn request(self, asking: Asking) -> Outcome<'a> {
        let own = self.nic.address;
        match asking {
            // "DHCPREQUEST generated during SELECTING state: Client inserts the address of the selected server in
            // 'server identifier'"; §3.1: "Those servers not selected by the DHCPREQUEST message use the message as
            // notification that the client has declined that server's offer."
            Asking::Selecting { server, .. } if server != self.case.server() => {
                Outcome::ignored(Reason::OtherServer)
            }
            // "Server SHOULD send a DHCPNAK message to the client if the 'requested IP address' is incorrect".
            Asking::Selecting { wanted, .. } | Asking::InitReboot { wanted } if wanted == own => {
                self.acknowledge(Ipv4Addr::UNSPECIFIED)
            }
            // RENEWING: "the DHCP server will trust the value in 'ciaddr', and use it when replying to the client";
            // REBINDING: "The DHCP server SHOULD check 'ciaddr' for correctness before replying". A VM whose
            // reservation was moved is refused here, and so moves at T1.
            Asking::Extending { current } if current == own => self.acknowledge(current),
            // §4.3.2 demands silence "for peaceful coexistence of non-communicating DHCP servers on the same wire": it
            // may remember the address of one of those.
            Asking::InitReboot { .. } | Asking::Extending { .. } if !self.case.is_authoritative() => {
                Outcome::ignored(Reason::OtherAddress)
            }
            Asking::Selecting { wanted, .. }
            | Asking::InitReboot { wanted }
            | Asking::Extending { current: wanted } => self.refuse(wanted),
        }
    }

    /// `ciaddr` is the address the client uses already, or zero.
    fn acknowledge(self, ciaddr: Ipv4Addr) -> Outcome<'a> {
        let address = self.nic.address;
        let reply = Reply {
            ciaddr,
            yiaddr: address,
            ..self.reply(ReplyKind::Ack)
        };
        let to = if ciaddr.is_unspecified() {
            self.case.to_new_client(address)
        } else {
            self.case.to_address(ciaddr)
        };
        Outcome {
            event: Some(self.event(EventKind::Acknowledged)),
            ..Outcome::sent(reply, to, Verdict::Acknowledged)
        }
    }

    fn refuse(self, wanted: Ipv4Addr) -> Outcome<'a> {
        self.case
            .refusal(wanted, "this address is not reserved for your hardware address")
    }

    /// §4.3.3: a DECLINE has no answer, and a reservation is never moved by a guest: it is only told, once a minute.
    ///
    /// After a DECLINE the same address is offered again. §4.3.3, "The server MUST mark the network address as not
    /// available", is for a pool that has others to give: here the record, DNS and the packet filter all say this one, and
    /// a guest that could move it by a word would be known under another (guest-contract §5.3: "keep the reservation").
    /// Whoever holds it wrongly has to go, and the event tells the admin. Nor is the offer held back: a client "SHOULD
    /// wait a minimum of ten seconds before restarting the configuration process" (§3.1) by itself, and one that does not
    /// costs us an answer from memory.
    fn declined(self, server: Ipv4Addr, address: Ipv4Addr, offers: &mut Offers) -> Outcome<'a> {
        self.noted(server, address, |case| {
            let alarm = offers.alarm(case.case.request.mac, case.case.now);
            Outcome {
                event: alarm.then(|| case.event(EventKind::Declined)),
                ..Outcome::of(Verdict::Declined { alarm })
            }
        })
    }

    /// §4.3.4: a RELEASE has no answer, and the reservation stays; it is only told.
    fn released(self, server: Ipv4Addr, address: Ipv4Addr) -> Outcome<'a> {
        self.noted(server, address, |case| Outcome {
            event: Some(case.event(EventKind::Released)),
            ..Outcome::of(Verdict::Released)
        })
    }

    /// What speaks of another server or address is no news about this VM.
    fn noted(
        self,
        server: Ipv4Addr,
        address: Ipv4Addr,
        news: impl FnOnce(Self) -> Outcome<'a>,
    ) -> Outcome<'a> {
        if server != self.case.server() {
            Outcome::ignored(Reason::OtherServer)
        } else if address != self.nic.address {
            Outcome::ignored(Reason::OtherAddress)
        } else {
            news(self)
        }
    }

    fn reply(self, kind: ReplyKind) -> Reply<'a> {
        Reply {
            vm: Some(self.vm),
            boot: Boot::of(self.case.network, self.vm, self.case.request, false),
            ..self.case.reply(kind, self.case.whole_lease())
        }
    }

    fn event(self, kind: EventKind) -> Event {
        Event {
            vm: self.vm.name.clone(),
            kind,
        }
    }
}

#[cfg(test)]
mod tests;
