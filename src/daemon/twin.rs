//! Clones of VMs: as they are, with disks of their own, and each someone of its own.
//!
//! ```text
//!   Register (phase Launching) -> the disks are copied -> Launched
//!        \______ a failure, or a kill, undoes what was done: see launch ______/
//! ```

use std::sync::Arc;

use super::{
    Daemon, failpoint, launch, machines, power, replace, selection, several, still, undelete, workshop,
};
use crate::control::serve::ProgressSink;
use crate::control::{CloneVm, Refusal};
use crate::model::{Custom, Hosting, Instance, Machine, Phase, Vm, VmName};
use crate::registry::{Change, NewVm};

/// Clones a VM; returns the clones as they are registered.
pub(super) async fn clone(
    daemon: &Arc<Daemon>,
    request: CloneVm,
    progress: ProgressSink,
) -> Result<Vec<Arc<Vm>>, Refusal> {
    let source = selection::named(&daemon.directory(), &request.vm)?;
    let names = selection::names(&request.names)?;
    let vms = {
        let _held = locks(daemon, &source.name, &names).await;
        let source = daemon.still(&source)?;
        cloneable(daemon, &source, request.live).await?;
        made(daemon, &source, names, &progress).await?
    };
    if request.start {
        let results = power::start(daemon, &vms, Some(&progress)).await;
        let refusals = results.into_iter().filter_map(Result::err).collect();
        if let Some(refusal) = several::combined(refusals, vms.len()) {
            return Err(refusal);
        }
    }
    Ok(several::current(daemon, &vms))
}

/// The locks of all names, always in their order: two callers can not wait for each other.
async fn locks(daemon: &Daemon, source: &VmName, names: &[VmName]) -> Vec<tokio::sync::OwnedMutexGuard<()>> {
    let mut in_order: Vec<&VmName> = names.iter().chain([source]).collect();
    in_order.sort();
    in_order.dedup();
    let mut held = Vec::with_capacity(in_order.len());
    for name in in_order {
        held.push(daemon.lock_name(name).await);
    }
    held
}

/// Refuses a VM that can not be copied as it is now.
async fn cloneable(daemon: &Arc<Daemon>, source: &Arc<Vm>, live: bool) -> Result<(), Refusal> {
    let machine = machines::machine_of(source)?;
    workshop::refuse(source)?;
    replace::settled(daemon, source, machine).await?;
    if daemon.status.seen(source).is_up() && !live {
        return Err(Refusal::request(format!(
            "{} is running: what its guest has not written yet would be missing",
            source.name
        ))
        .hint("stop it first; or clone it as it is, as after a power cut, with --live"));
    }
    Ok(())
}

async fn made(
    daemon: &Arc<Daemon>,
    source: &Arc<Vm>,
    names: Vec<VmName>,
    progress: &ProgressSink,
) -> Result<Vec<Arc<Vm>>, Refusal> {
    let machine = machines::machine_of(source)?;
    let vms = names
        .into_iter()
        .map(|name| twin(source, machine, name))
        .collect();
    let committed = daemon.commit(Change::Register { vms }).await?;
    failpoint::reach("registered");
    let copying = async {
        let mut refusals = Vec::new();
        for vm in &committed.vms {
            progress.line(vm.name.as_str(), format!("copying the disk of {}", source.name));
            refusals.extend(copied(daemon, source, vm).await.err());
        }
        several::combined(refusals, committed.vms.len()).map_or(Ok(()), Err)
    };
    // Waited for first: no guest stands still for the disks of others.
    let slot = daemon.admission.disks().await;
    let made = still::while_still(daemon, source, copying).await;
    failpoint::reach("cloned");
    drop(slot);
    if let Err(refusal) = made {
        for vm in several::current(daemon, &committed.vms) {
            launch::undo(daemon, &vm).await;
        }
        return Err(refusal);
    }
    let mut revision = committed.revision;
    for vm in &committed.vms {
        let name = vm.name.clone();
        revision = daemon.commit(Change::Launched { name }).await?.revision;
    }
    failpoint::reach("launched");
    daemon.exported(revision).await;
    Ok(several::current(daemon, &committed.vms))
}

/// What a clone is registered as: all of its source but who that is.
fn twin(source: &Vm, machine: &Machine, name: VmName) -> NewVm {
    let mut custom = source.custom.as_deref().cloned().unwrap_or_default();
    custom.aliases = Vec::new();
    custom.access.host_key = None;
    custom.secrets.released = None;
    custom.instance = Instance {
        renewed: None,
        ..custom.instance
    };
    NewVm {
        name,
        network: Some(source.network.clone()),
        mac: None,
        address: None,
        keys: source.keys.clone(),
        template: source.template.clone(),
        user_data: source.user_data.clone(),
        hosting: Hosting::from(Machine {
            phase: Phase::Launching,
            history: None,
            ..machine.clone()
        }),
        custom: Custom { ..custom },
        new_identity: false,
        // Those of its source stand for one each on the same networks.
        nics: Vec::new(),
    }
}

async fn copied(daemon: &Daemon, source: &Arc<Vm>, vm: &Arc<Vm>) -> Result<(), Refusal> {
    undelete::settled(daemon, &vm.name).await?;
    let (store, source, vm) = (daemon.store.clone(), Arc::clone(source), Arc::clone(vm));
    tokio::task::spawn_blocking(move || {
        store
            .make_twin(&source, &vm, machines::machine_of(&vm)?)
            .map_err(Refusal::from)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Timestamp, examples};

    #[test]
    fn a_clone_is_all_of_its_source_but_who_that_is() {
        let machine = examples::machine();
        let mut source = Vm {
            hosting: Hosting::from(machine.clone()),
            user_data: Some(Arc::from(&b"#cloud-config\n"[..])),
            ..examples::vm("web1", "10.77.0.11")
        };
        source.customize(|custom| {
            custom.aliases = vec!["www".parse().unwrap()];
            custom.dhcp.mtu = Some(1_400);
            custom.secrets.released = Some(Timestamp(7));
            custom.instance.renewed = Some(Timestamp(8));
        });
        let new = twin(&source, &machine, "web2".parse().unwrap());
        assert_eq!((new.mac, new.address, new.name.as_str()), (None, None, "web2"));
        assert_eq!(
            (new.user_data, new.network),
            (source.user_data.clone(), Some(source.network.clone()))
        );
        assert_eq!((new.custom.aliases.len(), new.custom.dhcp.mtu), (0, Some(1_400)));
        assert_eq!(new.custom.secrets.released, None);
        assert_eq!(new.custom.instance.renewed, None);
        let expected = Machine {
            phase: Phase::Launching,
            ..machine
        };
        assert_eq!(new.hosting, Hosting::from(expected));
    }
}
