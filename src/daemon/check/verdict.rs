//! What the probes of one VM mean together. Pure.
//!
//! A VM that should be up is well when it is seen on the wire as itself, its names lead to it, and its SSH server has the host
//! key it is known by. What a VM never had is not missed: without a host key that is known, no SSH server is expected; and a
//! firewall inside it may swallow pings.

use crate::model::{MacAddress, mac};

/// What is expected of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// It runs, or someone else runs it.
    Up,
    /// It was powered on a moment ago, and is not ready yet.
    Booting,
    /// It does not run, and that is its state's word.
    Down(&'static str),
    /// It failed, or a disk of it did: what happened, in a sentence.
    Failed(String),
}

/// What a way of asking brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen<T> {
    /// Nobody was asked: the VM is not on a bridge of this host, or does not run.
    NotAsked,
    /// No answer.
    Silent,
    /// An answer.
    Answered(T),
}

/// What the SSH port brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ssh {
    /// Nobody was asked.
    NotAsked,
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    Silent,
    /// Something answers that is no SSH server, or ended the connection: why.
    Broken(String),
    /// It has the key that the VM is known by.
    Right,
    /// It has another key, of this fingerprint.
    OtherKey(String),
    /// It greets, and no key is known that it could have.
    Unknown,
}

/// All that was seen of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// What is expected of it.
    pub(super) expected: Expected,
    /// The hardware address it is registered with.
    pub(super) mac: MacAddress,
    /// Whether its SSH host key is known.
    pub(super) has_host_key: bool,
    /// Which hardware addresses answer for its address.
    pub(super) arp: Seen<Vec<MacAddress>>,
    /// Whether it answers an ICMP echo.
    pub(super) ping: Seen<()>,
    /// What is wrong with its names, each a sentence; none where they are right.
    pub(super) dns: Seen<Vec<String>>,
    /// Its SSH server.
    pub(super) ssh: Ssh,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `ok`, `wrong`, `booting`, or the state's word of a VM that does not run.
    pub(super) word: &'static str,
    /// What is wrong, a sentence each.
    pub(super) problems: Vec<String>,
}

/// Judges.
pub(super) fn judge(facts: &Facts) -> Verdict {
    let mut problems = Vec::new();
    if let Expected::Failed(why) = &facts.expected {
        problems.push(why.clone());
    }
    problems.extend(strangers(facts));
    match &facts.dns {
        Seen::NotAsked => {}
        Seen::Silent => problems.push("Seedbed's DNS server does not answer".to_owned()),
        Seen::Answered(wrong) => problems.extend(wrong.iter().cloned()),
    }
    if let Ssh::OtherKey(fingerprint) = &facts.ssh {
        problems.push(format!(
            "its SSH server has a host key that is not the VM's: {fingerprint}"
        ));
    }
    if facts.expected == Expected::Up {
        problems.extend(silence(facts));
    }
    let word = match &facts.expected {
        _ if !problems.is_empty() => "wrong",
        Expected::Up => "ok",
        Expected::Booting if facts.arp != Seen::Silent && facts.ssh == Ssh::Right => "ok",
        Expected::Booting => "booting",
        Expected::Down(word) => word,
        Expected::Failed(_) => "wrong",
    };
    Verdict { word, problems }
}

/// Who else answers for its address.
fn strangers(facts: &Facts) -> Option<String> {
    let Seen::Answered(macs) = &facts.arp else {
        return None;
    };
    let others: Vec<_> = macs
        .iter()
        .filter(|other| **other != facts.mac)
        .map(|other| mac::text(*other))
        .collect();
    if others.is_empty() {
        return None;
    }
    let has_own = macs.contains(&facts.mac);
    let how = match &facts.expected {
        Expected::Down(_) | Expected::Failed(_) => "though it does not run",
        _ if has_own => "beside it",
        _ => "instead of it",
    };
    Some(format!("{} answers for its address, {how}", others.join(" and ")))
}

