//! The rules for clients that no VM is known by, where a network lends them addresses: RFC 2131 §4.3, from the leases.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Case;
use super::message::{Asking, Kind, ReplyKind};
use super::offers::Offers;
use super::options::{self, Content, Reply};
use super::outcome::{Outcome, Reason, Verdict, printable};
use crate::model::{Lease, LeaseState, Timestamp};

/// How long an address that was declined is not lent, in seconds.
const DECLINED: u64 = 3600;
/// How many addresses one search tries: a whole /16.
const TRIES: u32 = 1 << 16;
/// How many leases that have run out one search keeps for the clients that come next.
const KEPT: usize = 64;
/// How long a search that found nothing keeps strangers from a NAK, in seconds: as long as a client takes to ask again.
const BARREN: u64 = 10;
/// Until this part of a lease has passed, who asks again is told the rest of it, and nothing is written.
const FRESH: u64 = 16;

/// Answers a client of the pool.
pub(super) fn answer<'a>(case: Case<'a>, offers: &mut Offers) -> Outcome<'a> {
    let mut lending = Lending { case, offers };
    match case.request.kind {
        Kind::Discover => lending.offer(),
        Kind::Request(asking) => lending.request(asking),
        Kind::Decline { server, address } => lending.declined(server, address),
        Kind::Release { server, address } => lending.released(server, address),
        Kind::Inform { address } => case.inform(address, None),
    }
}

/// A request of a client of the pool.
struct Lending<'a, 'o> {
    case: Case<'a>,
    offers: &'o mut Offers,
}

