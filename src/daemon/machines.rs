//! Starts and stops VMs: tap, rules and neighbour entry first, then QEMU; undone in reverse when a step fails.
//!
//! The tap is not persistent. Its only lasting owner is QEMU, so whoever is killed, in whatever order, the tap goes
//! with the process that used it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::events::Listener;
use super::{
    Daemon, cards, consoles, customize, failpoint, failures, hardware, images, nics, replace, restarts,
    rungs, seed_device, selection, shape, workshop,
};
use crate::control::Refusal;
use crate::machine::events::LastWords;
use crate::machine::restart::End;
use crate::machine::{self, Accel, Ended, Launch, LifeEvent, Running, SeedDevice, Settings, process};
use crate::model::image::View;
use crate::model::{Image, Machine, Network, Phase, Vm, VmName, VmState, Workshop, identity};
use crate::registry::Change;
use crate::seed;

/// Starts a VM that is not running.
pub(super) async fn start(daemon: &Arc<Daemon>, vm: &Vm) -> Result<(), Refusal> {
    let _held = daemon.lock(vm).await;
    let vm = daemon.still(vm)?;
    if !daemon.status.seen(&vm).is_up() {
        workshop::refuse(&vm)?;
    }
    daemon.restarts.by_hand(&vm.name);
    start_locked(daemon, &vm).await
}

/// Stops a running VM: asks it by ACPI, and powers it off when the deadline has passed or `force` is given.
pub(super) async fn stop(
    daemon: &Arc<Daemon>,
    vm: &Vm,
    force: bool,
    deadline: Duration,
) -> Result<(), Refusal> {
    let _held = daemon.lock(vm).await;
    stop_locked(daemon, &daemon.still(vm)?, force, deadline).await
}

/// Stops a VM if it runs, and starts it.
pub(super) async fn restart(
    daemon: &Arc<Daemon>,
    vm: &Vm,
    force: bool,
    deadline: Duration,
) -> Result<(), Refusal> {
    let _held = daemon.lock(vm).await;
    let vm = daemon.still(vm)?;
    workshop::refuse(&vm)?;
    stop_locked(daemon, &vm, force, deadline).await?;
    start_locked(daemon, &vm).await
}

/// The machine of a VM, or a refusal for one that someone else runs.
pub(super) fn machine_of(vm: &Vm) -> Result<&Machine, Refusal> {
    vm.machine().ok_or_else(|| {
        Refusal::request(format!(
            "{} is run by someone else: it was registered with `seedbed add`",
            vm.name
        ))
        .hint("start and stop it where it runs; Seedbed only serves it")
    })
}

/// [`start`], by someone who holds the VM's lock.
pub(super) async fn start_locked(daemon: &Arc<Daemon>, vm: &Arc<Vm>) -> Result<(), Refusal> {
    start_with(daemon, vm, None).await
}

/// [`start_locked`], with install media in the VM's drive.
pub(super) async fn start_with(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    drive: Option<File>,
) -> Result<(), Refusal> {
    if machine_of(vm)?.phase == Phase::Replacing {
        replace::put(daemon, vm).await?;
    }
    if runs_on(daemon, vm).await? {
        return Ok(());
    }
    let _admitted = daemon.admission.start().await;
    daemon.status.live(&vm.name, &LifeEvent::StartAsked);
    match bring_up(daemon, vm, drive).await {
        Ok(running) => {
            follow(daemon, vm, running);
            failpoint::reach("running");
            Ok(())
        }
        Err(refusal) => {
            clear_away(daemon, vm).await;
            failures::keep(daemon, &vm.name, &refusal.message, false);
            daemon.status.live(
                &vm.name,
                &LifeEvent::StartFailed {
                    why: refusal.message.clone(),
                },
            );
            Err(refusal)
        }
    }
}

/// Whether a VM runs and goes on running. One that has just ended is waited for: what it had on the host is cleared away
/// before it is started again.
async fn runs_on(daemon: &Daemon, vm: &Vm) -> Result<bool, Refusal> {
    let seen = daemon.status.seen(vm);
    if !seen.is_up() {
        return Ok(false);
    }
    let found = process::find(&daemon.config.places, vm).await?;
    match (found, seen.state) {
        (Some(found), VmState::Stopping { .. }) => Err(Refusal::request(format!(
            "{} is being powered off (QEMU process {})",
            vm.name, found.pid
        ))
        .hint(format!(
            "wait for it with `seedbed wait {} --for stopped`",
            vm.name
        ))),
        (Some(_), _) => Ok(true),
        (None, _) => {
            down(daemon, vm).await;
            Ok(false)
        }
    }
}

/// Waits until a VM whose QEMU has ended is cleared away.
async fn down(daemon: &Daemon, vm: &Vm) {
    let mut bell = daemon.status.bell();
    while daemon.status.seen(vm).is_up() {
        if bell.changed().await.is_err() {
            return;
        }
    }
}