/// What of a VM that is up should have answered: the first that is missing tells all.
fn silence(facts: &Facts) -> Option<String> {
    let answers_ssh = matches!(
        facts.ssh,
        Ssh::Right | Ssh::OtherKey(_) | Ssh::Unknown | Ssh::Broken(_)
    );
    let is_seen = answers_ssh || facts.ping == Seen::Answered(()) || facts.ssh == Ssh::Refused;
    if facts.arp == Seen::Silent && !is_seen {
        return Some("nobody answers for its address".to_owned());
    }
    if facts.has_host_key {
        return match &facts.ssh {
            Ssh::Refused => Some("its SSH server does not run: the port is closed".to_owned()),
            Ssh::Silent => Some("its SSH server does not answer".to_owned()),
            Ssh::Broken(why) => Some(format!("its SSH port answers, but {why}")),
            Ssh::NotAsked | Ssh::Right | Ssh::OtherKey(_) | Ssh::Unknown => None,
        };
    }
    (!is_seen && facts.ping == Seen::Silent).then(|| "it answers neither ping nor SSH".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
    const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 2];

    /// A VM that is up and well.
    fn well() -> Facts {
        Facts {
            expected: Expected::Up,
            mac: MacAddress::new(OWN),
            has_host_key: true,
            arp: Seen::Answered(vec![MacAddress::new(OWN)]),
            ping: Seen::Answered(()),
            dns: Seen::Answered(vec![]),
            ssh: Ssh::Right,
        }
    }

    fn word(facts: &Facts) -> (&'static str, String) {
        let verdict = judge(facts);
        (verdict.word, verdict.problems.join("; "))
    }

    #[test]
    fn what_was_never_there_is_not_missed() {
        assert_eq!(word(&well()), ("ok", String::new()));
        let printer = Facts {
            has_host_key: false,
            ssh: Ssh::Refused,
            ..well()
        };
        assert_eq!(word(&printer).0, "ok");
        let firewalled = Facts {
            ping: Seen::Silent,
            ..well()
        };
        assert_eq!(word(&firewalled).0, "ok");
        let elsewhere = Facts {
            arp: Seen::NotAsked,
            dns: Seen::NotAsked,
            ..well()
        };
        assert_eq!(word(&elsewhere).0, "ok");
    }

    #[test]
    fn a_dead_vm_has_one_problem_and_not_four() {
        let dead = Facts {
            arp: Seen::Silent,
            ping: Seen::Silent,
            ssh: Ssh::Silent,
            ..well()
        };
        assert_eq!(
            word(&dead),
            ("wrong", "nobody answers for its address".to_owned())
        );
        let deaf = Facts {
            has_host_key: false,
            ping: Seen::Silent,
            ssh: Ssh::Silent,
            ..well()
        };
        assert_eq!(
            word(&deaf),
            ("wrong", "it answers neither ping nor SSH".to_owned())
        );
    }

    #[test]
    fn an_ssh_server_that_was_there_is_missed() {
        for (ssh, says) in [
            (Ssh::Refused, "its SSH server does not run: the port is closed"),
            (Ssh::Silent, "its SSH server does not answer"),
            (
                Ssh::OtherKey("SHA256:x".to_owned()),
                "its SSH server has a host key that is not the VM's: SHA256:x",
            ),
            (
                Ssh::Broken("it ended the connection: no".to_owned()),
                "its SSH port answers, but it ended the connection: no",
            ),
        ] {
            assert_eq!(word(&Facts { ssh, ..well() }), ("wrong", says.to_owned()));
        }
    }

    #[test]
    fn who_takes_an_address_is_named() {
        let answered_by = |macs: &[[u8; 6]], expected| {
            let facts = Facts {
                expected,
                arp: Seen::Answered(macs.iter().copied().map(MacAddress::new).collect()),
                ..well()
            };
            word(&facts)
        };
        for (macs, expected, how) in [
            (&[OTHER][..], Expected::Up, "instead of it"),
            (&[OWN, OTHER], Expected::Up, "beside it"),
            (&[OTHER], Expected::Down("stopped"), "though it does not run"),
        ] {
            let says = format!("52:54:00:00:00:02 answers for its address, {how}");
            assert_eq!(answered_by(macs, expected), ("wrong", says));
        }
    }

    #[test]
    fn a_vm_that_boots_or_does_not_run_is_not_expected_to_answer() {
        let silent = |expected| Facts {
            expected,
            arp: Seen::Silent,
            ping: Seen::Silent,
            ssh: Ssh::Silent,
            ..well()
        };
        assert_eq!(word(&silent(Expected::Booting)), ("booting", String::new()));
        assert_eq!(
            word(&silent(Expected::Down("stopped"))),
            ("stopped", String::new())
        );
        let failed = silent(Expected::Failed("it failed: signal 9".to_owned()));
        assert_eq!(word(&failed), ("wrong", "it failed: signal 9".to_owned()));
        let wrong_name = Facts {
            dns: Seen::Answered(vec!["web1.lab is 10.0.0.1".to_owned()]),
            ..silent(Expected::Down("stopped"))
        };
        assert_eq!(word(&wrong_name).0, "wrong");
    }
}
