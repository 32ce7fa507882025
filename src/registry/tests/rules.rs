//! The rules of single changes.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::change::Effect;
use super::super::refusal::Refusal;
use super::*;
use crate::model::workshop::{Family, Install, Work};
use crate::model::{FirstBoot, Workshop, identity, mac};
use crate::registry::apply;

/// The directory after these changes, each of which must be allowed.
pub(super) fn after(changes: impl IntoIterator<Item = Change>) -> Directory {
    let start = Directory::of([lab()]);
    changes.into_iter().fold(start, |directory, change| {
        effect(&directory, change).batch.on(&directory)
    })
}

fn two_networks() -> Directory {
    Directory::of([lab(), network("office", "10.88.0.1/28", None)])
}

pub(super) fn effect(directory: &Directory, change: Change) -> Effect {
    apply(directory, change, NOW).unwrap_or_else(|refusal| panic!("{refusal}"))
}

pub(super) fn refusal(directory: &Directory, change: Change) -> Refusal {
    match apply(directory, change, NOW) {
        Err(refusal) => refusal,
        Ok(effect) => panic!("accepted: {effect:?}"),
    }
}

fn with_mac(text: &str, address: &str) -> NewVm {
    NewVm {
        mac: Some(mac::parse(address).unwrap()),
        ..new(text)
    }
}

fn addresses(effect: &Effect) -> Vec<String> {
    effect.vms.iter().map(|vm| vm.address.to_string()).collect()
}

#[test]
fn what_is_not_chosen_is_derived_from_the_name() {
    let done = effect(&after([]), register([new("web1")]));
    let vm = &done.vms[0];
    assert_eq!(vm.address, ip("10.77.0.10"));
    assert_eq!(vm.mac, identity::mac(&name("web1"), 0));
    assert_eq!(vm.uuid, identity::uuid(&name("web1")));
    assert_eq!(vm.tap, identity::tap(&name("web1"), 0));
    assert_eq!((vm.network.as_str(), vm.created), ("lab", NOW));
}

#[test]
fn a_system_is_installed_for_an_image_that_is_not_there_yet() {
    let install = Work::Install(Install {
        family: Family::Debian,
        cmdline: String::new(),
        default_user: "debian".to_owned(),
        has_media: true,
        answers: None,
    });
    let new = || {
        let mut new = managed("install-base", "base");
        if let Hosting::Managed(machine) = &mut new.hosting {
            machine.workshop = Some(Box::new(Workshop {
                image: "base".parse().unwrap(),
                work: install.clone(),
            }));
        }
        new
    };
    let vm = Arc::clone(&effect(&after([]), register([new()])).vms[0]);
    assert!(vm.install().is_some());
    let there = after([put_image(image("base"))]);
    assert!(matches!(
        refusal(&there, register([new()])),
        Refusal::ImageExists { .. }
    ));
}

#[test]
fn the_lowest_free_address_of_the_pool_is_given() {
    let directory = after([
        register([at("b", "10.77.0.11"), new("a"), new("c"), new("d")]),
        Change::Delete {
            names: vec![name("b"), name("c")],
        },
    ]);
    assert_eq!(
        addresses(&effect(&directory, register([new("e"), new("f"), new("g")]))),
        ["10.77.0.11", "10.77.0.12", "10.77.0.14"]
    );
}

#[test]
fn a_derived_address_never_takes_what_a_later_row_chose() {
    let done = effect(&after([]), register([new("a"), at("b", "10.77.0.10")]));
    assert_eq!(addresses(&done), ["10.77.0.11", "10.77.0.10"]);
    let taken = mac::text(identity::mac(&name("a"), 0));
    let done = effect(&after([]), register([new("a"), with_mac("b", &taken)]));
    assert_eq!(done.vms[0].mac, identity::mac(&name("a"), 1));
}

#[test]
fn the_gateway_is_never_given_away() {
    let mut vm = new("a");
    vm.network = Some("office".parse().unwrap());
    let done = effect(&two_networks(), register([vm]));
    assert_eq!(addresses(&done), ["10.88.0.2"]);
}

