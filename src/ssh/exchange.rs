//! One key exchange: what we propose, what the two agree on, and what the server signs (RFC 4253 §7, RFC 5656 §4). Pure, but
//! for the random numbers that a key of ours is made of.

use ring::agreement::{
    ECDH_P256, EphemeralPrivateKey, PublicKey, UnparsedPublicKey, X25519, agree_ephemeral,
};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;

use super::signature::{self, ALGORITHMS};
use super::wire::{Reader, put_mpint, put_string};
use super::{HostKey, Problem};

/// `SSH_MSG_KEXINIT`.
pub(super) const KEXINIT: u8 = 20;
/// `SSH_MSG_KEX_ECDH_INIT`.
const ECDH_INIT: u8 = 30;
/// `SSH_MSG_KEX_ECDH_REPLY`.
const ECDH_REPLY: u8 = 31;

/// The exchanges that can be made here; the second is the first by the name it had before RFC 8731.
const EXCHANGES: [&str; 3] = [
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
];
/// What would follow, and never does; a server that knows none of a kind ends the connection before it shows its key.
const CIPHERS: &str = "chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,\
                       aes256-gcm@openssh.com,aes128-cbc";
const MACS: &str =
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512,hmac-sha1";
const COMPRESSIONS: &str = "none,zlib@openssh.com";

/// What is proposed to a server whose key is expected to be of one of these types: those first, so that a server with
/// several keys shows one of them.
pub(super) fn proposal(cookie: [u8; 16], expected: &[&str]) -> Vec<u8> {
    let mut keys = ALGORITHMS.to_vec();
    keys.sort_by_key(|algorithm| !expected.contains(&signature::key_type(algorithm)));
    let mut out = vec![KEXINIT];
    out.extend(cookie);
    let (exchanges, keys) = (EXCHANGES.join(","), keys.join(","));
    let each_way = [CIPHERS, CIPHERS, MACS, MACS, COMPRESSIONS, COMPRESSIONS, "", ""];
    for names in [&*exchanges, &*keys].into_iter().chain(each_way) {
        put_string(&mut out, names.as_bytes());
    }
    // No guess follows; four octets are reserved.
    out.extend([0; 5]);
    out
}

/// What two proposals agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    exchange: String,
    key: String,
    /// Whether the server's next message is a wrong guess of it, to be left alone (RFC 4253 §7).
    pub(super) has_guessed_wrong: bool,
}

/// What the client's proposal and the server's agree on: the first of the client's that the server knows.
pub(super) fn agreed(ours: &[u8], theirs: &[u8]) -> Result<Agreed, Problem> {
    let (mut ours, mut theirs) = (lists(ours)?, lists(theirs)?);
    let mut common = |what| {
        let (our, their) = (ours.names()?, theirs.names()?);
        let found = our.iter().find(|name| their.contains(name));
        let found = found.ok_or(Problem::NothingInCommon(what))?;
        Ok(((*found).to_owned(), their.first() == our.first()))
    };
    let (exchange, same_exchange) = common("key exchange")?;
    let (key, same_key) = common("type of host key")?;
    for _ in 0..8 {
        theirs.string()?;
    }
    let guesses = theirs.octet()? != 0;
    Ok(Agreed {
        exchange,
        key,
        has_guessed_wrong: guesses && !(same_exchange && same_key),
    })
}

fn lists(proposal: &[u8]) -> Result<Reader<'_>, Problem> {
    let mut reader = Reader(proposal);
    if reader.octet()? != KEXINIT {
        return Err(Problem::Malformed("no proposal where one belongs"));
    }
    reader.octets(16)?;
    Ok(reader)
}

