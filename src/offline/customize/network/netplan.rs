//! netplan(5), which makes files for systemd-networkd or `NetworkManager` of its own.

use super::super::draft::{Draft, PRIVATE};
use crate::offline::root::RootError;

const FOLDER: &str = "/etc/netplan";
const OURS: &str = "90-seedbed.yaml";

/// Whether netplan is there, and what it makes files for: `renders` says whether one of those is started.
pub(super) fn is_used(draft: &Draft<'_>, renders: bool) -> Result<bool, RootError> {
    let is_there = [
        "/usr/sbin/netplan",
        "/usr/libexec/netplan/generate",
        "/lib/netplan/generate",
    ]
    .iter()
    .any(|path| draft.exists(path));
    Ok(is_there && (renders || !files(draft)?.is_empty()))
}

fn files(draft: &Draft<'_>) -> Result<Vec<String>, RootError> {
    let names = draft.root().list(FOLDER)?.into_iter();
    Ok(names
        .filter(|name| name.strip_suffix(".yaml").is_some())
        .collect())
}

pub(super) fn write(draft: &mut Draft<'_>, mac: &str) -> Result<(), RootError> {
    for name in files(draft)?.iter().filter(|name| *name != OURS) {
        let path = format!("{FOLDER}/{name}");
        let text = draft.text(&path)?.unwrap_or_default();
        // All files count together: one that names an interface of another machine would have the boot wait for it.
        if text
            .lines()
            .any(|line| line.trim_start().starts_with("ethernets:"))
        {
            draft.remove(&path);
        }
    }
    let text = format!(
        "# Written by seedbed.\nnetwork:\n  version: 2\n  ethernets:\n    seedbed:\n      match:\n        macaddress: \
         \"{mac}\"\n      dhcp4: true\n      dhcp-identifier: mac\n"
    );
    draft.put(&format!("{FOLDER}/{OURS}"), text, PRIVATE);
    Ok(())
}
