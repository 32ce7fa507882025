//! The rules: what each client in each state is answered (RFC 2131 §4.3), from the directory alone.

use std::net::Ipv4Addr;

use super::message::{Asking, Kind, Reply, ReplyKind, Request};
use super::options::{self, DhcpOption};
use crate::model::{Directory, Event, EventKind, MacAddress, Network, Vm};

/// What is to be done about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// What to send, and to whom.
    pub reply: Option<(Reply<'a>, Destination)>,
    /// What the request tells about the VM.
    pub event: Option<Event>,
    /// How the request was judged.
    pub verdict: Verdict,
    /// The VM that asked, where it is one of this network's.
    pub vm: Option<&'a Vm>,
}

/// Where a reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To one station, which need not answer ARP yet.
    Hardware {
        /// Its hardware address.
        mac: MacAddress,
        /// The address it has or is given.
        address: Ipv4Addr,
    },
    /// To every station.
    Broadcast,
}

impl Destination {
    /// The hardware address to send to.
    pub fn mac(self) -> MacAddress {
        match self {
            Self::Hardware { mac, .. } => mac,
            Self::Broadcast => MacAddress::new([0xff; 6]),
        }
    }

    /// The IP address to send to.
    pub const fn address(self) -> Ipv4Addr {
        match self {
            Self::Hardware { address, .. } => address,
            Self::Broadcast => Ipv4Addr::BROADCAST,
        }
    }
}

/// How a request was judged, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was offered its address.
    Offered,
    /// Its address was confirmed.
    Acknowledged,
    /// It asked for an address that is not its own.
    Refused {
        /// The address it asked for.
        wanted: Ipv4Addr,
    },
    /// It has an address and was told the rest.
    Informed,
    /// It says another host has its address.
    Declined,
    /// It gave its address back.
    Released,
    /// It gets no answer.
    Ignored(Reason),
}

/// Why a request gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No VM has this hardware address.
    Unregistered,
    /// The VM is registered on another network.
    OtherNetwork,
    /// The client speaks to another server.
    OtherServer,
    /// It speaks of an address that is not its own, where no answer is due.
    OtherAddress,
}

/// Answers a request that came in on a network's bridge.
///
/// The VM is found by its hardware address alone: one VM has up to five client identifiers in one boot, and clones of
/// one base share theirs.
pub fn answer<'a>(network: &'a Network, directory: &'a Directory, request: &'a Request) -> Outcome<'a> {
    let vm = match registered(network, directory, request.mac) {
        Ok(vm) => vm,
        // RFC 2131 §4.3.2: "If the DHCP server has no record of this client, then it MUST remain silent". So too when it
        // asks for an address of another subnet, where a server may send a NAK: we do not speak for the whole wire. On
        // an uplink in the bridge another server may serve that subnet, and its client would lose its address; and the
        // DISCOVER that follows a NAK would get nothing from us.
        Err(reason) => return ignored(reason),
    };
    let case = Case { network, vm, request };
    let outcome = match request.kind {
        Kind::Discover => case.offer(),
        Kind::Request(asking) => case.request(asking),
        Kind::Decline { server, address } => {
            case.noted(server, address, EventKind::Declined, Verdict::Declined)
        }
        Kind::Release { server, address } => {
            case.noted(server, address, EventKind::Released, Verdict::Released)
        }
        Kind::Inform { address } => case.inform(address),
    };
    Outcome {
        vm: Some(vm),
        ..outcome
    }
}

/// The VM with this hardware address, if this is its network.
fn registered<'a>(network: &Network, directory: &'a Directory, mac: MacAddress) -> Result<&'a Vm, Reason> {
    let vm = directory.vm_by_mac(mac).ok_or(Reason::Unregistered)?;
    if vm.network == network.name {
        Ok(vm)
    } else {
        Err(Reason::OtherNetwork)
    }
}

const fn ignored<'a>(reason: Reason) -> Outcome<'a> {
    Outcome {
        reply: None,
        event: None,
        verdict: Verdict::Ignored(reason),
        vm: None,
    }
}

/// A request of a registered VM.
#[derive(Clone, Copy)]
struct Case<'a> {
    network: &'a Network,
    vm: &'a Vm,
    request: &'a Request,
}

