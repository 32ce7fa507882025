//! Turns what the services saw into rungs, keeps what a first boot told, and knocks on SSH ports of later boots.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::crowd::Crowd;
use super::{Daemon, rungs};
use crate::model::boot::Outcome;
use crate::model::image::View;
use crate::model::{BootStep, Event, EventKind, FirstBoot, SshKey, Vm, VmState};
use crate::registry::Change;

/// How often the SSH ports of VMs that are not ready yet are tried, and how long one try may take.
const KNOCK_EVERY: Duration = Duration::from_secs(1);
const KNOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How many events are taken at once.
const AT_ONCE: usize = 1_024;
/// How long events gather before they are taken: to be woken for each costs as much as half an answer, and a rung that is
/// shown so much later is no harm.
const GATHER: Duration = Duration::from_millis(5);
/// How long those that the log has counted may wait to be told of.
const COUNTED: Duration = Duration::from_secs(1);

/// Takes events in until the services are gone.
pub(super) async fn events(daemon: Arc<Daemon>, mut events: mpsc::Receiver<Event>) {
    let (mut crowd, mut taken) = (Crowd::default(), Vec::new());
    loop {
        let receiving = events.recv_many(&mut taken, AT_ONCE);
        let received = if crowd.has_more() {
            tokio::time::timeout(COUNTED, receiving).await
        } else {
            Ok(receiving.await)
        };
        if received == Ok(0) {
            return;
        }
        for event in taken.drain(..) {
            if let Some((vm, step)) = take(&daemon, event).await
                && crowd.names(step, daemon.clock.now())
            {
                tell(&vm, step);
            }
        }
        tokio::time::sleep(GATHER).await;
        if let Some(more) = crowd.more(daemon.clock.now()) {
            tracing::info!("{more}.");
        }
    }
}

fn tell(vm: &Vm, step: BootStep) {
    tracing::info!(vm = %vm.name, %step, "{} reached {step}.", vm.name);
}

/// Takes an event in, and returns the rung when its VM has reached a new one.
async fn take(daemon: &Daemon, event: Event) -> Option<(Arc<Vm>, BootStep)> {
    let vm = daemon.directory().vm(&event.vm).cloned()?;
    if let EventKind::Impersonated { why } = &event.kind {
        // Also of a VM that does not run: that is when others take its address.
        daemon.impersonations.saw(&vm, why, daemon.clock.now());
        return None;
    }
    // DHCP knows a guest by its MAC alone: who speaks as a VM of ours that does not run is somebody else.
    if vm.machine().is_some() && !daemon.status.seen(&vm).is_up() {
        return None;
    }
    log(daemon, &vm, &event.kind);
    hear(daemon, &vm, &event.kind).await;
    // The host keys are kept before `ready` is shown: whoever waited for it may log in with strict checking at once.
    keep_success(daemon, &vm, &event.kind).await;
    let known = is_set_up(daemon, &vm);
    let step = daemon.status.observe(&event, known, daemon.clock.now())?.step;
    rungs::keep(daemon, &vm, step);
    Some((vm, step))
}

/// What the log is told of beside rungs.
fn log(daemon: &Daemon, vm: &Vm, kind: &EventKind) {
    match kind {
        EventKind::BootFetched { part } => {
            tracing::info!(vm = %vm.name, part, "{} fetches the {part} of its network boot.", vm.name);
        }
        EventKind::AnswersFetched { name } => {
            tracing::info!(vm = %vm.name, name, "the installer in {} fetches its answers ({name}).", vm.name);
        }
        EventKind::BootRefused { why } if daemon.boot_refusals.is_news(&vm.name, daemon.clock.now()) => {
            tracing::warn!(vm = %vm.name, "{} asked for a network boot: {why}.", vm.name);
        }
        EventKind::Declined => {
            tracing::warn!(vm = %vm.name, ip = %vm.address, "{} declined {}: another host on the bridge answers for it.", vm.name, vm.address);
        }
        _ => {}
    }
}

/// Takes in what an agent said, and what it was told.
async fn hear(daemon: &Daemon, vm: &Vm, kind: &EventKind) {
    let now = daemon.clock.now();
    if matches!(
        kind,
        EventKind::Fetched { .. } | EventKind::PhonedHome { .. } | EventKind::Reported(_)
    ) {
        daemon.heard.contact(&vm.name, now);
    }
    match kind {
        EventKind::Fetched {
            document,
            withheld: true,
        } => daemon.heard.withheld(vm, document, now),
        EventKind::Fetched { .. } if vm.machine().is_none() => first_asked(daemon, vm).await,
        EventKind::Reported(report) => {
            daemon.heard.report(vm, report, now);
            if report.outcome == Some(Outcome::Failure) {
                // Who waits for it to be ready need wait no longer.
                daemon.status.ring();
            }
            // Who replaced `phone_home` in its user-data never phones.
            if report.is_the_end() && vm.succeeded().is_none() && is_present_instance(daemon, vm) {
                remember_first_boot(daemon, vm, &[]).await;
            }
        }
        _ => {}
    }
}

