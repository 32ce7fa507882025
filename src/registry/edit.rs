//! The rules of changes to one VM's record: what an operator sets, and what its boots tell. Pure.

use super::apply::{
    all_registered, check_boot, named_network, registered, replaced, unchanged, without_leases,
};
use super::change::{Edit, Effect};
use super::claims::Claims;
use super::hardware::{self, HardwareEdit};
use super::refusal::Refusal;
use super::{nics, policy, site};
use crate::model::image::View;
use crate::model::{
    Bytes, Directory, FirstBoot, Hosting, ImageId, InstancePolicy, Phase, SetUp, Timestamp, Vm, VmName,
    identity,
};

pub(super) fn update(
    directory: &Directory,
    names: &[VmName],
    edit: &Edit,
    now: Timestamp,
) -> Result<Effect, Refusal> {
    // One set of claims for all: an address for several VMs is refused at the second.
    let mut claims = Claims::on(directory, now);
    let mut effect = Effect::default();
    for old in all_registered(directory, names)? {
        let mut new = edited(&mut claims, directory, old, edit)?;
        become_another(&mut new, old, edit, now);
        let Effect { batch, vms } = replaced(old, new);
        effect.batch.put_vms.extend(batch.put_vms);
        effect.vms.extend(vms);
    }
    policy::check(directory, &effect.vms)?;
    Ok(without_leases(directory, effect))
}

fn edited(claims: &mut Claims<'_>, directory: &Directory, old: &Vm, edit: &Edit) -> Result<Vm, Refusal> {
    let name = &old.name;
    let mut vm = old.clone();
    let Edit {
        address,
        mac,
        keys,
        template,
        user_data,
        cpus,
        memory,
        custom: custom_edit,
        new_instance: _,
        release: _,
        hardware: hardware_edit,
        policy: policy_edit,
        nics,
    } = edit.clone();
    if let Some(address) = address {
        claims.address(name, named_network(directory, name, &vm.network)?, address)?;
        vm.address = address;
    }
    if let Some(mac) = mac {
        claims.mac(name, mac)?;
        vm.mac = mac;
    }
    vm.keys = keys.unwrap_or(vm.keys);
    vm.template = template.unwrap_or(vm.template);
    vm.user_data = user_data.unwrap_or(vm.user_data);
    let mut custom = custom_edit.on(vm.custom.take().map(|custom| *custom).unwrap_or_default());
    if !nics.is_empty() {
        let there = std::mem::take(&mut custom.nics);
        custom.nics = nics::edit(claims, directory, old, (there, nics))?;
    }
    claims.aliases(
        name,
        named_network(directory, name, &vm.network)?,
        &custom.aliases,
    )?;
    site::check(directory, (name, &vm.hosting), &custom)?;
    if custom.boot.as_ref() != old.boot() {
        let network = named_network(directory, name, &vm.network)?;
        check_boot(directory, (name, network), custom.boot.as_ref())?;
    }
    vm.custom = custom.boxed();
    nics::check(claims, directory, &vm)?;
    let reshaped = *hardware_edit != HardwareEdit::default();
    if cpus.is_some() || memory.is_some() || reshaped {
        let Hosting::Managed(machine) = &mut vm.hosting else {
            return Err(Refusal::External { vm: name.clone() });
        };
        machine.cpus = cpus.unwrap_or(machine.cpus);
        machine.memory = memory.unwrap_or(machine.memory);
        if machine.cpus == 0 {
            return Err(Refusal::NoCpus { vm: name.clone() });
        }
        if reshaped {
            hardware::edit(machine, *hardware_edit).map_err(|problem| Refusal::Disks {
                vm: name.clone(),
                problem,
            })?;
        }
    }
    policy_edit.change(&mut vm)?;
    Ok(vm)
}