/// Puts everything in place and starts QEMU. What it leaves behind on failure is what [`clear_away`] removes.
async fn bring_up(daemon: &Arc<Daemon>, vm: &Arc<Vm>, drive: Option<File>) -> Result<Running, Refusal> {
    let machine = machine_of(vm)?;
    let network = daemon.network_of(vm)?;
    let image = image_of(daemon, machine)?;
    hardware::fits(daemon, vm, machine).await?;
    if vm.install().is_none() {
        images::verified(daemon, &image).await?;
    }
    let networks = nics::networks(daemon, vm)?;
    for network in &networks {
        daemon.serving.answers(network).await?;
    }
    let seed = told_from_now(daemon, (vm, &network), &image).await?;
    shape::grow(daemon, vm, machine).await?;
    customize::before_start(daemon, vm, &image).await?;
    let argv = argv(daemon, vm, (machine, &image, seed.as_ref()), &network)?;

    let mut taps = nics::plug_in(daemon, vm, &networks).await?;
    let more_taps = taps.split_off(1);
    let tap = taps
        .pop()
        .ok_or_else(|| Refusal::internal(format!("{} has no NIC", vm.name)))?;

    cards::forget(daemon, &vm.name);
    rungs::forget(daemon, &vm.name);
    daemon.heard.power_on(&vm.name, daemon.clock.now());
    daemon.status.power_on(&vm.name, daemon.accel, daemon.clock.now());
    let (serial, broker) = consoles::open(daemon, vm)?;
    let launch = Launch {
        argv,
        vm,
        places: &daemon.config.places,
        uid: identity::uid(vm.address),
        gid: group(daemon.accel, vm),
        seed,
        tap,
        media: drive.map(OwnedFd::from),
        serial,
        more_taps,
    };
    let running = machine::spawn(launch)
        .await
        .map_err(|error| Refusal::host(format!("{} did not start: {error}", vm.name)))?;
    broker.join(daemon, running.pid);
    failpoint::reach("spawned");
    Ok(running)
}

/// Lets a VM be told its secrets, where its first boot begins, and makes the device that tells it. A document that can not be
/// made is found here, and not by a guest that asks for it in vain.
async fn told_from_now(
    daemon: &Arc<Daemon>,
    (vm, network): (&Arc<Vm>, &Network),
    image: &Image,
) -> Result<Option<SeedDevice>, Refusal> {
    let name = vm.name.clone();
    daemon.commit(Change::Released { name }).await?;
    let directory = daemon.directory();
    let mut told = directory.served(&daemon.still(vm)?);
    if directory.window(&told, daemon.clock.now()).is_closed() {
        told = Arc::new(told.without_secrets());
    }
    seed::documents(&daemon.templates.now(), &told, network, Some(image))?;
    seed_device::of(daemon, &told, image, network)
}

/// The QEMU command line of a VM, as it would be started now.
pub(super) fn argv(
    daemon: &Daemon,
    vm: &Vm,
    (machine, image, seed): (&Machine, &Image, Option<&SeedDevice>),
    network: &Network,
) -> Result<Vec<String>, Refusal> {
    let networks = nics::networks(daemon, vm)?;
    let key = daemon.directory().site().seed_key(vm);
    // An installer is led to its answers by its command line alone.
    let view = match vm.install() {
        Some(_) => View::None,
        None => vm.view(Some(image)),
    };
    let smbios = seed::smbios(view, network, key.as_ref());
    let settings = Settings {
        qemu: &daemon.config.qemu,
        accel: daemon.accel,
        places: &daemon.config.places,
        smbios_serial: &smbios.serial,
        smbios_product: smbios.product,
        seed,
        more_networks: networks.get(1..).unwrap_or_default(),
    };
    Ok(machine::argv(vm, machine, image, network, &settings)?)
}

/// The image of a machine, or a refusal that says what to do; of a machine that a system is installed in, what it becomes.
pub(super) fn image_of(daemon: &Daemon, machine: &Machine) -> Result<Arc<Image>, Refusal> {
    if let Some(install) = machine.workshop.as_deref().and_then(Workshop::install) {
        return Ok(Arc::new(workshop::unborn(machine, install)));
    }
    images::named(&daemon.directory(), &(&machine.image).into())
}

/// The generation of an image that someone who names it means.
pub(super) fn image_named(daemon: &Daemon, name: &str) -> Result<Arc<Image>, Refusal> {
    images::named(&daemon.directory(), &selection::parse(name)?)
}

