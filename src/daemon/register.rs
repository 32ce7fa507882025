//! Requests that only change records: add, import, set.

use std::sync::Arc;

use super::{Daemon, custom, effects, hardware, hotplug, info, life, nics, selection, shape};
use crate::control::{AddVms, Answer, ImportRow, PlannedVm, Refusal, SetVms, VmInfo};
use crate::model::cloud_init::Release;
use crate::model::{Custom, Directory, Hosting, NetworkName, SshKeys, TemplateName, Vm, VmName, mac};
use crate::registry::{self, Change, CommitError, Committed, Edit, HardwareEdit, NewVm};

/// Registers VMs that someone else runs.
pub(super) async fn add(daemon: &Arc<Daemon>, request: AddVms) -> Result<Vec<Arc<Vm>>, Refusal> {
    let vms = planned(daemon, &request, &Hosting::External).await?;
    let committed = daemon.commit(Change::Register { vms }).await?;
    daemon.exported(committed.revision).await;
    Ok(committed.vms)
}

/// What is to be registered, checked as far as it can be without changing anything.
pub(super) async fn planned(
    daemon: &Daemon,
    request: &AddVms,
    hosting: &Hosting,
) -> Result<Vec<NewVm>, Refusal> {
    let directory = daemon.directory();
    let names = selection::names(&request.names)?;
    let single = [("--ip", request.ip.is_some()), ("--mac", request.mac.is_some())];
    selection::only_one(&names, &single)?;
    let (mac, address) = (
        selection::hardware(request.mac.as_ref())?,
        selection::address(request.ip.as_ref())?,
    );
    selection::no_bridges(daemon, mac.as_slice()).await?;
    let network = selection::network(&directory, request.network.as_ref())?;
    let keys = selection::keys(&request.keys)?;
    let template = selection::template(daemon, request.template.as_ref())?;
    let user_data = selection::user_data(
        request.user_data.as_ref(),
        release_of(&directory, hosting),
        request.force,
    )?;
    let custom = custom::edit(&request.custom)?.on(Custom::default());
    selection::only_one(&names, &[("--alias", !custom.aliases.is_empty())])?;
    let nics = nics::edit(daemon, &names, &request.nics).await?.put;
    let new = |name| NewVm {
        name,
        network: network.clone(),
        mac,
        address,
        keys: keys.clone(),
        template: template.clone(),
        user_data: user_data.clone(),
        hosting: hosting.clone(),
        custom: custom.clone(),
        new_identity: request.new_identity,
        nics: nics.clone(),
    };
    Ok(names.into_iter().map(new).collect())
}

/// The release of cloud-init that reads a VM's user-data, where that is known.
fn release_of(directory: &Directory, hosting: &Hosting) -> Option<Release> {
    directory.image_of(hosting)?.cloud_init
}

/// The release that is the same for all; where they differ, what any release knows is right for some.
fn release_of_all(daemon: &Daemon, vms: &[Arc<Vm>]) -> Option<Release> {
    let directory = daemon.directory();
    let mut releases = vms.iter().map(|vm| release_of(&directory, &vm.hosting));
    let first = releases.next()?;
    releases.all(|other| other == first).then_some(first).flatten()
}

/// The most problems of a roster that are told at once.
const PROBLEMS_TOLD: usize = 20;

