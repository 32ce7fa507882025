//! DNS on the bridge: the names of the VMs from the registry, and forwarding for everything else.
//!
//! ```text
//!   socket.rs [I/O]  datagrams, in batches          serve.rs [I/O]  messages of TCP connections
//!      -> fast.rs    the common questions, bytes to bytes; must say what the way below says
//!      -> limit.rs   how much one asker may ask of what costs more
//!      -> wire.rs    bytes -> Question          (hickory's types stop there, in screen.rs and in client.rs)
//!      -> answer.rs  Directory + Network + Question -> Response, using view.rs and zone.rs for what lies where
//!      -> wire.rs    Response -> bytes
//!      -> transfer.rs for a whole zone, from zone/records.rs
//!      -> client.rs [I/O] for Answer::Forward: the upstream servers that resolv.rs found, with a deadline
//!      -> screen.rs  what of their answer is passed on
//!   inquiry.rs       the asker's side of wire.rs, for who wants to see what is answered
//! ```
//!
//! A name is answered from the registry alone: what a guest calls itself is never heard.

pub mod answer;
mod circles;
mod client;
pub mod data;
mod encode;
pub mod fast;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile_tests;
pub mod inquiry;
pub mod limit;
mod resolv;
mod screen;
pub mod serve;
mod socket;
pub mod transfer;
mod view;
pub mod wire;
pub mod zone;

pub use answer::{Answer, Question, Response, answer};
pub use serve::{BindError, Protocol, Server, bind, bind_at};
