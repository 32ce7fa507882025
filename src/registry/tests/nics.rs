//! The rules of NICs beside a VM's first one.

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::super::change::Edit;
use super::super::refusal::Refusal;
use super::rules::{effect, refusal};
use super::*;
use crate::model::dhcp::DhcpMode;
use crate::model::record::RecordData;
use crate::model::{DnsRecord, Lease, LeaseState, NetworkName, Nic, identity, mac, nic};
use crate::registry::{NewNic, NicsEdit, apply};

/// Three networks, each with ten addresses to give.
fn networks() -> Vec<Network> {
    vec![
        lab(),
        network("back", "10.78.0.1/24", Some("10.78.0.10-10.78.0.19")),
        network("store", "10.79.0.1/24", Some("10.79.0.10-10.79.0.19")),
    ]
}

fn after(changes: impl IntoIterator<Item = Change>) -> Directory {
    let start = Directory::of(networks());
    changes.into_iter().fold(start, |directory, change| {
        effect(&directory, change).batch.on(&directory)
    })
}

fn on(network: &str) -> NewNic {
    NewNic {
        network: network.parse().unwrap(),
        mac: None,
        address: None,
    }
}

fn chosen(network: &str, address: &str, hardware: &str) -> NewNic {
    NewNic {
        mac: Some(mac::parse(hardware).unwrap()),
        address: Some(ip(address)),
        ..on(network)
    }
}

fn with(text: &str, nics: &[NewNic]) -> NewVm {
    NewVm {
        network: Some("lab".parse().unwrap()),
        nics: nics.to_vec(),
        ..new(text)
    }
}

fn set(text: &str, put: &[NewNic], removed: &[&str]) -> Change {
    let removed = removed.iter().map(|network| network.parse().unwrap());
    Change::Update {
        names: vec![name(text)],
        edit: Edit {
            nics: NicsEdit {
                put: put.to_vec(),
                removed: removed.collect(),
            },
            ..Edit::default()
        },
    }
}

/// The networks, addresses and slots of a VM's NICs.
fn shown(directory: &Directory, text: &str) -> Vec<(String, String, u8)> {
    let vm = directory.vm_named(text).unwrap();
    let shown = |nic: Nic<'_>| (nic.network.to_string(), nic.address.to_string(), nic.slot);
    vm.nics().map(shown).collect()
}

fn line(network: &str, address: &str, slot: u8) -> (String, String, u8) {
    (network.to_owned(), address.to_owned(), slot)
}

#[test]
fn what_is_not_chosen_of_a_nic_is_derived_and_each_leads_to_the_vm() {
    let nics = [on("back"), chosen("store", "10.79.0.50", "52:54:00:00:00:77")];
    let directory = after([register([with("web1", &nics)])]);
    assert_eq!(
        shown(&directory, "web1"),
        [
            line("lab", "10.77.0.10", 0x2),
            line("back", "10.78.0.10", 0x18),
            line("store", "10.79.0.50", 0x19)
        ]
    );
    let vm = directory.vm_named("web1").unwrap();
    let back = vm.nic_on(&"back".parse().unwrap()).unwrap();
    assert_eq!(back.mac, identity::nic_mac(&vm.name, back.network, 0));
    for nic in vm.nics() {
        for found in [
            directory.vm_by_mac(nic.mac),
            directory.vm_at(nic.address),
            directory.vm_behind(nic.tap),
        ] {
            assert_eq!(found, Some(vm));
        }
        assert_eq!(vm.nic_at(nic.address), vm.nic_with(nic.mac));
    }
}

#[test]
fn a_nic_that_is_added_moves_no_other_and_one_that_is_removed_leaves_its_slot_to_the_next() {
    let directory = after([
        register([with("web1", &[on("back"), on("store")])]),
        set("web1", &[], &["back"]),
    ]);
    let rest = [line("lab", "10.77.0.10", 0x2), line("store", "10.79.0.10", 0x19)];
    assert_eq!(shown(&directory, "web1"), rest);
    assert!(directory.vm_at(ip("10.78.0.10")).is_none(), "it is free at once");
    let again = effect(&directory, set("web1", &[on("back")], &[]))
        .batch
        .on(&directory);
    assert_eq!(shown(&again, "web1")[..2], rest);
    assert_eq!(shown(&again, "web1")[2], line("back", "10.78.0.10", 0x18));
    // Other addresses for a NIC that is there change those alone.
    let moved = [NewNic {
        address: Some(ip("10.78.0.44")),
        ..on("back")
    }];
    let (before, moved) = (
        again.clone(),
        effect(&again, set("web1", &moved, &[])).batch.on(&again),
    );
    let nic = |directory: &Directory| directory.vm_named("web1").unwrap().more_nics()[1].clone();
    assert_eq!(
        nic(&moved),
        crate::model::MoreNic {
            address: ip("10.78.0.44"),
            ..nic(&before)
        }
    );
    assert!(effect(&moved, set("web1", &[on("back")], &[])).batch.is_empty());
}