/// Registers a roster, all lines or none; every line with a problem is named.
pub(super) async fn import(
    daemon: &Arc<Daemon>,
    rows: Vec<ImportRow>,
    network: Option<&String>,
    dry_run: bool,
) -> Result<Answer, Refusal> {
    let network = selection::network(&daemon.directory(), network)?;
    let template = selection::template(daemon, None)?;
    let mut problems = Vec::new();
    let mut vms = Vec::with_capacity(rows.len());
    for row in &rows {
        match imported(row, network.as_ref(), &template) {
            Ok(vm) => vms.push(vm),
            Err(refusal) => problems.push(format!("line {}: {}", row.line, refusal.message)),
        }
    }
    if !problems.is_empty() {
        let hidden = problems.len().saturating_sub(PROBLEMS_TOLD);
        problems.truncate(PROBLEMS_TOLD);
        let more = if hidden > 0 {
            format!("\n... and {hidden} more")
        } else {
            String::new()
        };
        return Err(Refusal::request(format!(
            "nothing was registered:\n{}{more}",
            problems.join("\n")
        )));
    }
    let macs: Vec<_> = vms.iter().filter_map(|vm| vm.mac).collect();
    selection::no_bridges(daemon, &macs).await?;
    let count = vms.len();
    let change = Change::Register { vms };
    let committed = if dry_run {
        // The rules are a pure function of the directory: what they make of the change is not written here.
        registry::apply(&daemon.directory(), change, daemon.clock.now())
            .map(|effect| (None, effect.vms))
            .map_err(CommitError::Refused)
    } else {
        let committed = daemon.commit(change).await;
        committed.map(|committed| (Some(committed.revision), committed.vms))
    };
    let (revision, vms) = committed.map_err(|error| refused_row(error, &rows))?;
    let Some(revision) = revision else {
        return Ok(Answer::Planned(vms.iter().map(|vm| planned_vm(vm)).collect()));
    };
    daemon.exported(revision).await;
    Ok(Answer::Done(match count {
        1 => "1 VM imported".to_owned(),
        _ => format!("{count} VMs imported"),
    }))
}

/// A VM that would be registered, as it is shown.
fn planned_vm(vm: &Vm) -> PlannedVm {
    PlannedVm {
        name: vm.name.to_string(),
        ip: vm.address,
        mac: mac::text(vm.mac),
        network: vm.network.to_string(),
        aliases: vm.aliases().iter().map(ToString::to_string).collect(),
    }
}

/// Why nothing was registered, with the line it is about.
fn refused_row(error: CommitError, rows: &[ImportRow]) -> Refusal {
    let about = match &error {
        CommitError::Refused(refusal) => refusal.about().cloned(),
        CommitError::Failed { .. } | CommitError::Closed { .. } => None,
    };
    // Of a name that is listed twice, the second line is the one too many.
    let line = about
        .and_then(|name| rows.iter().rev().find(|row| row.name == name.as_str()))
        .map(|row| row.line);
    let refusal = Refusal::from(error);
    let at = line.map_or_else(String::new, |line| format!("line {line}: "));
    Refusal {
        message: format!("nothing was registered: {at}{}", refusal.message),
        ..refusal
    }
}

fn imported(
    row: &ImportRow,
    network: Option<&NetworkName>,
    template: &TemplateName,
) -> Result<NewVm, Refusal> {
    Ok(NewVm {
        name: selection::parse(&row.name)?,
        network: network.cloned(),
        mac: selection::hardware(row.mac.as_ref())?,
        address: selection::address(row.ip.as_ref())?,
        keys: SshKeys::default(),
        template: template.clone(),
        user_data: None,
        hosting: Hosting::External,
        custom: Custom {
            aliases: row
                .aliases
                .iter()
                .map(|alias| selection::parse(alias))
                .collect::<Result<_, _>>()?,
            ..Custom::default()
        },
        new_identity: false,
        nics: Vec::new(),
    })
}

