//! systemd-resolved: which questions of this host go to a bridge's DNS server. By resolvectl(1), for a link as long as
//! the link and the service live.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::model::BridgeName;

/// How long resolvectl may take: it waits for a service that may hang.
const PATIENCE: Duration = Duration::from_secs(10);
/// The service's own directory: there since it was started first.
const RUN: &str = "/run/systemd/resolve";

/// Why resolved was not told.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// The program can not be run.
    #[error("can not run {}: {source}", program.display())]
    NoProgram {
        /// Which.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ran, and refused.
    #[error("resolvectl {command}: {said}")]
    Refused {
        /// What was asked.
        command: String,
        /// What it said.
        said: String,
    },
}

/// What resolved is to know of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkDns {
    /// The bridge.
    pub bridge: BridgeName,
    /// The server that is asked.
    pub server: Ipv4Addr,
    /// The domains it is asked for, and short names are looked for in.
    pub search: String,
    /// The domains it is asked for only.
    pub routes: Vec<String>,
}

impl LinkDns {
    /// As resolvectl takes them: a domain that is no search domain has a `~` before it.
    fn domains(&self) -> Vec<String> {
        let routes = self.routes.iter().map(|route| format!("~{route}"));
        std::iter::once(self.search.clone()).chain(routes).collect()
    }
}

/// The way to resolved.
#[derive(Debug, Clone)]
pub struct Resolver {
    program: PathBuf,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            program: PathBuf::from("resolvectl"),
        }
    }
}

impl Resolver {
    /// Whether resolved was started on this host, and this host's programs ask it.
    pub fn is_used() -> bool {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Path::new(RUN).is_dir() && asks(&text("/etc/resolv.conf"), &text("/etc/nsswitch.conf"))
    }

    /// Tells resolved of a bridge, unless it knows; whether it had to be told.
    pub async fn set(&self, link: &LinkDns) -> Result<bool, ResolverError> {
        let (bridge, server) = (link.bridge.to_string(), link.server.to_string());
        let domains = link.domains();
        let mut known = self.ask("domain", &bridge).await?;
        let mut wanted = domains.clone();
        known.sort();
        wanted.sort();
        if known == wanted && self.ask("dns", &bridge).await? == [server.as_str()] {
            return Ok(false);
        }
        self.run(&["dns", &bridge, &server]).await?;
        let mut words = vec!["domain", bridge.as_str()];
        words.extend(domains.iter().map(String::as_str));
        self.run(&words).await?;
        // Questions for all other names never come here, and our answers are neither signed nor encrypted.
        self.run(&["default-route", &bridge, "no"]).await?;
        self.run(&["dnssec", &bridge, "no"]).await?;
        self.run(&["dnsovertls", &bridge, "no"]).await?;
        Ok(true)
    }

    /// Takes back what [`set`](Self::set) told, where it is still so; whether there was something.
    pub async fn revert(&self, bridge: &BridgeName, server: Ipv4Addr) -> Result<bool, ResolverError> {
        let bridge = bridge.to_string();
        if !Path::new(RUN).is_dir() || self.ask("dns", &bridge).await? != [server.to_string()] {
            return Ok(false);
        }
        self.run(&["revert", &bridge]).await.map(|_| true)
    }

    /// What resolved knows of a link: the words after `Link 5 (br0): `.
    async fn ask(&self, what: &str, bridge: &str) -> Result<Vec<String>, ResolverError> {
        let said = self.run(&[what, bridge]).await?;
        let words = said.split_once("): ").map_or("", |(_, words)| words);
        Ok(words.split_whitespace().map(str::to_owned).collect())
    }

    async fn run(&self, words: &[&str]) -> Result<String, ResolverError> {
        let refused = |said: String| ResolverError::Refused {
            command: words.join(" "),
            said,
        };
        let mut command = Command::new(&self.program);
        command.args(words).kill_on_drop(true).env("LC_ALL", "C");
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .map_err(|_| refused(format!("no answer within {} s", PATIENCE.as_secs())))?
            .map_err(|source| ResolverError::NoProgram {
                program: self.program.clone(),
                source,
            })?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(refused(said.trim().to_owned()))
        }
    }
}

/// Whether programs ask resolved: by its stub address in resolv.conf(5), or by its module in nsswitch.conf(5).
fn asks(resolv_conf: &str, nsswitch: &str) -> bool {
    let stub = resolv_conf.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("nameserver") && matches!(words.next(), Some("127.0.0.53" | "127.0.0.54"))
    });
    let module = nsswitch.lines().any(|line| {
        line.strip_prefix("hosts:")
            .is_some_and(|words| words.split_whitespace().any(|word| word == "resolve"))
    });
    stub || module
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn programs_ask_resolved_by_its_stub_or_by_its_module() {
        assert!(asks("# x\nnameserver 127.0.0.53\noptions edns0\n", ""));
        assert!(asks(
            "nameserver 9.9.9.9\n",
            "hosts: files resolve [!UNAVAIL=return] dns\n"
        ));
        assert!(!asks(
            "nameserver 9.9.9.9\n",
            "hosts: files dns\n#hosts: resolve\n"
        ));
    }

    /// A resolvectl that keeps what it is told, as the real one does, and writes down each call.
    const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >>calls
case "$1" in
    revert) rm -f dns domain ;;
    *) what=$1 link=$2; shift 2
       if [ $# -gt 0 ]; then echo "$*" >"$what"; else echo "Link 5 ($link): $(cat "$what" 2>/dev/null)"; fi ;;
esac
"#;

    #[tokio::test]
    async fn resolved_is_told_once_and_again_when_it_forgot() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("resolvectl");
        std::fs::write(&program, SCRIPT).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let resolver = Resolver { program };
        let link = LinkDns {
            bridge: "br0".parse().unwrap(),
            server: Ipv4Addr::new(10, 77, 0, 1),
            search: "lab".to_owned(),
            routes: vec!["0.77.10.in-addr.arpa".to_owned()],
        };
        assert!(resolver.set(&link).await.unwrap());
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(
            calls.lines().collect::<Vec<_>>(),
            [
                "domain br0",
                "dns br0 10.77.0.1",
                "domain br0 lab ~0.77.10.in-addr.arpa",
                "default-route br0 no",
                "dnssec br0 no",
                "dnsovertls br0 no",
            ]
        );
        assert!(!resolver.set(&link).await.unwrap());
        std::fs::remove_file(folder.path().join("dns")).unwrap();
        assert!(resolver.set(&link).await.unwrap());
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let resolver = Resolver {
            program: PathBuf::from("/nowhere/resolvectl"),
        };
        let error = resolver.run(&["dns"]).await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/resolvectl"), "{error}");
    }
}
