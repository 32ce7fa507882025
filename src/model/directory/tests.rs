//! The directory against the simplest model there is, and what one VM and one change cost at 50,000.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::model::examples;

/// Step by step: who is put in, with which address, or taken out.
#[derive(Debug, Clone)]
enum Step {
    Put { who: u8, address: u8 },
    Remove(u8),
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u8..12, 0_u8..40).prop_map(|(who, address)| Step::Put { who, address }),
        2 => (0_u8..12).prop_map(Step::Remove),
        1 => Just(Step::Snapshot),
    ];
    proptest::collection::vec(step, 0..60)
}

fn called(who: u8) -> VmName {
    format!("vm{who}").parse().unwrap()
}

fn vm(who: u8, address: u8) -> Arc<Vm> {
    Arc::new(Vm {
        mac: MacAddress::new([0x52, 0x54, 0, 0, 0, address]),
        tap: format!("tap{address}").parse().unwrap(),
        ..examples::vm(called(who).as_str(), &format!("10.77.0.{address}"))
    })
}

/// The directory finds those of the model by everything they are found by, and nobody else.
fn assert_same(directory: &Directory, model: &BTreeMap<VmName, Arc<Vm>>) {
    assert!(directory.vms().eq(model.values()));
    assert_eq!(directory.vm_count(), model.len());
    assert_eq!(directory.each_vm().count(), model.len());
    for who in 0..12 {
        assert_eq!(directory.vm(&called(who)), model.get(&called(who)));
    }
    for address in 0..40 {
        let probe = vm(0, address);
        let holder = model.values().find(|vm| vm.address == probe.address);
        assert_eq!(directory.vm_at(probe.address), holder);
        assert_eq!(directory.vm_by_mac(probe.mac), holder);
        assert_eq!(directory.vm_behind(&probe.tap), holder);
    }
}

proptest! {
    #[test]
    fn any_history_finds_what_the_model_holds(steps in steps()) {
        let (mut directory, mut model) = (Directory::default(), BTreeMap::new());
        let mut snapshots = Vec::new();
        for step in steps {
            match step {
                Step::Put { who, address } => {
                    let new = vm(who, address);
                    // As the registry has it: what another VM holds is not given.
                    if directory.vm_at(new.address).is_none_or(|holder| holder.name == new.name) {
                        directory.put_vm(Arc::clone(&new));
                        model.insert(new.name.clone(), new);
                    }
                }
                Step::Remove(who) => {
                    prop_assert_eq!(directory.remove_vm(&called(who)), model.remove(&called(who)));
                }
                Step::Snapshot => snapshots.push((directory.clone(), model.clone())),
            }
            assert_same(&directory, &model);
        }
        // Readers of an older revision never see a newer one.
        for (directory, model) in snapshots {
            assert_same(&directory, &model);
        }
    }
}

#[test]
fn two_vms_that_exchange_their_addresses_are_both_found() {
    let mut directory = Directory::default();
    directory.put_vm(vm(1, 10));
    directory.put_vm(vm(2, 20));
    directory.put_vm(vm(1, 20));
    directory.put_vm(vm(2, 10));
    let at = |address| directory.vm_at(address).map(|vm| vm.name.clone());
    assert_eq!(at(Ipv4Addr::new(10, 77, 0, 10)), Some(called(2)));
    assert_eq!(at(Ipv4Addr::new(10, 77, 0, 20)), Some(called(1)));
}

#[test]
fn a_text_that_is_no_name_names_nobody() {
    let mut directory = Directory::default();
    directory.put_vm(vm(1, 10));
    assert!(directory.vm_named("vm1").is_some());
    for text in ["", "VM1", "vm1.", "vm10", "v\0m1"] {
        assert!(directory.vm_named(text).is_none(), "{text:?}");
    }
}

fn many(count: u32) -> Vec<Arc<Vm>> {
    let one = examples::vm("vm", "10.77.0.10");
    let numbered = |number: u32| {
        let [_, a, b, c] = number.to_be_bytes();
        Arc::new(Vm {
            name: format!("vm{number:06}").parse().unwrap(),
            mac: MacAddress::new([0x52, 0x54, 0, a, b, c]),
            address: Ipv4Addr::from_bits(0x0a00_0000 + number),
            tap: format!("tap-{number}").parse().unwrap(),
            ..one.clone()
        })
    };
    (0..count).map(numbered).collect()
}

fn filled(vms: &[Arc<Vm>]) -> Directory {
    let mut directory = Directory::default();
    directory.reserve_vms(vms.len());
    for vm in vms {
        directory.put_vm(Arc::clone(vm));
    }
    directory
}

/// The goal is 25 MiB for a daemon with 50,000 VMs: every octet here is 50 kB there.
#[test]
fn a_vm_is_a_few_words() {
    assert!(size_of::<Vm>() <= 200, "a VM has {} octets", size_of::<Vm>());
    assert_eq!(size_of::<TapName>(), 15);
    assert_eq!(size_of::<VmName>(), 24);
    assert_eq!(size_of::<NetworkName>(), 8);
    assert_eq!(size_of::<Option<crate::model::FirstBoot>>(), 16);
    assert!(size_of::<Hosting>() <= 48, "{}", size_of::<Hosting>());
}

/// A commit copies the index once; that is a small part of making it anew.
#[test]
fn a_change_at_50_000_vms_costs_a_fraction_of_a_rebuild() {
    let vms = many(50_000);
    let (mut rebuild, mut change) = (Duration::MAX, Duration::MAX);
    let mut directory = filled(&vms);
    for _ in 0..5 {
        rebuild = rebuild.min(timed(|| drop(filled(&vms))));
        change = change.min(timed(|| {
            let mut next = directory.clone();
            next.put_vm(Arc::clone(&vms[7]));
            directory = next;
        }));
    }
    assert!(
        change * 4 < rebuild,
        "a change took {change:?}, a rebuild {rebuild:?}"
    );
}

#[test]
fn a_change_of_something_else_copies_no_index() {
    let directory = filled(&many(100));
    let mut next = directory.clone();
    next.put_image(Arc::new(examples::image()));
    next.set_revision(Revision(7));
    assert!(Arc::ptr_eq(&directory.vms, &next.vms));
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