impl<'a> Case<'a> {
    /// RFC 2131 §4.3.1: the server chooses "the client's current address as recorded in the client's current binding";
    /// a reservation is always that, so a requested address (option 50) does not matter.
    fn offer(self) -> Outcome<'a> {
        let reply = Reply {
            yiaddr: self.vm.address,
            ..self.reply(
                ReplyKind::Offer,
                options::leased(self.network, self.vm, self.request),
            )
        };
        sent(reply, self.to_new_client(), Verdict::Offered)
    }

    /// RFC 2131 §4.3.2, by the state the client is in.
    fn request(self, asking: Asking) -> Outcome<'a> {
        match asking {
            // "DHCPREQUEST generated during SELECTING state: Client inserts the address of the selected server in
            // 'server identifier'"; §3.1: "Those servers not selected by the DHCPREQUEST message use the message as
            // notification that the client has declined that server's offer."
            Asking::Selecting { server, .. } if server != self.server() => ignored(Reason::OtherServer),
            // "Server SHOULD send a DHCPNAK message to the client if the 'requested IP address' is incorrect".
            Asking::Selecting { wanted, .. } | Asking::InitReboot { wanted } => {
                if wanted == self.vm.address {
                    self.acknowledge(Ipv4Addr::UNSPECIFIED)
                } else {
                    self.refuse(wanted)
                }
            }
            // RENEWING: "the DHCP server will trust the value in 'ciaddr', and use it when replying to the client";
            // REBINDING: "The DHCP server SHOULD check 'ciaddr' for correctness before replying". A VM whose
            // reservation was moved is refused here, and so moves at T1.
            Asking::Extending { current } => {
                if current == self.vm.address {
                    self.acknowledge(current)
                } else {
                    self.refuse(current)
                }
            }
        }
    }

    /// `ciaddr` is the address the client uses already, or zero.
    fn acknowledge(self, ciaddr: Ipv4Addr) -> Outcome<'a> {
        let reply = Reply {
            ciaddr,
            yiaddr: self.vm.address,
            ..self.reply(
                ReplyKind::Ack,
                options::leased(self.network, self.vm, self.request),
            )
        };
        // §4.1: "If the 'giaddr' field is zero and the 'ciaddr' field is nonzero, then the server unicasts DHCPOFFER
        // and DHCPACK messages to the address in 'ciaddr'."
        let to = if ciaddr.is_unspecified() {
            self.to_new_client()
        } else {
            self.to_address(ciaddr)
        };
        Outcome {
            event: Some(self.event(EventKind::Acknowledged)),
            ..sent(reply, to, Verdict::Acknowledged)
        }
    }

    /// §4.1: "In all cases, when 'giaddr' is zero, the server broadcasts any DHCPNAK messages to 0xffffffff."
    fn refuse(self, wanted: Ipv4Addr) -> Outcome<'a> {
        let why = "this address is not reserved for your hardware address";
        let reply = self.reply(ReplyKind::Nak, options::refused(self.network, self.request, why));
        sent(reply, Destination::Broadcast, Verdict::Refused { wanted })
    }

    /// §4.3.3 and §4.3.4: neither DECLINE nor RELEASE has an answer, and a reservation is never moved by a guest: they
    /// are only told. One that speaks of another server or address is no news about this VM.
    ///
    /// After a DECLINE the same address is offered again. §4.3.3, "The server MUST mark the network address as not
    /// available", is for a pool that has others to give: here the record, DNS and the packet filter all say this one, and
    /// a guest that could move it by a word would be known under another (guest-contract §5.3: "keep the reservation").
    /// Whoever holds it wrongly has to go, and the event tells the admin. Nor is the offer held back: a client "SHOULD
    /// wait a minimum of ten seconds before restarting the configuration process" (§3.1) by itself, and one that does not
    /// costs us an answer from memory.
    fn noted(self, server: Ipv4Addr, address: Ipv4Addr, kind: EventKind, verdict: Verdict) -> Outcome<'a> {
        if server != self.server() {
            return ignored(Reason::OtherServer);
        }
        if address != self.vm.address {
            return ignored(Reason::OtherAddress);
        }
        Outcome {
            reply: None,
            event: Some(self.event(kind)),
            verdict,
            vm: None,
        }
    }

    /// §4.3.5: "The server responds to a DHCPINFORM message by sending a DHCPACK message directly to the address given
    /// in the 'ciaddr' field", and "SHOULD check the network address in a DHCPINFORM message for consistency, but MUST
    /// NOT check for an existing lease"; it "SHOULD NOT fill in 'yiaddr'".
    fn inform(self, address: Ipv4Addr) -> Outcome<'a> {
        if self.network.subnet.check(address).is_err() {
            return ignored(Reason::OtherAddress);
        }
        let reply = Reply {
            ciaddr: address,
            ..self.reply(
                ReplyKind::Ack,
                options::informed(self.network, self.vm, self.request),
            )
        };
        sent(reply, self.to_address(address), Verdict::Informed)
    }

    /// Our own identifier: the bridge's address.
    const fn server(self) -> Ipv4Addr {
        self.network.subnet.gateway()
    }

    fn reply(self, kind: ReplyKind, options: Vec<DhcpOption<'a>>) -> Reply<'a> {
        Reply {
            kind,
            xid: self.request.xid,
            flags: self.request.flags,
            mac: self.request.mac,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            options,
            room: self.request.room(),
        }
    }

    /// §4.1: "If 'giaddr' is zero and 'ciaddr' is zero, and the broadcast bit is set, then the server broadcasts [...]
    /// If the broadcast bit is not set [...], then the server unicasts DHCPOFFER and DHCPACK messages to the client's
    /// hardware address and 'yiaddr' address."
    const fn to_new_client(self) -> Destination {
        if self.request.flags.broadcast() {
            Destination::Broadcast
        } else {
            self.to_address(self.vm.address)
        }
    }

    const fn to_address(self, address: Ipv4Addr) -> Destination {
        Destination::Hardware {
            mac: self.request.mac,
            address,
        }
    }

    fn event(self, kind: EventKind) -> Event {
        Event {
            vm: self.vm.name.clone(),
            kind,
        }
    }
}

const fn sent(reply: Reply<'_>, to: Destination, verdict: Verdict) -> Outcome<'_> {
    Outcome {
        reply: Some((reply, to)),
        event: None,
        verdict,
        vm: None,
    }
}

#[cfg(test)]
mod tests;
