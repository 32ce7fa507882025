//! How a check of VMs looks to people. Pure.

use super::{NONE, age, columns};
use crate::control::CheckInfo;

/// A line for each VM, with what it comes to at the end.
pub(in crate::cli) fn checks(checks: &[CheckInfo]) -> String {
    let rows = checks.iter().map(|check| {
        let verdict = if check.problems.is_empty() {
            check.verdict.clone()
        } else {
            format!("{}: {}", check.verdict, check.problems.join("; "))
        };
        vec![
            check.name.clone(),
            check.ip.to_string(),
            check.state.clone(),
            check.arp.clone(),
            check.ping.clone(),
            check.dns.clone(),
            check.ssh.clone(),
            check.metadata_seconds_ago.map_or_else(|| NONE.to_owned(), age),
            verdict,
        ]
    });
    columns(
        &[
            "NAME", "IP", "STATE", "ARP", "PING", "DNS", "SSH", "METADATA", "VERDICT",
        ],
        rows,
    )
}
