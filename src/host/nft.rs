//! Feeds text to `nft -f -`, which loads all of it or nothing.

use std::io;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::HostError;

/// Where nft is when the caller's PATH has no sbin, as that of an ordinary user on Debian.
const PLACES: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];

/// Loads a ruleset made by [`ruleset::text`](super::ruleset::text) in one transaction.
pub async fn load(text: &str) -> Result<(), HostError> {
    run(&["-f", "-"], text).await.map(drop)
}

/// Whether both our tables are there: `nft flush ruleset`, which some firewalls run when they start, takes them away.
pub async fn is_loaded() -> Result<bool, HostError> {
    let tables = list(&["list", "tables"]).await?;
    let there = |family: &str| {
        tables
            .lines()
            .any(|line| line.trim() == format!("table {family} seedbed"))
    };
    Ok(there("bridge") && there("ip"))
}

/// Runs nft to read something.
pub(super) async fn list(arguments: &[&str]) -> Result<String, HostError> {
    run(arguments, "").await
}

async fn run(arguments: &[&str], input: &str) -> Result<String, HostError> {
    let output = spawn(arguments, input).await.map_err(HostError::NoNft)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        // nft repeats each line in error with a marker below it: a few of them tell everything.
        Err(HostError::Nft(
            said.lines().take(6).collect::<Vec<_>>().join("\n"),
        ))
    }
}

async fn spawn(arguments: &[&str], input: &str) -> io::Result<Output> {
    let mut missing = io::Error::from(io::ErrorKind::NotFound);
    for place in PLACES {
        let mut command = Command::new(place);
        command.args(arguments).kill_on_drop(true);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match command.spawn() {
            Ok(mut child) => {
                let stdin = child.stdin.take();
                // nft reads all of its input before it says anything, so writing first can not block for ever; when it
                // ends early the pipe breaks, and what it said is worth more than that.
                if let Some(mut stdin) = stdin {
                    drop(stdin.write_all(input.as_bytes()).await);
                }
                return child.wait_with_output().await;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::namespace::{self, lab};
    use crate::host::ruleset::{self, Guarded, Segment};
    use crate::model::MacAddress;

    fn many(count: u16) -> Vec<Guarded> {
        let vm = |i: u16| {
            let [a, b] = i.to_be_bytes();
            Guarded {
                tap: format!("{a}tap-.{b}_x").parse().unwrap(),
                mac: MacAddress::new([0x52, 0x54, 0, 0, a, b]),
                address: std::net::Ipv4Addr::new(10, 77, a, b),
            }
        };
        (0..count).map(vm).collect()
    }

    #[test]
    fn the_ruleset_loads_and_is_replaced_whole() {
        namespace::inside(
            "host::nft::tests::the_ruleset_loads_and_is_replaced_whole",
            async |_| {
                let segment = Segment::of(&lab(), MacAddress::new([2, 0, 0, 0, 0, 1]));
                load("add table ip users_own\n").await.unwrap();
                assert!(!is_loaded().await.unwrap());
                for count in [0, 2, 500, 1] {
                    load(&ruleset::text(&many(count), std::slice::from_ref(&segment)))
                        .await
                        .unwrap();
                    assert!(is_loaded().await.unwrap());
                    let set = list(&["list", "set", "bridge", "seedbed", "tap_station"])
                        .await
                        .unwrap();
                    assert_eq!(set.matches(" . 10.77.").count(), usize::from(count), "{set}");
                }
                let before = list(&["-s", "list", "ruleset"]).await.unwrap();
                let broken = ruleset::text(&many(3), &[segment]) + "table ip seedbed { nonsense }\n";
                let error = load(&broken).await.unwrap_err().to_string();
                assert!(error.contains("nonsense"), "{error}");
                assert_eq!(list(&["-s", "list", "ruleset"]).await.unwrap(), before);
                assert!(before.contains("table ip users_own"), "{before}");
            },
        );
    }

    #[test]
    fn a_missing_nft_names_the_package() {
        let error = HostError::NoNft(io::ErrorKind::NotFound.into()).to_string();
        assert!(error.contains("install the package nftables"), "{error}");
    }
}
