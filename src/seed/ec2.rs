//! The tree of EC2's metadata service: one table of leaves, from which the listings are made too (guest-contract §3.1).
//!
//! A name that a listing has and nothing answers to makes cloud-init give up after five tries, so no listing is written by
//! hand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::facts::Facts;
use crate::model::{Vm, mac};

/// The versions of Amazon's service: each client asks for the one that it was written with, and takes 404 for an answer.
#[rustfmt::skip]
pub const VERSIONS: [&str; 29] = [
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
    "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19",
    "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03",
    "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11", "latest",
];

/// What has to be there for clients that are made for Amazon, and says that this is not it. Some cut the last letter off
/// the zone for the region.
const REGION: &str = "local";
const ZONE: &str = "locala";

/// What there is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A value.
    Leaf(String),
    /// The names in a directory, one a line; a directory's ends with a slash.
    Listing(String),
}

/// EC2's name of an instance: `i-` and twelve digits of its UUID. cirros takes no other for one.
pub fn instance_id(vm: &Vm) -> String {
    let digits = vm.uuid.simple().to_string();
    format!("i-{}", digits.get(..12).unwrap_or(&digits))
}

/// What there is below `/VERSION/meta-data/` or `/VERSION/dynamic/`, by the segments of the path from there.
pub fn find(facts: &Facts, vm: &Vm, path: &[&str]) -> Option<Found> {
    // The names of keys are listed in a way of their own: `0=key-0`, and asked for by their number.
    if path == ["meta-data", "public-keys"] {
        let lines: Vec<_> = (0..facts.keys.len())
            .map(|number| format!("{number}=key-{number}"))
            .collect();
        return (!lines.is_empty()).then(|| Found::Listing(lines.join("\n")));
    }
    let leaves = leaves(facts, vm);
    let wanted = path.join("/");
    if let Some(leaf) = leaves.get(&wanted) {
        return Some(Found::Leaf(leaf.clone()));
    }
    let names: BTreeSet<&str> = leaves
        .keys()
        .filter_map(|leaf| {
            let below = leaf.strip_prefix(&wanted)?.strip_prefix('/')?;
            // A directory's name keeps its slash.
            below.split_inclusive('/').next()
        })
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    (!names.is_empty()).then(|| Found::Listing(names.join("\n")))
}

/// All values, by the path below the version.
pub fn leaves(facts: &Facts, vm: &Vm) -> BTreeMap<String, String> {
    let id = instance_id(vm);
    let document = json!({
        "instanceId": id,
        "region": REGION,
        "availabilityZone": ZONE,
        "privateIp": facts.address,
    });
    let plain = [
        ("ami-id", "ami-seedbed"),
        ("ami-launch-index", "0"),
        ("hostname", &facts.fqdn),
        ("instance-id", &id),
        ("instance-type", "seedbed"),
        ("local-hostname", &facts.fqdn),
        ("local-ipv4", &facts.address),
        ("mac", &facts.mac),
        ("placement/availability-zone", ZONE),
    ];
    let plain = plain.map(|(name, value)| (format!("meta-data/{name}"), value.to_owned()));
    let nics = vm.nics().enumerate().flat_map(|(number, nic)| {
        let mac = mac::text(nic.mac);
        let path = format!("meta-data/network/interfaces/macs/{mac}");
        let leaves = [
            ("device-number", number.to_string()),
            ("local-hostname", facts.fqdn.clone()),
            ("local-ipv4s", nic.address.to_string()),
            ("mac", mac),
        ];
        leaves.map(|(name, value)| (format!("{path}/{name}"), value))
    });
    let keys = (0..)
        .zip(&facts.keys)
        .map(|(number, key): (u32, _)| (format!("meta-data/public-keys/{number}/openssh-key"), key.clone()));
    let identity = (
        "dynamic/instance-identity/document".to_owned(),
        document.to_string(),
    );
    plain
        .into_iter()
        .chain(nics)
        .chain(keys)
        .chain([identity])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::tests::{network, vm};

    /// Walks the tree as a client does: every name that is listed is asked for.
    fn crawl(facts: &Facts, vm: &Vm, path: &[&str], leaves: &mut Vec<String>) {
        let found = find(facts, vm, path).unwrap_or_else(|| panic!("{path:?} is listed and not there"));
        let Found::Listing(names) = found else {
            return leaves.push(path.join("/"));
        };
        for name in names.lines() {
            let name = name.split('=').next().unwrap().trim_end_matches('/');
            crawl(facts, vm, &[path, &[name]].concat(), leaves);
        }
    }

    #[test]
    fn everything_that_is_listed_is_there() {
        let (vm, network) = (vm("web1", "10.77.0.5"), network("10.77.0.1/24"));
        for keys in [
            Vec::new(),
            vec!["ssh-ed25519 AAAA a".to_owned(), "ssh-ed25519 BBBB b".to_owned()],
        ] {
            let facts = Facts {
                keys: keys.clone(),
                ..Facts::of(&vm, &network, None)
            };
            let mut leaves = Vec::new();
            for top in ["meta-data", "dynamic"] {
                crawl(&facts, &vm, &[top], &mut leaves);
            }
            assert_eq!(leaves.len(), 9 + 4 + keys.len() + 1, "{leaves:?}");
        }
    }

    #[test]
    fn each_nic_has_a_directory_by_its_mac() {
        let (vm, network) = (vm("web1", "10.77.0.5"), network("10.77.0.1/24"));
        let vm = crate::model::examples::with_nic(vm, "back", "10.78.0.5");
        let leaves = leaves(&Facts::of(&vm, &network, None), &vm);
        for nic in vm.nics() {
            let path = format!(
                "meta-data/network/interfaces/macs/{}/local-ipv4s",
                mac::text(nic.mac)
            );
            assert_eq!(leaves[&path], nic.address.to_string());
        }
    }

    #[test]
    fn names_of_directories_end_with_a_slash_and_keys_are_listed_by_number() {
        let (vm, network) = (vm("web1", "10.77.0.5"), network("10.77.0.1/24"));
        let facts = Facts::of(&vm, &network, None);
        let Some(Found::Listing(top)) = find(&facts, &vm, &["meta-data"]) else {
            panic!("no listing")
        };
        assert!(
            top.lines().any(|line| line == "placement/") && top.lines().any(|line| line == "public-keys/")
        );
        let keys = find(&facts, &vm, &["meta-data", "public-keys"]).unwrap();
        assert_eq!(keys, Found::Listing("0=key-0".to_owned()));
        assert_eq!(find(&facts, &vm, &["meta-data", "hostname", "x"]), None);
        assert_eq!(find(&facts, &vm, &["meta-data", "host"]), None);
    }

    #[test]
    fn an_instance_id_is_one_that_cirros_takes() {
        let id = instance_id(&vm("web1", "10.77.0.5"));
        assert_eq!(id, "i-7573fe52e13e");
    }
}
