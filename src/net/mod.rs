//! What the guest-facing servers share below their protocols: many datagrams by one system call, and places for each.

pub mod batch;
pub mod inquiry;
pub mod seats;

pub use batch::{Address, Datagram, Inbox, Outbox, Wait};
pub use inquiry::Letter;
pub use seats::{Seat, Seats};