impl<'a> Lending<'a, '_> {
    fn offer(&mut self) -> Outcome<'a> {
        let Some(address) = self.choose() else {
            let alarm = self
                .offers
                .search(&self.case.network.name)
                .exhausted(self.case.now);
            return Outcome::of(Verdict::Exhausted { alarm });
        };
        self.offers.make(self.case.request.mac, address, self.case.now);
        let reply = Reply {
            yiaddr: address,
            ..self.case.reply(ReplyKind::Offer, self.case.whole_lease())
        };
        Outcome::sent(reply, self.case.to_new_client(address), Verdict::Offered)
    }

    /// RFC 2131 §4.3.1: "The client's current address as recorded in the client's current binding, ELSE The client's
    /// previous address as recorded in the client's (now expired or released) binding, [...] ELSE The address requested
    /// in the 'Requested IP Address' option, if that address is valid and not already allocated, ELSE A new address
    /// allocated from the server's pool of available addresses". §2.2: of those it should be "the least recently used".
    fn choose(&mut self) -> Option<Ipv4Addr> {
        let mac = self.case.request.mac;
        let held = self.held().map(|lease| lease.address);
        let offered = self.offers.of(mac, self.case.now);
        let wanted = self.case.request.options.wanted;
        [
            held.filter(|address| self.is_free(*address)),
            offered.filter(|address| self.is_free(*address)),
            wanted.filter(|address| self.is_unused(*address)),
        ]
        .into_iter()
        .flatten()
        .next()
        .or_else(|| self.search())
    }

    /// Any address: one that was never lent, or the one whose lease ran out first. A search that finds none is not made
    /// again in the same second: it costs as much as a thousand answers.
    fn search(&mut self) -> Option<Ipv4Addr> {
        let now = self.case.now;
        if self.offers.search(&self.case.network.name).barren == Some(now) {
            return None;
        }
        let found = self.unused().or_else(|| self.expired());
        if found.is_some() {
            self.offers.search(&self.case.network.name).barren = None;
        }
        found
    }

    /// The next address that nobody has or had: from the last one down, as reservations are taken from the first one up.
    fn unused(&mut self) -> Option<Ipv4Addr> {
        let (network, taken) = (self.case.network, self.taken());
        // To look at all addresses of a large pool costs as much as ten thousand answers.
        if self
            .offers
            .search(&network.name)
            .used_up
            .is_some_and(|then| then <= taken)
        {
            return None;
        }
        let (first, last) = (network.dhcp.dynamic.first(), network.dhcp.dynamic.last());
        let size = last.to_bits().saturating_sub(first.to_bits()).saturating_add(1);
        let mut at = self.offers.search(&network.name).at;
        let found = (0..size.min(TRIES)).find_map(|_| {
            let below = at.filter(|at| (first.to_bits() + 1..=last.to_bits()).contains(&at.to_bits()));
            let next = below.map_or(last, |at| Ipv4Addr::from_bits(at.to_bits() - 1));
            at = Some(next);
            self.is_unused(next).then_some(next)
        });
        let search = self.offers.search(&network.name);
        search.at = at;
        search.used_up = found.is_none().then_some(taken);
        found
    }

    /// How many addresses have an owner or had one: one that was never lent can be had again only when there are fewer.
    fn taken(&self) -> usize {
        self.case.directory.leases().iter().len() + self.case.directory.vm_count()
    }

    /// The address whose lease ran out first, and only when there is none, the one that was declined first.
    fn expired(&mut self) -> Option<Ipv4Addr> {
        let network = &self.case.network.name;
        if let Some(address) = self.next_expired() {
            return Some(address);
        }
        let mut found: Vec<(bool, Timestamp, Ipv4Addr)> = self
            .case
            .directory
            .leases()
            .iter()
            .filter(|lease| lease.network == *network && lease.expires <= self.case.now)
            .map(|lease| (lease.state == LeaseState::Declined, lease.expires, lease.address))
            .collect();
        found.sort_unstable();
        let kept: VecDeque<Ipv4Addr> = found
            .into_iter()
            .map(|(_, _, address)| address)
            .filter(|address| self.is_free(*address))
            .take(KEPT)
            .collect();
        self.offers.search(network).expired = kept;
        self.next_expired()
    }

    /// The next of the addresses that a search has found, if it is still to be had.
    fn next_expired(&mut self) -> Option<Ipv4Addr> {
        let network = &self.case.network.name;
        while let Some(address) = self.offers.search(network).expired.pop_front() {
            if self.is_free(address) {
                return Some(address);
            }
        }
        None
    }

    /// The lease that the registry has of this client.
    fn held(&self) -> Option<&'a Lease> {
        let Case {
            network,
            directory,
            request,
            ..
        } = self.case;
        directory
            .leases()
            .of(&network.name, request.mac)
            .map(|lease| &**lease)
    }

    /// Whether the address is one to lend, and no VM has it.
    fn is_dynamic(&self, address: Ipv4Addr) -> bool {
        let network = self.case.network;
        network.dhcp.dynamic.contains(address)
            && network.subnet.check(address).is_ok()
            && self.case.directory.vm_at(address).is_none()
    }

    /// Whether it is offered to another client.
    fn is_offered(&self, address: Ipv4Addr) -> bool {
        let holder = self.offers.holder(address, self.case.now);
        holder.is_some_and(|mac| mac != self.case.request.mac)
    }

    /// Whether the address may be lent to this client: it has it, or nobody else has.
    fn is_free(&self, address: Ipv4Addr) -> bool {
        let bar = self.case.directory.leases().at(address).is_some_and(|lease| {
            let own = lease.mac == self.case.request.mac
                && lease.network == self.case.network.name
                && lease.state == LeaseState::Bound;
            !own && lease.expires > self.case.now
        });
        !bar && self.is_dynamic(address) && !self.is_offered(address)
    }

    /// Whether the address may be lent, and nobody ever had it.
    fn is_unused(&self, address: Ipv4Addr) -> bool {
        self.is_dynamic(address)
            && self.case.directory.leases().at(address).is_none()
            && !self.is_offered(address)
    }

    /// RFC 2131 §4.3.2, by the state the client is in.
    fn request(&mut self, asking: Asking) -> Outcome<'a> {
        match asking {
            // §3.1: "Those servers not selected by the DHCPREQUEST message use the message as notification that the
            // client has declined that server's offer."
            Asking::Selecting { server, .. } if server != self.case.server() => {
                self.offers.forget(self.case.request.mac);
                Outcome::ignored(Reason::OtherServer)
            }
            // It is held to what it was offered only while that is free: a server that was restarted in between has
            // forgotten the offer, and the client has not.
            Asking::Selecting { wanted, .. } if self.is_free(wanted) => {
                self.acknowledge(wanted, Ipv4Addr::UNSPECIFIED)
            }
            Asking::Selecting { wanted, .. } => self.refuse(wanted),
            Asking::InitReboot { wanted } => self.reboot(wanted),
            Asking::Extending { current } => self.extend(current),
        }
    }

    /// INIT-REBOOT: "Server SHOULD send a DHCPNAK message to the client if the 'requested IP address' is incorrect, or is
    /// on the wrong network"; and "If the DHCP server has no record of this client, then it MUST remain silent". An
    /// address that another has, or that is none of the pool's, is known to be incorrect without a record.
    fn reboot(&mut self, wanted: Ipv4Addr) -> Outcome<'a> {
        let held = self.held().map(|lease| lease.address);
        if held == Some(wanted) && self.is_free(wanted) {
            return self.acknowledge(wanted, Ipv4Addr::UNSPECIFIED);
        }
        let is_known_wrong = held.is_some() || !self.is_free(wanted);
        if is_known_wrong && self.may_refuse() {
            self.refuse(wanted)
        } else {
            Outcome::ignored(Reason::OtherAddress)
        }
    }

    /// RENEWING: "the DHCP server will trust the value in 'ciaddr'"; REBINDING: "The DHCP server SHOULD check 'ciaddr' for
    /// correctness before replying". An address in use that has no record (a registry restored from a copy) is lent to
    /// whoever uses it, before somebody else is lent it.
    fn extend(&mut self, current: Ipv4Addr) -> Outcome<'a> {
        let is_own = self.held().is_some_and(|lease| lease.address == current);
        if self.is_free(current) && (is_own || self.case.is_authoritative()) {
            self.acknowledge(current, current)
        } else if self.may_refuse() {
            self.refuse(current)
        } else {
            Outcome::ignored(Reason::OtherAddress)
        }
    }

    /// Whether a client that chose no server may be refused: never beside other servers, and never when the DISCOVER that
    /// follows would get nothing.
    fn may_refuse(&mut self) -> bool {
        let now = self.case.now;
        let barren = self.offers.search(&self.case.network.name).barren;
        let is_exhausted = barren.is_some_and(|since| now.0.abs_diff(since.0) < BARREN);
        self.case.is_authoritative() && !(is_exhausted && self.held().is_none())
    }

    fn refuse(&self, wanted: Ipv4Addr) -> Outcome<'a> {
        self.case
            .refusal(wanted, "this address is not yours to have here")
    }

    /// `ciaddr` is the address the client uses already, or zero.
    ///
    /// What is told is never more than what is written. A client that asks again and again is told the rest of the lease that
    /// it has; each time for the whole of one would be a write to the disk, at the word of a stranger.
    fn acknowledge(&mut self, address: Ipv4Addr, ciaddr: Ipv4Addr) -> Outcome<'a> {
        let rest = self.rest_of_fresh(address);
        let content = rest.map_or_else(|| self.case.whole_lease(), |seconds| Content::Lease { seconds });
        let reply = Reply {
            ciaddr,
            yiaddr: address,
            ..self.case.reply(ReplyKind::Ack, content)
        };
        let to = if ciaddr.is_unspecified() {
            self.case.to_new_client(address)
        } else {
            self.case.to_address(ciaddr)
        };
        let whole = self.case.network.dhcp.lease.as_secs();
        let expires = self.case.now.0.saturating_add(whole);
        self.offers.forget(self.case.request.mac);
        Outcome {
            lend: rest
                .is_none()
                .then(|| self.lease(address, LeaseState::Bound, expires)),
            ..Outcome::sent(reply, to, Verdict::Acknowledged)
        }
    }

    /// How many seconds the client's lease of the address still lasts, when that is nearly all of it. One that an operator
    /// has made shorter since is not fresh.
    fn rest_of_fresh(&self, address: Ipv4Addr) -> Option<u32> {
        let held = self.held().filter(|lease| lease.address == address)?;
        let whole = self.case.network.dhcp.lease.as_secs();
        let rest = held.expires.0.checked_sub(self.case.now.0)?;
        let is_fresh = (whole - whole / FRESH..=whole).contains(&rest) && rest > 0;
        is_fresh.then(|| options::seconds(Duration::from_secs(rest)))
    }

    fn lease(&self, address: Ipv4Addr, state: LeaseState, expires: u64) -> Lease {
        let now = self.case.now;
        let held = self.held().filter(|lease| lease.address == address);
        Lease {
            network: self.case.network.name.clone(),
            mac: self.case.request.mac,
            address,
            state,
            since: held.map_or(now, |lease| lease.since),
            expires: Timestamp(expires),
            hostname: printable(self.case.request.options.hostname.as_deref()),
        }
    }

    /// §4.3.3: "The server MUST mark the network address as not available and SHOULD notify the local system
    /// administrator of a possible configuration problem." Only who was given an address can say so of it.
    fn declined(&mut self, server: Ipv4Addr, address: Ipv4Addr) -> Outcome<'a> {
        if server != self.case.server() {
            return Outcome::ignored(Reason::OtherServer);
        }
        if self.held().is_none_or(|lease| lease.address != address) {
            return Outcome::ignored(Reason::OtherAddress);
        }
        let mac = self.case.request.mac;
        self.offers.forget(mac);
        let alarm = self.offers.alarm(mac, self.case.now);
        // A client that finds every address taken would take the pool away from all others: what it says beyond a few
        // times, or when much of the pool is held back already, ends its lease and nothing more.
        let lend = if self.offers.may_decline(mac, self.case.now) && self.has_room_for_declined() {
            let until = self.case.now.0.saturating_add(DECLINED);
            self.lease(address, LeaseState::Declined, until)
        } else {
            self.lease(address, LeaseState::Bound, self.case.now.0)
        };
        Outcome {
            lend: Some(lend),
            ..Outcome::of(Verdict::Declined { alarm })
        }
    }

    /// Whether less than a quarter of the pool is held back because it was declined.
    fn has_room_for_declined(&self) -> bool {
        let (network, now) = (self.case.network, self.case.now);
        let (first, last) = (network.dhcp.dynamic.first(), network.dhcp.dynamic.last());
        let size = u64::from(last.to_bits() - first.to_bits()) + 1;
        let held = |lease: &&Arc<Lease>| {
            lease.state == LeaseState::Declined && lease.network == network.name && lease.expires > now
        };
        let declined = self.case.directory.leases().iter().filter(held).count();
        u64::try_from(declined).is_ok_and(|declined| declined < size.div_ceil(4))
    }

    /// §4.3.4: "the server marks the network address as not allocated. The server SHOULD retain a record of the client's
    /// initialization parameters for possible reuse": the lease has run out, and is remembered as one that has.
    fn released(&mut self, server: Ipv4Addr, address: Ipv4Addr) -> Outcome<'a> {
        if server != self.case.server() {
            return Outcome::ignored(Reason::OtherServer);
        }
        let now = self.case.now;
        if self
            .held()
            .is_none_or(|lease| lease.address != address || lease.expires <= now)
        {
            return Outcome::ignored(Reason::OtherAddress);
        }
        self.offers.forget(self.case.request.mac);
        Outcome {
            lend: Some(self.lease(address, LeaseState::Bound, now.0)),
            ..Outcome::of(Verdict::Released)
        }
    }
}

#[cfg(test)]
mod tests;