#[test]
fn a_vm_that_is_made_like_another_has_nics_of_its_own_on_the_same_networks() {
    let directory = after([register([with("web1", &[on("back")])])]);
    let web1 = directory.vm_named("web1").unwrap();
    let copy = NewVm {
        custom: (**web1.custom.as_ref().unwrap()).clone(),
        ..with("web2", &[])
    };
    let next = effect(&directory, register([copy])).batch.on(&directory);
    let web2 = next.vm_named("web2").unwrap();
    let (old, new) = (&web1.more_nics()[0], &web2.more_nics()[0]);
    assert_eq!(new.network, old.network);
    assert!(new.mac != old.mac && new.address != old.address && new.tap != old.tap);
}

#[test]
fn what_no_vm_can_have_is_refused_in_words() {
    let mut proxied = networks();
    proxied[2].dhcp.mode = DhcpMode::Proxy;
    let directory = Directory::of(proxied);
    let setup = [
        put_image(image("debian-12")),
        register([with("web1", &[on("back")])]),
        register([NewVm {
            network: Some("lab".parse().unwrap()),
            ..managed("db1", "debian-12")
        }]),
        Change::AddRecord(DnsRecord {
            network: "store".parse().unwrap(),
            owner: "mail".parse().unwrap(),
            data: RecordData::parse("A", "10.79.0.9", &"lab".parse().unwrap()).unwrap(),
        }),
    ];
    let directory = setup.into_iter().fold(directory, |directory, change| {
        effect(&directory, change).batch.on(&directory)
    });
    let web1 = directory.vm_named("web1").unwrap();
    let taken = web1.more_nics()[0].clone();
    let seven: Vec<_> = (0..8).map(|_| on("back")).collect();
    for (change, says) in [
        (set("web1", &[on("lab")], &[]), "that of its first NIC"),
        (set("web1", &[], &["lab"]), "that of its first NIC"),
        (set("web1", &[], &["store"]), "no NIC on network store"),
        (set("web1", &[on("nowhere")], &[]), "there is no network nowhere"),
        (
            register([with("web2", &[chosen("back", "10.78.0.10", "52:54:00:00:00:01")])]),
            "is web1's",
        ),
        (
            register([with("web2", &[chosen("back", "10.77.0.44", "52:54:00:00:00:01")])]),
            "10.77.0.44",
        ),
        (
            register([with(
                "web2",
                &[chosen("back", "10.78.0.44", &mac::text(taken.mac))],
            )]),
            "is web1's",
        ),
        (
            set("web1", &[chosen("store", "10.79.0.5", &mac::text(web1.mac))], &[]),
            "two of its NICs would have MAC address",
        ),
        (set("db1", &[on("store")], &[]), "`mode: proxy`"),
        (register([with("mail", &[on("store")])]), "a DNS record of domain"),
        (register([with("web2", &seven)]), "two NICs on network back"),
    ] {
        let said = refusal(&directory, change);
        assert!(said.to_string().contains(says), "{says}: {said}");
        assert!(said.about().is_some());
    }
}

#[test]
fn there_are_as_many_nics_as_slots() {
    let names: Vec<String> = (0..9).map(|number| format!("net{number}")).collect();
    let all = names.iter().enumerate().map(|(number, text)| {
        let subnet = format!("10.9{number}.0.1/24");
        network(text, &subnet, None)
    });
    let directory = Directory::of(all);
    let nics = |count: usize| names[1..=count].iter().map(|name| on(name)).collect();
    let vm = |count: usize| NewVm {
        network: Some("net0".parse().unwrap()),
        nics: nics(count),
        ..new("web1")
    };
    let full = effect(&directory, register([vm(nic::MORE_SLOTS.len())]));
    let slots: BTreeSet<_> = full.vms[0].nics().map(|nic| nic.slot).collect();
    assert_eq!(slots.len(), 8);
    assert!(matches!(
        refusal(&directory, register([vm(8)])),
        Refusal::Nic { .. }
    ));
}

