//! How the key ring looks to people. Pure.

use super::{NONE, columns};
use crate::control::KeyInfo;

/// The VMs that are named; of more, how many.
const NAMED: usize = 3;

/// The key ring as a table: a row for each key.
pub(in crate::cli) fn keys(ring: &[KeyInfo]) -> String {
    let rows = ring.iter().flat_map(|entry| {
        entry.keys.iter().map(|key| {
            let comment = if key.comment.is_empty() {
                NONE.to_owned()
            } else {
                key.comment.chars().filter(|c| !c.is_control()).collect()
            };
            vec![
                entry.name.clone(),
                entry.owner.clone().unwrap_or_else(|| NONE.to_owned()),
                key.kind.clone(),
                key.fingerprint.clone(),
                comment,
                used_by(&entry.used_by),
            ]
        })
    });
    columns(
        &["NAME", "OWNER", "TYPE", "FINGERPRINT", "COMMENT", "USED BY"],
        rows,
    )
}

fn used_by(vms: &[String]) -> String {
    match (vms.get(..NAMED), vms.len().saturating_sub(NAMED)) {
        (_, 0) if vms.is_empty() => NONE.to_owned(),
        (Some(first), more @ 1..) => format!("{} and {more} more", first.join(" ")),
        _ => vms.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_vms_the_first_are_named() {
        let vms: Vec<_> = (1..=5).map(|number| format!("web{number}")).collect();
        assert_eq!(used_by(&vms), "web1 web2 web3 and 2 more");
        assert_eq!(used_by(&vms[..3]), "web1 web2 web3");
        assert_eq!(used_by(&[]), "-");
    }
}