/// What the two have said before the exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    /// Their greetings, without the line end.
    pub(super) greetings: [&'a [u8]; 2],
    /// Their proposals.
    pub(super) proposals: [&'a [u8]; 2],
}

/// An exchange that has begun: our key of the moment.
pub(super) struct Begun {
    agreed: Agreed,
    private: EphemeralPrivateKey,
    public: PublicKey,
}

impl Begun {
    /// Makes a key of the moment.
    pub(super) fn new(agreed: Agreed) -> Result<Self, Problem> {
        let broken = |_| Problem::Malformed("the kernel gives no random numbers");
        let private =
            EphemeralPrivateKey::generate(algorithm(&agreed), &SystemRandom::new()).map_err(broken)?;
        let public = private.compute_public_key().map_err(broken)?;
        Ok(Self {
            agreed,
            private,
            public,
        })
    }

    /// The message that begins it.
    pub(super) fn message(&self) -> Vec<u8> {
        let mut out = vec![ECDH_INIT];
        put_string(&mut out, self.public.as_ref());
        out
    }

    /// The host key in the server's reply, when it is signed with its private half.
    pub(super) fn verified(self, said: Said<'_>, reply: &[u8]) -> Result<HostKey, Problem> {
        let mut reader = Reader(reply);
        if reader.octet()? != ECDH_REPLY {
            return Err(Problem::Malformed("no host key where one belongs"));
        }
        let (key, theirs, signed) = (reader.string()?, reader.string()?, reader.string()?);
        let mut heard = Vec::new();
        let before = said.greetings.into_iter().chain(said.proposals);
        for part in before.chain([key, self.public.as_ref(), theirs]) {
            put_string(&mut heard, part);
        }
        let peer = UnparsedPublicKey::new(algorithm(&self.agreed), theirs);
        agree_ephemeral(self.private, &peer, |shared| put_mpint(&mut heard, shared))
            .map_err(|_| Problem::Malformed("a public key that is none"))?;
        let hash = digest(&SHA256, &heard);
        signature::check(&self.agreed.key, key, hash.as_ref(), signed)?;
        Ok(HostKey(key.to_vec()))
    }
}

fn algorithm(agreed: &Agreed) -> &'static ring::agreement::Algorithm {
    if agreed.exchange == "ecdh-sha2-nistp256" {
        &ECDH_P256
    } else {
        &X25519
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(exchanges: &str, keys: &str, guesses: bool) -> Vec<u8> {
        let mut out = vec![KEXINIT];
        out.extend([7; 16]);
        for names in [exchanges, keys].into_iter().chain([""; 8]) {
            put_string(&mut out, names.as_bytes());
        }
        out.push(u8::from(guesses));
        out.extend([0; 4]);
        out
    }

    #[test]
    fn the_key_that_is_expected_is_asked_for_first() {
        let ours = proposal([1; 16], &["ssh-rsa"]);
        let theirs = server(
            "ecdh-sha2-nistp256,curve25519-sha256",
            "ssh-ed25519,rsa-sha2-256,rsa-sha2-512",
            false,
        );
        let found = agreed(&ours, &theirs).unwrap();
        assert_eq!(
            (&*found.exchange, &*found.key),
            ("curve25519-sha256", "rsa-sha2-512")
        );
        let ours = proposal([1; 16], &["ecdsa-sha2-nistp521"]);
        assert_eq!(agreed(&ours, &theirs).unwrap().key, "ssh-ed25519");
    }

    #[test]
    fn a_guess_counts_where_it_is_right_only() {
        let ours = proposal([1; 16], &[]);
        let guess = |exchange, key| {
            agreed(&ours, &server(exchange, key, true))
                .unwrap()
                .has_guessed_wrong
        };
        assert!(!guess("curve25519-sha256", "ssh-ed25519"));
        assert!(guess("ecdh-sha2-nistp256", "ssh-ed25519"));
        assert!(guess("curve25519-sha256", "rsa-sha2-512"));
    }

    #[test]
    fn servers_with_nothing_in_common_are_told_apart() {
        let ours = proposal([1; 16], &[]);
        let refused = |exchange, key| agreed(&ours, &server(exchange, key, false)).unwrap_err();
        assert_eq!(
            refused("diffie-hellman-group1-sha1", "ssh-ed25519"),
            Problem::NothingInCommon("key exchange")
        );
        assert_eq!(
            refused("curve25519-sha256", "ssh-dss"),
            Problem::NothingInCommon("type of host key")
        );
    }

    proptest! {
        #[test]
        fn any_proposal_and_any_reply_is_understood_or_refused(
            theirs in proptest::collection::vec(any::<u8>(), 0..200),
            reply in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let ours = proposal([1; 16], &[]);
            drop(agreed(&ours, &theirs));
            let begun = Begun::new(agreed(&ours, &server("curve25519-sha256", "ssh-ed25519", false)).unwrap()).unwrap();
            let said = Said { greetings: [b"SSH-2.0-a", b"SSH-2.0-b"], proposals: [&ours, &theirs] };
            prop_assert!(begun.verified(said, &reply).is_err());
        }
    }
}
