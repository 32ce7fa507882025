//! What on this host breaks guests: cheap looks at facts, each with what to do about it.

use std::fs;

use super::{Host, HostError, nft};
use crate::model::Network;

/// Something that will break guests, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong and what guests notice of it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// Looks at everything that concerns one network, once its bridge exists.
pub async fn check(host: &Host, network: &Network) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(spanning_tree(host, network).await);
    findings.extend(firewalls(network).await);
    findings
}

async fn spanning_tree(host: &Host, network: &Network) -> Option<Finding> {
    let bridge = &network.bridge;
    let link = host.bridge(bridge).await.ok()?;
    link.spanning_tree.then(|| Finding {
        problem: format!(
            "bridge `{bridge}` runs the spanning tree protocol: a VM's port passes nothing for up to 30 s after its start, \
             and its first DHCP requests are lost"
        ),
        remedy: format!("ip link set {bridge} type bridge stp_state 0"),
    })
}

/// A base chain of a firewall that drops what it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dropping {
    family: String,
    table: String,
    chain: String,
    hook: Hook,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hook {
    Input,
    Forward,
}

async fn firewalls(network: &Network) -> Vec<Finding> {
    let Ok(chains) = nft::list(&["-j", "list", "chains"]).await else {
        return vec![Finding {
            problem: "nft can not list the host's rules, so nothing is known of its firewall".into(),
            remedy: "install the package nftables, and run as root".into(),
        }];
    };
    let bridged =
        fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").is_ok_and(|v| v.trim() == "1");
    let mut findings = Vec::new();
    for chain in dropping(&chains) {
        // A table that names the bridge was told about it; what it says is its owner's business.
        let table = nft::list(&["list", "table", &chain.family, &chain.table]).await;
        if !mentions(table, network) {
            findings.push(firewall_finding(&chain, network, bridged));
        }
    }
    findings
}

fn mentions(table: Result<String, HostError>, network: &Network) -> bool {
    table.is_ok_and(|text| text.contains(&format!("\"{}\"", network.bridge)))
}

fn firewall_finding(chain: &Dropping, network: &Network, bridged: bool) -> Finding {
    let (bridge, subnet) = (&network.bridge, network.subnet);
    let Dropping {
        family,
        table,
        chain: name,
        hook,
    } = chain;
    let at = format!("{family} {table} {name}");
    let allow = |what: &str| format!("nft insert rule {at} {what} accept");
    match hook {
        Hook::Input => Finding {
            problem: format!(
                "the firewall chain `{at}` drops what it does not know, also DHCP, DNS and metadata requests on `{bridge}`"
            ),
            remedy: allow(&format!(
                "iifname {bridge} meta l4proto {{ tcp, udp }} th dport {{ 53, 67, 80 }}"
            )),
        },
        Hook::Forward => Finding {
            problem: format!(
                "the firewall chain `{at}` drops forwarded packets (Docker and ufw set it so): guests of {subnet} can not \
                 reach the world{}",
                if bridged {
                    ", nor each other, because br_netfilter sends bridged frames through it"
                } else {
                    ""
                }
            ),
            remedy: format!(
                "{} ; {}",
                allow(&format!("iifname {bridge}")),
                allow(&format!("oifname {bridge}"))
            ),
        },
    }
}

/// Reads `nft -j list chains`.
fn dropping(json: &str) -> Vec<Dropping> {
    let Ok(parsed) = serde_json::from_str::<serde_json::Value>(json) else {
        return Vec::new();
    };
    let Some(list) = parsed.get("nftables").and_then(serde_json::Value::as_array) else {
        return Vec::new();
    };
    list.iter()
        .filter_map(|item| dropping_chain(item.get("chain")?))
        .collect()
}

fn dropping_chain(chain: &serde_json::Value) -> Option<Dropping> {
    let text = |key: &str| chain.get(key).and_then(serde_json::Value::as_str);
    let hook = match text("hook")? {
        "input" => Hook::Input,
        "forward" => Hook::Forward,
        _ => return None,
    };
    let ours = matches!(text("family")?, "ip" | "inet") && text("policy")? == "drop";
    ours.then_some(())?;
    Some(Dropping {
        family: text("family")?.to_owned(),
        table: text("table")?.to_owned(),
        chain: text("name")?.to_owned(),
        hook,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::namespace::{self, ip, lab};
    use std::process::Command;

    #[test]
    fn a_host_that_is_fine_has_no_findings() {
        namespace::inside(
            "host::doctor::tests::a_host_that_is_fine_has_no_findings",
            async |host| {
                host.ensure_bridge(&lab()).await.unwrap();
                assert_eq!(check(&host, &lab()).await, []);
            },
        );
    }

    #[test]
    fn a_firewall_that_drops_is_found_until_it_knows_the_bridge() {
        namespace::inside(
            "host::doctor::tests::a_firewall_that_drops_is_found_until_it_knows_the_bridge",
            async |host| {
                ip(&["link", "add", "lab0", "type", "bridge", "stp_state", "1"]);
                host.ensure_bridge(&lab()).await.unwrap();
                let docker = "table ip filter {\n\
                              chain FORWARD { type filter hook forward priority 0; policy drop; }\n\
                              chain INPUT { type filter hook input priority 0; policy drop; }\n}\n";
                nft::load(docker).await.unwrap();
                let found = check(&host, &lab()).await;
                let said: Vec<&str> = found.iter().map(|f| f.problem.as_str()).collect();
                assert_eq!(said.len(), 3, "{said:?}");
                assert!(said[0].contains("spanning tree"), "{said:?}");
                assert!(
                    said.iter()
                        .any(|s| s.contains("`ip filter FORWARD` drops forwarded")),
                    "{said:?}"
                );
                assert!(
                    said.iter().any(|s| s.contains("also DHCP, DNS and metadata")),
                    "{said:?}"
                );
                // The remedies are commands that work.
                for finding in found {
                    for command in finding.remedy.split(" ; ") {
                        let words: Vec<&str> = command.split(' ').collect();
                        let done = Command::new(words[0]).args(&words[1..]).status().unwrap();
                        assert!(done.success(), "{command}");
                    }
                }
                assert_eq!(check(&host, &lab()).await, []);
            },
        );
    }
}
