//! What a VM may read about itself over HTTP, and how it reports that its first boot is done.
//!
//! ```text
//!   socket -> serve.rs -> request.rs   method, path, refused headers
//!                      -> caller.rs    who speaks from that address
//!                      -> answer.rs    the answer and the event; form.rs reads what phone_home posts
//!                         nocloud.rs openstack.rs ec2.rs   views of one record, for different clients; token.rs
//!                         withheld.rs   the secrets that an answer is without; keys.rs report.rs
//!                         netboot.rs   the same for network boot; range.rs and files.rs send its files in pieces
//! ```
//!
//! A guest is known by the network and the address it speaks from, confirmed by the kernel's neighbour entry for that
//! address, and by nothing it says: the paths are the same for every VM. For a VM that Seedbed runs the entry has to be
//! the one the daemon made; one that was learnt from ARP is what somebody said.

use std::net::Ipv4Addr;

use async_trait::async_trait;

use crate::model::{BridgeName, MacAddress};

pub mod answer;
pub mod caller;
mod ec2;
mod files;
pub mod form;
mod install;
mod keys;
mod message;
pub mod netboot;
mod nocloud;
mod openstack;
pub mod range;
mod report;
pub mod request;
pub mod serve;
pub mod socket;
pub mod token;
mod withheld;

/// Who has an address on a bridge, as the kernel knows it.
#[async_trait]
pub trait Neighbours: Send + Sync {
    /// The neighbour entry for `address` on `bridge`; `None` when there is no valid one.
    async fn entry_of(&self, bridge: &BridgeName, address: Ipv4Addr) -> Option<Neighbour>;
}

/// A neighbour entry: who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The hardware address that has it.
    pub mac: MacAddress,
    /// Whether it was made and stays as it is. One that was learnt from ARP is as true as whoever spoke.
    pub permanent: bool,
}
