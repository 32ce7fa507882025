//! The directory against the simplest model there is, and what one VM and one change cost at 50,000.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::model::{MoreNic, examples};

/// Step by step: who is put in, with which address, or taken out.
#[derive(Debug, Clone)]
enum Step {
    Put { who: u8, address: u8, more: Option<u8> },
    Remove(u8),
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u8..12, 0_u8..40, proptest::option::of(0_u8..40))
            .prop_map(|(who, address, more)| Step::Put { who, address, more }),
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

/// The same VM, with a NIC more.
fn with_more(vm: &Arc<Vm>, address: u8) -> Arc<Vm> {
    let mut vm = Vm::clone(vm);
    vm.customize(|custom| {
        custom.nics.push(MoreNic {
            network: "more".parse().unwrap(),
            mac: MacAddress::new([0x52, 0x54, 0, 0, 0, address]),
            address: Ipv4Addr::new(10, 77, 0, address),
            tap: format!("tap{address}").parse().unwrap(),
            slot: 0x18,
        });
    });
    Arc::new(vm)
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
        let holder = model
            .values()
            .find(|vm| vm.nics().any(|nic| nic.address == probe.address));
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
                Step::Put { who, address, more } => {
                    let mut new = vm(who, address);
                    if let Some(more) = more.filter(|more| *more != address) {
                        new = with_more(&new, more);
                    }
                    // As the registry has it: what another VM holds is not given.
                    let is_free = |nic: Nic<'_>| {
                        let holder = directory.vm_at(nic.address);
                        holder.is_none_or(|holder| holder.name == new.name)
                    };
                    if new.nics().all(is_free) {
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
fn two_vms_that_exchange_the_addresses_of_further_nics_are_both_found_and_each_by_its_nic() {
    let mut directory = Directory::default();
    directory.put_vm(with_more(&vm(1, 10), 11));
    directory.put_vm(with_more(&vm(2, 20), 21));
    directory.put_vm(with_more(&vm(1, 10), 21));
    directory.put_vm(with_more(&vm(2, 20), 11));
    for (address, who, slot) in [(11, 2, 0x18), (21, 1, 0x18), (10, 1, 0x2)] {
        let address = Ipv4Addr::new(10, 77, 0, address);
        let found = directory.vm_at(address).unwrap();
        assert_eq!(found.name, called(who));
        assert_eq!(found.nic_at(address).unwrap().slot, slot);
    }
    directory.remove_vm(&called(1));
    assert!(directory.vm_at(Ipv4Addr::new(10, 77, 0, 21)).is_none());
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
    assert!(size_of::<Vm>() <= 160, "a VM has {} octets", size_of::<Vm>());
    assert_eq!(size_of::<TapName>(), 15);
    assert_eq!(size_of::<VmName>(), 24);
    assert_eq!(size_of::<NetworkName>(), 8);
    assert_eq!(size_of::<Option<crate::model::FirstBoot>>(), 16);
    assert_eq!(size_of::<Hosting>(), 8);
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
