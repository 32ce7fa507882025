//! What must be on disk before a guest hears of it: one commit for all leases that are waiting.
//!
//! Only clients that no VM is get here. A registered VM's address was committed when it was registered.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::outcome::Seen;
use super::serve::Way;
use crate::model::directory::Published;
use crate::model::{Lease, mac};

/// The most errands that wait; more are dropped, and their clients ask again.
const WAITING: usize = 4_096;
/// The most leases of one commit.
const MOST: usize = 512;

/// What a DHCP server has others do.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Lends addresses, durably. Which of them were lent is in the directory then.
    async fn lend(&self, leases: Vec<Lease>) -> Result<(), String>;

    /// Remembers a client that no VM is.
    fn seen(&self, seen: Seen);
}

/// Something to be done before, or instead of, an answer.
#[derive(Debug)]
pub(super) enum Errand {
    /// To lend an address and then to send what says so.
    Lend {
        /// The lease.
        lease: Lease,
        /// What goes out when it was lent.
        reply: Option<(Way, Vec<u8>)>,
    },
    /// To remember a client.
    Seen(Seen),
}

/// The way to the clerk.
pub(super) fn office() -> (mpsc::Sender<Errand>, mpsc::Receiver<Errand>) {
    mpsc::channel(WAITING)
}

/// Does errands until nobody has one any more; `send` sends what a lease says.
pub(super) async fn work(
    ledger: Arc<dyn Ledger>,
    directory: Arc<Published>,
    mut errands: mpsc::Receiver<Errand>,
    send: impl Fn(&Way, &[u8]) + Send,
) {
    let mut batch = Vec::with_capacity(MOST);
    while errands.recv_many(&mut batch, MOST).await > 0 {
        let (mut leases, mut replies) = (Vec::new(), Vec::new());
        for errand in batch.drain(..) {
            match errand {
                Errand::Lend { lease, reply } => {
                    replies.extend(reply.map(|reply| (lease.clone(), reply)));
                    leases.push(lease);
                }
                Errand::Seen(seen) => ledger.seen(seen),
            }
        }
        if leases.is_empty() {
            continue;
        }
        if let Err(why) = ledger.lend(leases).await {
            warn!("dynamic leases could not be written, so they are not given: {why}.");
            continue;
        }
        let now = directory.load();
        for (lease, (way, packet)) in replies {
            // Another client, or a VM, may have been first; or this one has asked for another since, or given it back.
            if now
                .leases()
                .of(&lease.network, lease.mac)
                .is_some_and(|lent| **lent == lease)
            {
                send(&way, &packet);
            } else {
                debug!(mac = mac::text(lease.mac), ip = %lease.address, "DHCP: {} was taken meanwhile", lease.address);
            }
        }
    }
}
