//! As much of SSH's transport as shows who a server is: the greeting, and one key exchange (RFC 4253, RFC 5656, RFC 8731).
//!
//! ```text
//!   client.rs [I/O]   greets, exchanges keys, says goodbye
//!      -> wire.rs     strings, numbers, lists and packets
//!      -> exchange.rs what we propose, what the two agree on, and what a server signs
//!      -> signature.rs  whether it did
//! ```
//!
//! Nothing is encrypted and nobody logs in: the server proves that it has the private half of its host key, and that is all
//! that is asked. No secret of ours takes part.

pub mod client;
mod exchange;
mod signature;
mod wire;

use base64ct::{Base64Unpadded, Encoding as _};
use sha2::{Digest as _, Sha256};

/// A host key that a server has proved to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey(Vec<u8>);

impl HostKey {
    /// The SHA-256 of its data (RFC 4253 §6.6), which is its fingerprint.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// The fingerprint as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", Base64Unpadded::encode_string(&self.sha256()))
    }
}

/// Why a server did not show its host key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// What it sent is not what RFC 4253 has at this place.
    #[error("it does not speak SSH as RFC 4253 has it: {0}")]
    Malformed(&'static str),
    /// There is no algorithm that both know.
    #[error("no {0} that both know")]
    NothingInCommon(&'static str),
    /// The signature is not of the key it showed.
    #[error("it shows a host key whose private half it does not have")]
    NotItsKey,
    /// It ended the connection, with its own words.
    #[error("it ended the connection: {0}")]
    Ended(String),
}