/// Changes VMs, all or none, and says of each when that counts.
pub(super) async fn set(daemon: &Arc<Daemon>, request: SetVms) -> Result<Vec<VmInfo>, Refusal> {
    let vms = selection::vms(&daemon.directory(), &request.names)?;
    let names: Vec<_> = vms.iter().map(|vm| vm.name.clone()).collect();
    selection::only_one(
        &names,
        &[("--ip", request.ip.is_some()), ("--mac", request.mac.is_some())],
    )?;
    let edit = Edit {
        address: selection::address(request.ip.as_ref())?,
        mac: selection::hardware(request.mac.as_ref())?,
        cpus: request.cpus,
        memory: selection::parse_opt(request.memory.as_ref())?,
        keys: request.keys.as_deref().map(selection::keys).transpose()?,
        user_data: request
            .user_data
            .as_ref()
            .map(|text| selection::user_data(Some(text), release_of_all(daemon, &vms), request.force))
            .transpose()?,
        template: request
            .template
            .as_ref()
            .map(|name| selection::template(daemon, Some(name)))
            .transpose()?,
        custom: custom::edit(&request.custom)?,
        new_instance: request.new_instance,
        release: request.release_secrets,
        hardware: Box::new(hardware::edit(daemon, &request.hardware).await?),
        policy: life::edit(&request.policy)?,
        nics: nics::edit(daemon, &names, &request.nics).await?,
    };
    let has_alias = edit
        .custom
        .aliases
        .as_ref()
        .is_some_and(|aliases| !aliases.is_empty());
    selection::only_one(&names, &[("--alias", has_alias)])?;
    selection::no_bridges(daemon, edit.mac.as_slice()).await?;
    let _held = daemon.lock_all(&vms).await;
    let mut before = Vec::with_capacity(vms.len());
    for vm in &vms {
        let vm = daemon.still(vm)?;
        changeable(daemon, &vm, &edit)?;
        before.push(vm);
    }
    let has_nics = !edit.nics.is_empty();
    let committed = committed(daemon, &before, names, edit).await?;
    daemon.exported(committed.revision).await;
    let mut works = Vec::with_capacity(vms.len());
    for (old, new) in before.iter().zip(&committed.vms) {
        works.push(told(daemon, old, new, has_nics));
    }
    Ok(futures_util::future::join_all(works).await)
}

/// Commits a change, with what has to be done on the host before.
async fn committed(
    daemon: &Daemon,
    vms: &[Arc<Vm>],
    names: Vec<VmName>,
    edit: Edit,
) -> Result<Committed, Refusal> {
    hotplug::take_out(daemon, vms, &names, &edit).await?;
    let removed = edit.nics.removed.clone();
    let committed = shape::commit(daemon, vms, names, edit).await;
    if committed.is_err() {
        hotplug::put_back(daemon, vms, &removed).await;
    }
    committed
}

/// Makes a change of a VM true as far as it can be now, and says when each part of it counts.
async fn told(daemon: &Daemon, old: &Vm, new: &Arc<Vm>, has_nics: bool) -> VmInfo {
    let view = daemon.directory().view_of(new);
    let mut effects = effects::of(old, new, view, is_in_use(daemon, new));
    effects.extend(shape::apply(daemon, old, new).await);
    if has_nics {
        effects.extend(hotplug::apply(daemon, old, new).await);
    }
    VmInfo {
        effects,
        ..info::vm(daemon, new)
    }
}

/// Whether a VM runs, as far as that is known.
fn is_in_use(daemon: &Daemon, vm: &Vm) -> bool {
    let seen = daemon.status.seen(vm);
    seen.is_up() || (vm.machine().is_none() && seen.progress.is_some())
}

fn changeable(daemon: &Daemon, vm: &Vm, edit: &Edit) -> Result<(), Refusal> {
    nics::changeable(daemon, vm, &edit.nics)?;
    let shape = edit.cpus.is_some() || edit.memory.is_some() || *edit.hardware != HardwareEdit::default();
    match vm.machine() {
        None if shape => Err(Refusal::request(format!(
            "{} is run by someone else: change its size there",
            vm.name
        ))),
        None => Ok(()),
        Some(machine) => {
            selection::check_size(
                edit.cpus.unwrap_or(machine.cpus),
                edit.memory.unwrap_or(machine.memory),
            )?;
            if !edit.hardware.remove_disks.is_empty() && daemon.status.seen(vm).is_up() {
                return Err(Refusal::request(format!(
                    "{} is running: a disk is taken away, with what is on it, only while it is stopped",
                    vm.name
                ))
                .hint(format!("seedbed stop {}", vm.name)));
            }
            if (edit.address.is_some() || edit.mac.is_some()) && daemon.status.seen(vm).is_up() {
                // Its tap's rules and its neighbour entry are made from both at start.
                return Err(Refusal::request(format!(
                    "{} is running: its address and MAC can be changed only while it is stopped",
                    vm.name
                ))
                .hint(format!("seedbed stop {}", vm.name)));
            }
            Ok(())
        }
    }
}
