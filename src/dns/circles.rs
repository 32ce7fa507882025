//! Finds the upstream servers that ask us what we ask them: a circle, in which no question is ever answered.
//!
//! Our own addresses are never upstream servers (resolv.rs). A circle through somebody else, such as a forwarder on this
//! host that was told to ask us, shows when a question that is under way is asked again from where a server could be.
//! That may be chance; so each server is asked for a name with a label that only we know, and the one by whose question
//! it comes back is left out.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::Name;
use tokio::time::Instant;

/// For how long a server that asks us is not asked.
pub(super) const LEFT_OUT: Duration = Duration::from_secs(60);
/// How long a name is watched for, and no other is sent.
const WATCHED: Duration = Duration::from_secs(5);

/// What is known of circles.
#[derive(Debug, Default)]
pub(super) struct Circles {
    watched: Vec<(Name, SocketAddr)>,
    watched_since: Option<Instant>,
    left_out: Vec<(SocketAddr, Instant)>,
}

impl Circles {
    /// Names to ask the servers for, one each; none while others are watched for.
    pub(super) fn probes(&mut self, below: &Name, servers: &[SocketAddr], now: Instant) -> Vec<Name> {
        if self.is_watching(now) {
            return Vec::new();
        }
        self.watched_since = Some(now);
        let probe = |server: &SocketAddr| {
            // Keyed anew from the system's randomness each time.
            let label = format!("seedbed-loop-{:016x}", RandomState::new().hash_one(server));
            Some((below.prepend_label(label.as_bytes()).ok()?, *server))
        };
        self.watched = servers.iter().filter_map(probe).collect();
        self.watched.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The server that was asked for this name, which has now come back to us: it is left out from now on.
    pub(super) fn closed_by(&mut self, name: &Name, now: Instant) -> Option<SocketAddr> {
        if !self.is_watching(now) {
            return None;
        }
        let (_, server) = self.watched.iter().find(|(watched, _)| watched == name)?;
        self.left_out.push((*server, now));
        Some(*server)
    }

    /// The servers that are left out now.
    pub(super) fn left_out(&mut self, now: Instant) -> Vec<SocketAddr> {
        self.left_out
            .retain(|(_, since)| now.duration_since(*since) < LEFT_OUT);
        self.left_out.iter().map(|(server, _)| *server).collect()
    }

    fn is_watching(&self, now: Instant) -> bool {
        self.watched_since
            .is_some_and(|since| now.duration_since(since) < WATCHED)
    }
}
