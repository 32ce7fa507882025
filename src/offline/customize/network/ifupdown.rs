//! ifupdown, of Debian and (in another make) Alpine: interfaces(5).

use super::super::draft::{Draft, READABLE};
use super::super::system::Family;
use super::{NAMES, is_ethernet};
use crate::offline::root::RootError;

const FILE: &str = "/etc/network/interfaces";
const FOLDER: &str = "/etc/network/interfaces.d";
const OURS: &str = "seedbed";
const HEAD: &str = "# Written by seedbed.\n";

/// The words that begin a stanza, or are one.
const WORDS: [&str; 8] = [
    "iface",
    "mapping",
    "source",
    "source-directory",
    "rename",
    "template",
    "no-auto-down",
    "no-scripts",
];

pub(super) fn is_used(draft: &Draft<'_>) -> bool {
    let program = ["/sbin/ifup", "/usr/sbin/ifup", "/bin/ifup"];
    draft.exists("/etc/network") && program.iter().any(|path| draft.exists(path))
}

/// Takes out what Ethernet interfaces were told, wherever it stands.
pub(super) fn clear(draft: &mut Draft<'_>) -> Result<(), RootError> {
    let files = draft.root().list(FOLDER)?;
    let paths = files.iter().map(|name| format!("{FOLDER}/{name}"));
    for path in paths.chain([FILE.to_owned()]) {
        let Some(old) = draft.text(&path)? else { continue };
        if without_ethernet(&old) != old {
            draft.edit(&path, READABLE, without_ethernet)?;
        }
    }
    Ok(())
}

/// Has every name that the NIC can have ask DHCP: those that are not there are not waited for.
pub(super) fn write(draft: &mut Draft<'_>, family: Family) -> Result<(), RootError> {
    // Only Debian's has the word for interfaces that may be there; Alpine's kernel names the first one eth0.
    let (brought_up, names): (_, &[&str]) = match family {
        Family::Alpine => ("auto", &["eth0"]),
        _ => ("allow-hotplug", &NAMES),
    };
    let mut stanzas = String::from(HEAD);
    for name in names {
        for line in [brought_up, " ", name, "\niface ", name, " inet dhcp\n"] {
            stanzas.push_str(line);
        }
    }
    let main = draft.text(FILE)?.unwrap_or_default();
    if main.lines().any(sources_folder) {
        // Released patterns of `source-directory` take names of letters, digits, `_` and `-` alone, as ours is.
        draft.put(&format!("{FOLDER}/{OURS}"), stanzas, READABLE);
        return Ok(());
    }
    draft.edit(FILE, READABLE, |old| {
        let kept = old.replace(HEAD, "");
        let loopback = if kept
            .lines()
            .any(|line| line.split_whitespace().eq(["iface", "lo", "inet", "loopback"]))
        {
            ""
        } else {
            "auto lo\niface lo inet loopback\n"
        };
        let end = if kept.is_empty() || kept.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!("{kept}{end}{loopback}{stanzas}")
    })
}

/// Whether a line takes in all files of the folder.
fn sources_folder(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let (word, path) = (
        words.next(),
        words.next().unwrap_or_default().trim_end_matches('/'),
    );
    let path = path.strip_prefix("/etc/network/").unwrap_or(path);
    match word {
        Some("source-directory") => path == "interfaces.d",
        Some("source") => path == "interfaces.d/*",
        _ => false,
    }
}

/// A file without the stanzas of Ethernet interfaces, and without their names in lists of such.
fn without_ethernet(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut is_out, mut goes_on) = (false, false);
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let listed;
        let mut line = line;
        match words.as_slice() {
            // A line that the one before goes on in.
            _ if goes_on => {}
            ["iface", name, ..] => is_out = is_ethernet(name.split(':').next().unwrap_or_default()),
            [word, names @ ..] if *word == "auto" || word.starts_with("allow-") => {
                let others: Vec<_> = names.iter().copied().filter(|name| !is_ethernet(name)).collect();
                is_out = others.is_empty() && !names.is_empty();
                if others.len() < names.len() {
                    listed = format!("{word} {}", others.join(" "));
                    line = &listed;
                }
            }
            [word, ..] if WORDS.contains(word) => is_out = false,
            _ => {}
        }
        goes_on = line.trim_end().ends_with('\\');
        if !is_out || words.is_empty() || words.first().is_some_and(|word| word.starts_with('#')) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ethernet_interfaces_are_taken_out() {
        let old = "# The loopback network interface\nauto lo eth0\niface lo inet loopback\n\nallow-hotplug ens3\niface ens3 \
                   inet static\n\taddress 192.0.2.7/24\n\tup ip route add \\\n\t  192.0.2.0/24 via 192.0.2.1\n\nauto \
                   br0\niface br0 inet static\n\taddress 198.51.100.1/24\n\tbridge_ports none\nsource \
                   /etc/network/interfaces.d/*\n";
        let new = without_ethernet(old);
        assert_eq!(
            new,
            "# The loopback network interface\nauto lo\niface lo inet loopback\n\n\nauto br0\niface br0 inet static\n\taddress \
             198.51.100.1/24\n\tbridge_ports none\nsource /etc/network/interfaces.d/*\n"
        );
        assert_eq!(without_ethernet(&new), new);
    }

    #[test]
    fn the_folder_is_known_in_all_spellings() {
        for line in [
            "source /etc/network/interfaces.d/*",
            "source interfaces.d/*",
            "source-directory /etc/network/interfaces.d/",
            "source-directory interfaces.d",
        ] {
            assert!(sources_folder(line), "{line}");
        }
        assert!(!sources_folder("source /etc/network/interfaces.d/*.cfg"));
        assert!(!sources_folder("#source /etc/network/interfaces.d/*"));
    }
}