/// Whether what reports is the VM's present instance, as far as that is known: a report has no instance-id in it, and one that
/// runs since before the VM became another instance is the former one.
fn is_present_instance(daemon: &Daemon, vm: &Vm) -> bool {
    let Some(renewed) = vm.instance().renewed else {
        return true;
    };
    daemon
        .heard
        .of(&vm.name)
        .powered_on
        .is_some_and(|at| at >= renewed)
}

/// A VM that someone else runs is told its secrets from its first request on: when it started is not known here.
async fn first_asked(daemon: &Daemon, vm: &Vm) {
    if vm.released().is_some() || !vm.awaits_release() {
        return;
    }
    let name = vm.name.clone();
    if let Err(error) = daemon.commit(Change::Released { name }).await {
        tracing::error!(vm = %vm.name, "could not note that {} is told its secrets: {error}.", vm.name);
    }
}

/// A VM that was given a host key and reports others has a user-data with keys of its own, or a template without ours.
fn tell_of_other_keys(vm: &Vm, told: &[SshKey]) {
    let has = |made: &SshKey| told.iter().any(|key| key.data() == made.data());
    if vm.has_made_host_key() && !vm.host_keys().iter().all(has) {
        tracing::warn!(
            vm = %vm.name,
            "{} reports other SSH host keys than the one that was made for it, and will not be trusted: its user-data has \
             `ssh_keys` of its own, or its template {} does not use `host_keys`.",
            vm.name,
            vm.template
        );
    }
}

/// Keeps that a boot succeeded, where an event says so.
async fn keep_success(daemon: &Daemon, vm: &Vm, kind: &EventKind) {
    match kind {
        EventKind::PhonedHome { host_keys } => remember_first_boot(daemon, vm, host_keys).await,
        // Nobody phones home from a guest without an agent, and its host key is known.
        EventKind::SshAnswered if vm.succeeded().is_none() => remember_first_boot(daemon, vm, &[]).await,
        _ => {}
    }
}

async fn remember_first_boot(daemon: &Daemon, vm: &Vm, host_keys: &[SshKey]) {
    let same = |known: &FirstBoot| *known.host_keys == *host_keys;
    if vm.succeeded().is_some() && vm.first_boot.as_ref().is_some_and(same) {
        return;
    }
    // Anything in the guest may say so, as often as it likes: it is looked into, and told of, once a minute.
    let is_news = daemon.phone_homes.is_news(&vm.name, daemon.clock.now());
    if is_news && !host_keys.is_empty() {
        tell_of_other_keys(vm, host_keys);
    }
    if !is_news && vm.succeeded().is_some() {
        return;
    }
    let first_boot = FirstBoot {
        at: daemon.clock.now(),
        host_keys: host_keys.to_vec().into(),
    };
    if let Err(error) = daemon
        .commit(Change::FirstBoot {
            name: vm.name.clone(),
            first_boot,
        })
        .await
    {
        tracing::error!(vm = %vm.name, "could not keep the host keys of {}: {error}.", vm.name);
    }
}

/// Tries the SSH ports of VMs whose later boot is not known to be ready, until it is told to stop.
pub(super) async fn knock(daemon: Arc<Daemon>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(KNOCK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => knock_once(&daemon).await,
        }
    }
}

async fn knock_once(daemon: &Arc<Daemon>) {
    let mut tries = JoinSet::new();
    for vm in daemon
        .directory()
        .each_vm()
        .filter(|vm| waits_for_ssh(daemon, vm))
    {
        let (daemon, vm) = (Arc::clone(daemon), Arc::clone(vm));
        tries.spawn(async move {
            if answers(&vm).await {
                let event = Event {
                    vm: vm.name.clone(),
                    kind: EventKind::SshAnswered,
                };
                if let Some((vm, step)) = take(&daemon, event).await {
                    tell(&vm, step);
                }
            }
        });
    }
    while tries.join_next().await.is_some() {}
}

/// Whether all that a VM needs is in place before its SSH server starts: since an earlier boot, or because it was written into
/// its disk.
fn is_set_up(daemon: &Daemon, vm: &Vm) -> bool {
    vm.succeeded().is_some() || daemon.directory().view_of(vm) == View::Offline
}

fn waits_for_ssh(daemon: &Daemon, vm: &Vm) -> bool {
    if !is_set_up(daemon, vm) {
        return false;
    }
    let seen = daemon.status.seen(vm);
    let up = match seen.state {
        VmState::Running { .. } => true,
        VmState::External => seen.progress.is_some(),
        VmState::Stopped
        | VmState::Starting
        | VmState::Paused { .. }
        | VmState::Stopping { .. }
        | VmState::Failed { .. } => false,
    };
    up && !seen.reached(BootStep::Ready)
}

/// Whether an SSH server greets at the VM's address (RFC 4253 §4.2).
async fn answers(vm: &Vm) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect((vm.address, 22)).await.ok()?;
        let mut start = [0; 4];
        stream.read_exact(&mut start).await.ok()?;
        Some(&start == b"SSH-")
    };
    matches!(
        tokio::time::timeout(KNOCK_TIMEOUT, greeting).await,
        Ok(Some(true))
    )
}