#[test]
fn a_reservation_of_any_nic_ends_the_lease_of_its_address_and_of_its_mac() {
    let lease = |network: &str, mac, address: &str| Lease {
        network: network.parse().unwrap(),
        mac,
        address: ip(address),
        state: LeaseState::Bound,
        since: NOW,
        expires: Timestamp(NOW.0 + 3_600),
        hostname: None,
    };
    let (one, other) = (
        mac::parse("02:00:00:00:00:01").unwrap(),
        mac::parse("02:00:00:00:00:02").unwrap(),
    );
    let lend = |lease| Change::Lend { leases: vec![lease] };
    let nic = NewNic {
        mac: Some(other),
        address: Some(ip("10.78.0.15")),
        ..on("back")
    };
    let directory = after([
        lend(lease("back", one, "10.78.0.15")),
        lend(lease("back", other, "10.78.0.16")),
        register([with("web1", &[nic])]),
    ]);
    assert_eq!(directory.leases().iter().count(), 0);
    // Nor is either lent from then on; the NIC's MAC is a stranger's on another network.
    let lent = |wanted| {
        let done = effect(&directory, lend(wanted)).batch.on(&directory);
        done.leases().iter().count()
    };
    assert_eq!(lent(lease("back", one, "10.78.0.15")), 0);
    assert_eq!(lent(lease("back", other, "10.78.0.17")), 0);
    assert_eq!(lent(lease("store", other, "10.79.0.17")), 1);
}

#[test]
fn nics_are_there_after_reopening_and_a_network_that_is_gone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let registry = opened(&path, networks());
    let change = register([with("web1", &[on("back"), on("store")])]);
    runtime.block_on(registry.commit(change)).unwrap();
    let before = dumped(&registry.read());
    assert!(before.contains("\"nics\""), "{before}");
    drop(registry);
    let registry = opened(&path, networks());
    assert_eq!(dumped(&registry.read()), before);
    drop(registry);
    let fewer = networks().into_iter().take(2).collect();
    let refused = Registry::open(&path, fewer, Clock).unwrap_err().to_string();
    assert!(
        refused.contains("no network store") && refused.contains("web1"),
        "{refused}"
    );
}

/// Step by step: NICs that are added, removed, and VMs that come and go.
#[derive(Debug, Clone)]
enum Step {
    Register {
        who: u8,
        nics: Vec<usize>,
    },
    Put {
        who: u8,
        network: usize,
        address: Option<u8>,
    },
    Remove {
        who: u8,
        network: usize,
    },
    Delete {
        who: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0_u8..4;
    let step = prop_oneof![
        2 => (who.clone(), proptest::collection::vec(1_usize..3, 0..3))
            .prop_map(|(who, nics)| Step::Register { who, nics }),
        4 => (who.clone(), 0_usize..3, proptest::option::of(10_u8..16))
            .prop_map(|(who, network, address)| Step::Put { who, network, address }),
        2 => (who.clone(), 0_usize..3).prop_map(|(who, network)| Step::Remove { who, network }),
        1 => who.prop_map(|who| Step::Delete { who }),
    ];
    proptest::collection::vec(step, 0..40)
}

const NAMES: [&str; 3] = ["lab", "back", "store"];

fn change(step: &Step) -> Change {
    let called = |who: &u8| format!("vm{who}");
    match step {
        Step::Register { who, nics } => {
            let nics: Vec<_> = nics.iter().map(|network| on(NAMES[*network])).collect();
            register([with(&called(who), &nics)])
        }
        Step::Put {
            who,
            network,
            address,
        } => {
            let address = address.map(|last| ip(&format!("10.{}.0.{last}", 77 + network)));
            let nic = NewNic {
                address,
                ..on(NAMES[*network])
            };
            set(&called(who), &[nic], &[])
        }
        Step::Remove { who, network } => set(&called(who), &[], &[NAMES[*network]]),
        Step::Delete { who } => Change::Delete {
            names: vec![name(&called(who))],
        },
    }
}

proptest! {
    #[test]
    fn whatever_is_changed_every_nic_has_what_no_other_has_and_keeps_its_slot(steps in steps()) {
        let mut directory = Directory::of(networks());
        for step in &steps {
            let Ok(done) = apply(&directory, change(step), NOW) else { continue };
            let next = done.batch.on(&directory);
            let (mut macs, mut addresses, mut taps) = (HashSet::new(), HashSet::new(), HashSet::new());
            for vm in next.each_vm() {
                let mut places: HashSet<NetworkName> = HashSet::new();
                let mut slots = HashSet::new();
                for nic in vm.nics() {
                    prop_assert!(macs.insert(nic.mac) && addresses.insert(nic.address));
                    prop_assert!(taps.insert(nic.tap.clone()) && slots.insert(nic.slot));
                    prop_assert!(places.insert(nic.network.clone()));
                    prop_assert!(next.network(nic.network).unwrap().subnet.check(nic.address).is_ok());
                    prop_assert_eq!(next.vm_by_mac(nic.mac), Some(vm));
                    prop_assert_eq!(next.vm_at(nic.address), Some(vm));
                    prop_assert_eq!(next.vm_behind(nic.tap), Some(vm));
                    // What was there keeps its slot, and with it the name that a guest knows it by.
                    let before = directory.vm(&vm.name).and_then(|old| old.nic_on(nic.network));
                    prop_assert!(before.is_none_or(|old| old.slot == nic.slot && old.tap == nic.tap));
                }
            }
            directory = next;
        }
    }
}