/// Follows a running QEMU to its end in a task of its own.
pub(super) fn follow(daemon: &Arc<Daemon>, vm: &Arc<Vm>, running: Running) {
    daemon
        .status
        .live(&vm.name, &LifeEvent::Ready { pid: running.pid });
    failures::forget(daemon, &vm.name);
    stopping(daemon, &vm.name, false);
    daemon.restarts.runs(&vm.name, daemon.clock.now());
    workshop::began(daemon, vm);
    let listener = Listener::start(daemon, vm, running.accel);
    let (daemon, vm, qemu) = (Arc::clone(daemon), Arc::clone(vm), running.pid);
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = running.watch() => ended,
            never = consoles::keep(&daemon, &vm, qemu) => match never {},
        };
        clear_away(&daemon, &vm).await;
        let words = listener.last_words().await;
        over(&daemon, &vm, ended.given(words), words);
        if vm.workshop().is_some() {
            workshop::ended(&daemon, &vm, words.by_guest).await;
        }
    });
}

/// Takes in how a VM ended, and what its policy makes of that.
fn over(daemon: &Arc<Daemon>, vm: &Arc<Vm>, ended: Ended, words: LastWords) {
    let asked = matches!(daemon.status.seen(vm).state, VmState::Stopping { .. });
    let failure = match &ended {
        Ended::Error(why) if !asked => Some(why.clone()),
        _ => None,
    };
    let end = match &failure {
        Some(_) => End::Failed,
        None if words.by_guest && !asked => End::ByGuest,
        None => End::Asked,
    };
    // Before its state is shown, so that whoever sees that it failed finds why.
    restarts::ended(daemon, vm, end, failure.as_deref());
    if let VmState::Failed { why } = daemon.status.live(&vm.name, &ended.into()) {
        tracing::error!(vm = %vm.name, "{} failed: {why}.", vm.name);
    } else {
        tracing::info!(vm = %vm.name, "{} is stopped.", vm.name);
    }
}

/// Notes for a later daemon that a VM was asked to power off, or that this is over.
pub(super) fn stopping(daemon: &Daemon, vm: &VmName, is: bool) {
    let path = daemon.config.places.stopping(vm);
    let noted = if is {
        std::fs::write(&path, "")
    } else {
        std::fs::remove_file(&path)
    };
    match noted {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%vm, "{}: {error}.", path.display());
        }
        _ => {}
    }
}

/// Removes what a running VM has on the host. Goes on after an error: each step is worth doing without the others.
async fn clear_away(daemon: &Daemon, vm: &Vm) {
    nics::unplug(daemon, vm).await;
    cards::forget(daemon, &vm.name);
    consoles::close(daemon, &vm.name).await;
    remove_sockets(daemon, &vm.name);
    stopping(daemon, &vm.name, false);
}

/// Removes a VM's socket directory.
pub(super) fn remove_sockets(daemon: &Daemon, vm: &VmName) {
    if let Err(error) = machine::supervise::forget(&daemon.config.places, vm) {
        tracing::warn!(%vm, "could not remove the sockets of {vm}: {error}.");
    }
}

/// [`stop`], by someone who holds the VM's lock.
pub(super) async fn stop_locked(
    daemon: &Arc<Daemon>,
    vm: &Arc<Vm>,
    force: bool,
    deadline: Duration,
) -> Result<(), Refusal> {
    machine_of(vm)?;
    daemon.restarts.by_hand(&vm.name);
    daemon.queue.call_off(&vm.name);
    if !daemon.status.seen(vm).is_up() {
        failures::leave_alone(daemon, &vm.name);
        return Ok(());
    }
    stopping(daemon, &vm.name, true);
    if !force && matches!(daemon.status.seen(vm).state, VmState::Paused { .. }) {
        // A guest that stands still does not hear the power button; one that can not go on is powered off at the deadline.
        if let Err(error) = machine::resume(&daemon.config.places, vm).await {
            tracing::warn!(vm = %vm.name, "{} could not be resumed to be asked: {error}.", vm.name);
        }
    }
    daemon.status.live(&vm.name, &LifeEvent::StopAsked);
    failpoint::reach("stop asked");
    machine::power_off(&daemon.config.places, vm, force, deadline)
        .await
        .map_err(|error| Refusal::host(format!("{} could not be stopped: {error}", vm.name)))?;
    failpoint::reach("powered off");
    // The follower clears away what the VM had on the host; only then is it stopped.
    down(daemon, vm).await;
    failpoint::reach("stopped");
    Ok(())
}

/// Removes a VM's disks and logs.
pub(super) async fn remove_disks(daemon: &Daemon, vm: &Vm) {
    let (store, name) = (daemon.store.clone(), vm.name.clone());
    let removed = tokio::task::spawn_blocking(move || store.remove_disks(&name)).await;
    match removed {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::error!(vm = %vm.name, "could not remove the disks of {}: {error}.", vm.name);
        }
        Err(error) => tracing::error!(vm = %vm.name, "could not remove the disks of {}: {error}.", vm.name),
    }
}

/// The group a QEMU process runs in: the one that may open `/dev/kvm` where it is used, else the VM's own.
fn group(accel: Accel, vm: &Vm) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    match accel {
        Accel::Kvm => {
            std::fs::metadata("/dev/kvm").map_or_else(|_| identity::uid(vm.address), |meta| meta.gid())
        }
        Accel::Tcg => identity::uid(vm.address),
    }
}