#[test]
fn a_taken_name_mac_or_address_is_refused_with_its_holder() {
    let directory = after([register([with_mac("web1", "52:54:00:00:00:01")])]);
    for (vm, says) in [
        (new("web1"), "a VM named web1 is registered already"),
        (
            with_mac("web2", "52-54-00-00-00-01"),
            "MAC address 52:54:00:00:00:01 is web1's: web2 needs another",
        ),
        (
            at("web2", "10.77.0.10"),
            "address 10.77.0.10 is web1's: web2 needs another",
        ),
    ] {
        let refusal = refusal(&directory, register([new("other"), vm.clone()]));
        assert_eq!(refusal.to_string(), says);
        assert_eq!(refusal.about(), Some(&vm.name));
    }
}

#[test]
fn two_rows_of_one_change_can_not_claim_the_same() {
    for (rows, says) in [
        ([new("a"), new("a")], "a is listed twice"),
        (
            [at("a", "10.77.0.9"), at("b", "10.77.0.9")],
            "address 10.77.0.9 is a's: b needs another",
        ),
        (
            [
                with_mac("a", "52:54:00:00:00:01"),
                with_mac("b", "52:54:00:00:00:01"),
            ],
            "MAC address 52:54:00:00:00:01 is a's: b needs another",
        ),
    ] {
        assert_eq!(refusal(&after([]), register(rows)).to_string(), says);
    }
}

#[test]
fn an_address_that_a_vm_can_not_have_is_refused() {
    for (address, says) in [
        ("10.78.0.5", "outside 10.77.0.0/24"),
        ("10.77.0.0", "network address"),
        ("10.77.0.255", "broadcast address"),
        ("10.77.0.1", "gateway"),
    ] {
        let text = refusal(&after([]), register([at("web1", address)])).to_string();
        assert!(text.starts_with("web1: ") && text.contains(says), "{text}");
    }
    let mut multicast = new("web1");
    multicast.mac = Some(mac::MacAddress::new([1, 0, 0x5e, 0, 0, 1]));
    assert!(matches!(
        refusal(&after([]), register([multicast])),
        Refusal::Mac { .. }
    ));
}

#[test]
fn a_full_pool_is_refused_but_addresses_outside_of_it_can_be_chosen() {
    let directory = after([register((0..10).map(|index| new(&format!("v{index}"))))]);
    let text = refusal(&directory, register([new("late")])).to_string();
    assert!(
        text.contains("network lab has no free address left for late in its pool 10.77.0.10-10.77.0.19"),
        "{text}"
    );
    assert_eq!(
        addresses(&effect(&directory, register([at("late", "10.77.0.200")]))),
        ["10.77.0.200"]
    );
}

#[test]
fn an_unknown_network_is_refused_with_those_there_are() {
    let mut vm = new("a");
    vm.network = Some("dmz".parse().unwrap());
    let text = refusal(&two_networks(), register([vm])).to_string();
    assert_eq!(
        text,
        "a: there is no network dmz; the configuration has lab, office"
    );
    assert!(matches!(
        refusal(&Directory::default(), register([new("a")])),
        Refusal::NoNetwork { .. }
    ));
}

#[test]
fn which_of_several_networks_is_meant_is_told_by_the_address_and_never_guessed() {
    let several = two_networks();
    for vm in [new("web1"), at("web1", "10.99.0.5")] {
        let refusal = refusal(&several, register([vm]));
        assert_eq!(
            refusal.to_string(),
            "web1: there are several networks (lab, office): say which with --network"
        );
        assert_eq!(refusal.about(), Some(&name("web1")));
    }
    let told = effect(&several, register([at("a", "10.88.0.9"), at("b", "10.77.0.9")]));
    let networks: Vec<_> = told.vms.iter().map(|vm| vm.network.as_str()).collect();
    assert_eq!(networks, ["office", "lab"]);
}

