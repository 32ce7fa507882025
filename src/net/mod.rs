//! What the guest-facing servers share below their protocols: many datagrams by one system call.

pub mod batch;

pub use batch::{Address, Datagram, Inbox, Outbox, Wait};
