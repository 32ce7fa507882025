//! DNS on the bridge: the names of the VMs from the registry, and forwarding for everything else.
//!
//! ```text
//!   serve.rs [I/O]  datagram or TCP message
//!      -> wire.rs   bytes -> Question          (hickory's message types stop there and in client.rs)
//!      -> answer.rs Directory + Network + Question -> Answer, using zone.rs for what lies where
//!      -> wire.rs   Answer -> bytes
//!      -> client.rs [I/O] for Answer::Forward: the upstream servers that resolv.rs found, with a deadline
//! ```
//!
//! A name is answered from the registry alone: what a guest calls itself is never heard.

pub mod answer;
mod client;
#[cfg(test)]
mod fixture;
mod resolv;
pub mod serve;
pub mod wire;
pub mod zone;

pub use answer::{Answer, Question, answer};
pub use serve::{BindError, Protocol, Server, bind, bind_at};
