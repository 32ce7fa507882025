//! The rules beside another DHCP server (PXE 2.1 §2.2.3, "proxyDHCP"): it gives the addresses, and this one only tells
//! what to boot.

use super::answer::Case;
use super::message::{Kind, ReplyKind};
use super::netboot::Boot;
use super::options::{Content, Reply};
use super::outcome::{Destination, Outcome, Reason, Verdict};
use crate::model::Vm;

/// The UDP port that firmware asks a proxy at, once it has its address (PXE 2.1 §2.2.3).
pub(super) const PROXY_PORT: u16 = 4011;

/// Answers firmware of a VM that boots from the network, and nobody else; never with an address, and never with a NAK.
pub(super) fn answer<'a>(case: Case<'a>, vm: &'a Vm) -> Outcome<'a> {
    let Some(boot) = Boot::of(case.network, vm, case.request, true) else {
        return Outcome::ignored(Reason::NotOffered);
    };
    let reply = |kind| Reply {
        vm: Some(vm),
        boot: Some(boot),
        ..case.reply(kind, Content::Boot)
    };
    match case.request.kind {
        // The client has no address, and this server has none for it: all stations hear the offer, and one takes it.
        Kind::Discover => {
            let to = case.relay().unwrap_or(Destination::Broadcast);
            Outcome::sent(reply(ReplyKind::Offer), to, Verdict::Proxied)
        }
        // To port 67 it speaks to the server that gives the addresses.
        Kind::Request(_) | Kind::Inform { .. } if case.arrival.port == PROXY_PORT => {
            let source = case.arrival.source;
            if source.ip().is_unspecified() {
                return Outcome::ignored(Reason::OtherAddress);
            }
            let reply = Reply {
                ciaddr: case.request.ciaddr,
                ..reply(ReplyKind::Ack)
            };
            let to = Destination::Client {
                address: *source.ip(),
                port: source.port(),
            };
            Outcome::sent(reply, to, Verdict::Proxied)
        }
        Kind::Request(_) | Kind::Inform { .. } | Kind::Decline { .. } | Kind::Release { .. } => {
            Outcome::ignored(Reason::OtherServer)
        }
    }
}
