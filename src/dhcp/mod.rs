//! The `DHCPv4` server (RFC 2131): tells every registered VM its own address, and others what their network's policy is.
//!
//! ```text
//!   bytes -> wire::Request -> relay: which network? -> answer: a VM's | pool: anybody's | proxy: boot only
//!         -> Reply, Event, Lease, Verdict -> options -> encode -> frame -> the bridge, or a relay agent
//!   '------------------------------------ respond(): pure ------------------------------------------------'
//! ```
//!
//! A VM is known by its hardware address alone. Its client identifier (option 61) is echoed but never looked at,
//! because clones of one base send the same one. A VM is answered from the directory alone, so that a restarted daemon
//! answers as before, and nothing is written before its answer leaves. A client of the pool is answered when its lease is
//! in the registry.

mod answer;
mod clerk;
mod describe;
mod encode;
mod frame;
mod interface;
mod message;
mod netboot;
mod offers;
mod options;
mod outcome;
mod pool;
#[cfg(test)]
mod property_tests;
mod proxy;
mod relay;
#[cfg(test)]
mod reliability_tests;
#[cfg(test)]
mod sample;
mod serve;
mod socket;
mod value;
mod wire;

pub use answer::{Case, answer};
pub use clerk::Ledger;
pub use describe::{render, render_json};
pub use interface::Interface;
pub use message::{Asking, Flags, Kind, Options, ReplyKind, Request};
pub use offers::Offers;
pub use options::{Content, Reply};
pub use outcome::{Destination, Outcome, Reason, Seen, Verdict};
pub use relay::{Arrival, Scope};
pub use serve::Backing;
pub use socket::{BindError, Socket};
pub use value::{DhcpOption, Value};
pub use wire::Malformed;

use std::sync::Arc;

use crate::model::{Event, Lease, MacAddress, Timestamp, Vm};

/// What is to be done about one received packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Who sent the packet, by its own word.
    pub client: MacAddress,
    /// The VM it came from, where it is one of this network's.
    pub vm: Option<Arc<Vm>>,
    /// Where the answer goes, if there is one.
    pub to: Option<Destination>,
    /// What the ladder should hear.
    pub event: Option<Event>,
    /// What must be in the registry before the answer leaves. When the registry then has it otherwise, nothing is sent:
    /// the client asks again.
    pub lend: Option<Lease>,
    /// A client to be remembered until it is adopted.
    pub seen: Option<Seen>,
    /// How the request was judged.
    pub verdict: Verdict,
}

/// Answers one received UDP payload: bytes in, bytes out.
///
/// `out` is overwritten with what goes to [`Response::to`]: the IPv4 packet for a station on the bridge, or the UDP payload
/// for what the kernel routes. For a registered VM nothing is allocated, unless its options came in pieces.
pub fn respond(
    scope: &Scope<'_>,
    offers: &mut Offers,
    arrival: &Arrival<'_>,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Result<Response, Malformed> {
    out.clear();
    let request = Request::parse(arrival.payload)?;
    let Some(network) = relay::network(scope, arrival, &request)? else {
        return Ok(Response::of(&request, Outcome::ignored(Reason::NoNetwork)));
    };
    let case = Case {
        network,
        directory: scope.directory,
        request: &request,
        arrival: *arrival,
        now,
    };
    let outcome = answer(case, offers);
    if let Some((reply, to)) = &outcome.reply {
        if let Some((_, address)) = to.link() {
            frame::begin(out);
            reply.encode(out);
            frame::finish(network.dhcp_server(), address, out);
        } else {
            reply.encode(out);
        }
    }
    Ok(Response::of(&request, outcome))
}

impl Response {
    fn of(request: &Request<'_>, outcome: Outcome<'_>) -> Self {
        Self {
            client: request.mac,
            vm: outcome.vm.cloned(),
            to: outcome.reply.map(|(_, to)| to),
            event: outcome.event,
            lend: outcome.lend,
            seen: outcome.seen,
            verdict: outcome.verdict,
        }
    }
}
