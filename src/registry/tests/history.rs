//! Random histories against the simplest model there is: a list of names with what each was given.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::super::change::Edit;
use super::super::embedded::Embedded;
use super::disk::Disk;
use super::*;
use crate::model::{MacAddress, Revision};

#[derive(Debug, Clone)]
enum Step {
    Register(Vec<(u8, Option<u8>, Option<u8>)>),
    Move(u8, u8),
    NewMac(u8, u8),
    Delete(Vec<u8>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0_u8..8;
    let row = (
        who.clone(),
        proptest::option::of(8_u8..16),
        proptest::option::of(0_u8..6),
    );
    let step = prop_oneof![
        4 => proptest::collection::vec(row, 1..4).prop_map(Step::Register),
        2 => (who.clone(), 8_u8..16).prop_map(|(who, address)| Step::Move(who, address)),
        1 => (who.clone(), 0_u8..6).prop_map(|(who, mac)| Step::NewMac(who, mac)),
        2 => proptest::collection::vec(who, 1..3).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..30)
}

fn called(who: u8) -> VmName {
    name(&format!("v{who}"))
}

const fn numbered(address: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, address)
}

fn station(mac: u8) -> MacAddress {
    MacAddress::new([0x52, 0x54, 0, 0, 0, mac])
}

/// Name -> address and, where it was chosen, MAC.
type Model = BTreeMap<VmName, (Ipv4Addr, Option<MacAddress>)>;

/// What the model says of a registration: the new model, or `None` for a refusal.
fn registered(model: &Model, rows: &[(u8, Option<u8>, Option<u8>)]) -> Option<Model> {
    let mut next = model.clone();
    // Choices first, in the model as in the rules.
    let mut waiting = Vec::new();
    for &(who, address, mac) in rows {
        let (address, mac) = (address.map(numbered), mac.map(station));
        let taken = next
            .values()
            .any(|held| Some(held.0) == address || (mac.is_some() && held.1 == mac));
        if taken || next.contains_key(&called(who)) {
            return None;
        }
        next.insert(called(who), (address.unwrap_or(Ipv4Addr::UNSPECIFIED), mac));
        if address.is_none() {
            waiting.push(called(who));
        }
    }
    for vm in waiting {
        let free = (10..=19)
            .map(numbered)
            .find(|free| next.values().all(|held| held.0 != *free))?;
        next.entry(vm).and_modify(|held| held.0 = free);
    }
    Some(next)
}

/// The change that a step is, and what the model says of it.
fn change_and_outcome(model: &Model, step: &Step) -> Option<(Change, Option<Model>)> {
    Some(match step {
        Step::Register(rows) => {
            let vms = rows.iter().map(|&(who, address, mac)| NewVm {
                address: address.map(numbered),
                mac: mac.map(station),
                ..new(called(who).as_str())
            });
            (register(vms), registered(model, rows))
        }
        Step::Move(who, address) => {
            let (who, address) = (called(*who), numbered(*address));
            let free = model
                .iter()
                .all(|(other, held)| held.0 != address || *other == who);
            let next = free
                .then(|| edited(model, &who, |held| held.0 = address))
                .flatten();
            let edit = Edit {
                address: Some(address),
                ..Edit::default()
            };
            (
                Change::Update {
                    names: vec![who],
                    edit: Box::new(edit),
                },
                next,
            )
        }
        Step::NewMac(who, mac) => {
            let (who, mac) = (called(*who), station(*mac));
            let free = model
                .iter()
                .all(|(other, held)| held.1 != Some(mac) || *other == who);
            let next = free
                .then(|| edited(model, &who, |held| held.1 = Some(mac)))
                .flatten();
            let edit = Edit {
                mac: Some(mac),
                ..Edit::default()
            };
            (
                Change::Update {
                    names: vec![who],
                    edit: Box::new(edit),
                },
                next,
            )
        }
        Step::Delete(who) => {
            let names: Vec<VmName> = who.iter().copied().map(called).collect();
            let next = names.iter().all(|name| model.contains_key(name)).then(|| {
                let mut next = model.clone();
                next.retain(|name, _| !names.contains(name));
                next
            });
            (Change::Delete { names }, next)
        }
        Step::Reopen => return None,
    })
}

fn edited(
    model: &Model,
    who: &VmName,
    edit: impl FnOnce(&mut (Ipv4Addr, Option<MacAddress>)),
) -> Option<Model> {
    let mut next = model.clone();
    edit(next.get_mut(who)?);
    Some(next)
}

fn check(directory: &Directory, model: &Model) -> Result<(), TestCaseError> {
    let found: Vec<_> = directory.vms().map(|vm| (vm.name.clone(), vm.address)).collect();
    let expected: Vec<_> = model.iter().map(|(name, held)| (name.clone(), held.0)).collect();
    prop_assert_eq!(found, expected);
    let mut macs = HashSet::new();
    let mut taps = HashSet::new();
    for vm in directory.vms() {
        prop_assert!(macs.insert(vm.mac) && taps.insert(vm.tap.clone()));
        prop_assert!(
            model
                .get(&vm.name)
                .and_then(|held| held.1)
                .is_none_or(|mac| mac == vm.mac)
        );
        // Every index finds the same record.
        prop_assert_eq!(directory.vm_by_mac(vm.mac), Some(vm));
        prop_assert_eq!(directory.vm_at(vm.address), Some(vm));
        prop_assert_eq!(directory.vm_behind(&vm.tap), Some(vm));
    }
    Ok(())
}

fn opened_on(disk: &Disk, store: Embedded) -> Registry {
    Registry::on(Box::new(store), disk.reopen(), Path::new("r"), vec![lab()], Clock).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_keeps_names_macs_and_addresses_unique_and_is_there_after_reopening(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let disk = Disk::default();
        let mut registry = opened_on(&disk, Embedded::initialise(disk.database()).unwrap());
        let mut model = Model::new();
        let mut revision = Revision(0);
        for step in &steps {
            let Some((change, expected)) = change_and_outcome(&model, step) else {
                let before = dumped(&registry.read());
                drop(registry);
                registry = opened_on(&disk, Embedded::on(disk.database()));
                prop_assert_eq!(dumped(&registry.read()), before);
                continue;
            };
            let outcome = runtime.block_on(registry.commit(change));
            match (outcome, expected) {
                (Ok(committed), Some(next)) => {
                    prop_assert!(committed.revision >= revision && committed.revision.0 <= revision.0 + 1);
                    revision = committed.revision;
                    model = next;
                }
                (Err(_), None) => {}
                (outcome, expected) => prop_assert!(false, "{step:?}: {outcome:?} but {expected:?}"),
            }
            prop_assert_eq!(registry.read().revision(), revision);
            check(&registry.read(), &model)?;
        }
    }
}