#[test]
fn deleting_frees_the_address_at_once_and_is_all_or_none() {
    let directory = after([register([new("a"), new("b")])]);
    let unknown = refusal(
        &directory,
        Change::Delete {
            names: ["a", "x", "y"].map(name).to_vec(),
        },
    );
    assert_eq!(unknown.to_string(), "no VM named x, y is registered");
    let done = effect(
        &directory,
        Change::Delete {
            names: vec![name("a"), name("a")],
        },
    );
    assert_eq!(done.vms.len(), 1);
    let next = done.batch.on(&directory);
    assert_eq!(addresses(&effect(&next, register([new("c")]))), ["10.77.0.10"]);
}

#[test]
fn a_managed_vm_needs_its_image_and_a_disk_that_holds_it() {
    let none = after([]);
    assert!(refusal(&none, register([managed("a", "debian-12")])).is_not_found());
    let directory = after([put_image(image("debian-12"))]);
    let mut small = managed("a", "debian-12");
    if let Hosting::Managed(machine) = &mut small.hosting {
        machine.disk = Bytes::gib(1);
    }
    let text = refusal(&directory, register([small])).to_string();
    assert_eq!(
        text,
        "a: a disk of 1GiB is smaller than image debian-12@1, which has 2GiB"
    );
}

#[test]
fn an_image_with_clones_can_be_neither_removed_nor_replaced() {
    let clones = (0..7).map(|index| managed(&format!("v{index}"), "base"));
    let directory = after([put_image(image("base")), register(clones)]);
    let text = refusal(&directory, remove_image("base@1")).to_string();
    assert!(
        text.contains("image base@1 is in use: v0, v1, v2, v3, v4 and 2 more"),
        "{text}"
    );
    let other = Image {
        sha256: "cd".repeat(32),
        ..image("base")
    };
    assert!(matches!(
        refusal(&directory, put_image(other)),
        Refusal::ImageInUse { .. }
    ));
    let renamed_user = Image {
        default_user: "admin".to_owned(),
        ..image("base")
    };
    assert_eq!(
        effect(&directory, put_image(renamed_user)).batch.put_images.len(),
        1
    );
    assert!(refusal(&directory, remove_image("x@1")).is_not_found());
}

#[test]
fn a_launch_is_noted_once() {
    let directory = after([
        put_image(image("base")),
        register([managed("a", "base"), new("b")]),
    ]);
    let done = effect(&directory, Change::Launched { name: name("a") });
    assert_eq!(
        done.vms[0].machine().map(|machine| machine.phase),
        Some(Phase::Launched)
    );
    let next = done.batch.on(&directory);
    assert!(
        effect(&next, Change::Launched { name: name("a") })
            .batch
            .is_empty()
    );
    assert!(matches!(
        refusal(&next, Change::Launched { name: name("b") }),
        Refusal::External { .. }
    ));
}

#[test]
fn the_host_keys_of_the_first_boot_are_kept() {
    let told = |key: &str, at| Change::FirstBoot {
        name: name("a"),
        first_boot: FirstBoot {
            at: Timestamp(at),
            host_keys: vec![key.parse().unwrap()].into(),
        },
    };
    let directory = after([register([new("a")]), told(KEY, 5)]);
    assert_eq!(
        directory.vm(&name("a")).unwrap().first_boot.as_ref().unwrap().at,
        Timestamp(5)
    );
    assert!(effect(&directory, told(KEY, 9)).batch.is_empty());
    assert!(matches!(
        refusal(&directory, told(OTHER_KEY, 9)),
        Refusal::FirstBootKept { .. }
    ));
}

#[test]
fn a_name_is_used_whole_so_long_ones_share_no_tap() {
    let names = (0..500).map(|index| new(&format!("customer-frontend-{index}")));
    let wide = Directory::of([network("lab", "10.77.0.1/16", None)]);
    let done = effect(&wide, register(names));
    let taps: HashSet<_> = done.vms.iter().map(|vm| vm.tap.clone()).collect();
    assert_eq!(taps.len(), 500);
}
