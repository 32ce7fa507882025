//! The registry as the DHCP servers' ledger: leases become records, and strangers are remembered.

use std::sync::Arc;

use async_trait::async_trait;

use super::discovered::Discovered;
use crate::dhcp::{Ledger, Seen};
use crate::model::{Clock, Lease};
use crate::registry::{Change, Registry};

/// What leases and strangers are kept in.
pub(super) struct Book {
    pub(super) registry: Registry,
    pub(super) discovered: Arc<Discovered>,
    pub(super) clock: Clock,
}

#[async_trait]
impl Ledger for Book {
    async fn lend(&self, leases: Vec<Lease>) -> Result<(), String> {
        let committed = self.registry.commit(Change::Lend { leases }).await;
        committed.map(|_| ()).map_err(|error| error.to_string())
    }

    fn seen(&self, seen: Seen) {
        self.discovered.note(seen, self.clock.now());
    }
}