/// Makes a VM another instance where that is asked for, or follows from what is changed; and has its secrets told once more
/// where that is asked for.
fn become_another(new: &mut Vm, old: &Vm, edit: &Edit, now: Timestamp) {
    let follows = new.instance().policy == InstancePolicy::Content && !SetUp::differing(old, new).is_empty();
    // What comes after a success is later than it, whatever the clock says.
    let succeeded = old
        .first_boot
        .as_ref()
        .map_or(Timestamp::default(), |boot| boot.at);
    if edit.new_instance || follows {
        renew(new, now.max(succeeded));
    }
    if edit.release {
        let later = now.max(Timestamp(succeeded.0.saturating_add(1)));
        new.customize(|custom| custom.secrets.released = Some(later));
    }
}

/// Makes a VM another instance from then on.
pub(super) fn renew(vm: &mut Vm, at: Timestamp) {
    vm.uuid = identity::next_instance(vm.uuid, at);
    vm.customize(|custom| {
        custom.instance.renewed = Some(at);
        custom.secrets.released = None;
    });
}

/// Gives a VM other disks. Those that are new at `anew` have neither the host keys that it reported nor anything else of its past.
pub(super) fn replace(
    directory: &Directory,
    name: &VmName,
    (image, disk): (ImageId, Bytes),
    anew: Option<Timestamp>,
) -> Result<Effect, Refusal> {
    let old = registered(directory, name)?;
    if directory.image(&image).is_none() {
        return Err(Refusal::UnknownImage {
            image: (&image).into(),
        });
    }
    let mut vm = Vm::clone(old);
    let Hosting::Managed(machine) = &mut vm.hosting else {
        return Err(Refusal::External { vm: name.clone() });
    };
    (machine.image, machine.disk, machine.phase) = (image, disk, Phase::Replacing);
    if let Some(now) = anew {
        let succeeded = old.first_boot.as_ref().map_or(now, |boot| boot.at);
        vm.first_boot = None;
        renew(&mut vm, now.max(succeeded));
    }
    Ok(replaced(old, vm))
}

/// Notes that a first boot begins, of a VM that is told something in confidence then. One that can not report the host key it
/// would make is given one, where it came to such an image after it was registered.
pub(super) fn released(directory: &Directory, name: &VmName, now: Timestamp) -> Result<Effect, Refusal> {
    let old = registered(directory, name)?;
    let mut vm = Vm::clone(old);
    if !vm.has_made_host_key() && directory.view_of(&vm) == View::Offline {
        let key = site::host_key(directory, &vm);
        vm.customize(|custom| custom.access.host_key = key);
    }
    if vm.awaits_release() {
        vm.customize(|custom| custom.secrets.released = Some(now));
    }
    if vm == **old {
        return Ok(unchanged(old));
    }
    Ok(replaced(old, vm))
}

pub(super) fn launched(directory: &Directory, name: &VmName) -> Result<Effect, Refusal> {
    let old = registered(directory, name)?;
    let mut vm = Vm::clone(old);
    match &mut vm.hosting {
        Hosting::External => return Err(Refusal::External { vm: name.clone() }),
        Hosting::Managed(machine) => machine.phase = Phase::Launched,
    }
    Ok(replaced(old, vm))
}

pub(super) fn keep_first_boot(
    directory: &Directory,
    name: &VmName,
    told: FirstBoot,
) -> Result<Effect, Refusal> {
    let old = registered(directory, name)?;
    match old.first_boot.as_ref().filter(|_| old.succeeded().is_some()) {
        // A guest that repeats itself, because our answer was lost, is not a problem.
        Some(kept) if kept.host_keys == told.host_keys => Ok(unchanged(old)),
        // cloud-init's last report may come before its phone home, and has no keys.
        Some(kept) if !kept.host_keys.is_empty() => Err(Refusal::FirstBootKept { vm: name.clone() }),
        Some(_) | None => {
            let mut vm = Vm::clone(old);
            // A success comes after what it is a success of, also where the clock was set back.
            let begun = old.released().into_iter();
            let renewed = old.instance().renewed.map(|at| Timestamp(at.0.saturating_add(1)));
            let at = begun.chain(renewed).fold(told.at, Timestamp::max);
            vm.first_boot = Some(FirstBoot { at, ..told });
            Ok(replaced(old, vm))
        }
    }
}
