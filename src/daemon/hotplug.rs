//! NICs that come and go while a VM runs: the host's side of it.
//!
//! ```text
//!   in:   registered -> tap -> rules, neighbour entry, bridge -> QEMU has the tap -> the guest has the card
//!   out:  the guest lets go of the card -> QEMU has no tap, so there is none -> no rules, no entry -> not registered
//! ```
//!
//! So whatever a VM has is registered, wherever a daemon is killed, and what is half-way is taken back by the next one.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Daemon, cards, failpoint, nics, plugs, shape};
use crate::control::Refusal;
use crate::host::HostError;
use crate::host::tap::Tap;
use crate::machine::qmp::{Qmp, QmpError};
use crate::machine::{Card, Found, cards_of, has_port};
use crate::model::nic::MORE_SLOTS;
use crate::model::{Network, NetworkName, Nic, TapName, Vm, VmName, VmState};
use crate::registry::{Change, Edit};

/// How long a guest may take to let go of a card.
const LETTING_GO: Duration = Duration::from_secs(6);
/// The same for one that nobody waits for: of a NIC that a daemon which was killed left half-way.
const AT_START: Duration = Duration::from_secs(1);
/// How long a QEMU may take in all when a daemon starts.
const RECALL: Duration = Duration::from_secs(5);

/// Whether a card can come and go in a slot of a VM that runs.
pub(super) fn takes(daemon: &Daemon, vm: &Vm, slot: u8) -> bool {
    shape::running(daemon, vm).is_some_and(|args| has_port(&args, slot))
}

/// Whether a tap is there; also when that can not be found out, so that nothing loses its guard.
pub(super) async fn has_tap(daemon: &Daemon, tap: &TapName) -> bool {
    !matches!(
        daemon.host.index_of(tap.as_str()).await,
        Err(HostError::NoInterface(_))
    )
}

/// Whether a VM that runs has a NIC, which leads somewhere.
async fn is_in(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> bool {
    let cards = daemon.cards.of(&vm.name);
    let cards = cards.or_else(|| Some(cards_of(&shape::running(daemon, vm)?)));
    let has_card = cards.is_some_and(|cards| has(&cards, nic));
    has_card && has_tap(daemon, nic.tap).await
}

fn has(cards: &[Card], nic: Nic<'_>) -> bool {
    let mut cards = cards.iter();
    cards.any(|card| card.slot == nic.slot && card.mac == nic.mac)
}

/// Makes the NICs of a VM that runs those that are registered; a line on each that came or went.
pub(super) async fn apply(daemon: &Daemon, old: &Vm, new: &Vm) -> Vec<String> {
    if new.machine().is_none() || !daemon.status.seen(new).is_up() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for nic in old.more_nics().iter().map(Nic::from) {
        if new.nic_on(nic.network).is_none() {
            lines.push(went(daemon, old, nic));
        }
    }
    for nic in new.more_nics().iter().map(Nic::from) {
        if !is_in(daemon, new, nic).await {
            lines.push(come(daemon, new, nic).await);
        }
    }
    lines
}

fn went(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> String {
    let (network, restart) = (nic.network, restart(vm));
    if has(&daemon.cards.cut_off(&vm.name), nic) {
        format!(
            "NIC {network}: its guest has not let go of the card, which leads nowhere now; without it {restart}"
        )
    } else {
        format!("NIC {network}: taken out at once")
    }
}

async fn come(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> String {
    let (network, restart) = (nic.network, restart(vm));
    if !takes(daemon, vm, nic.slot) {
        return format!("NIC {network}: {restart}");
    }
    match plug(daemon, vm, nic).await {
        Ok(()) => format!("NIC {network}: at once"),
        Err(refusal) => format!("NIC {network}: {restart}: {refusal}"),
    }
}

fn restart(vm: &Vm) -> String {
    format!("from its next start on (seedbed restart {})", vm.name)
}

/// Takes NICs out of those VMs that run, before they are not registered any more; nothing of them is when the change would be
/// refused, or when that fails.
pub(super) async fn take_out(
    daemon: &Daemon,
    vms: &[Arc<Vm>],
    names: &[VmName],
    edit: &Edit,
) -> Result<(), Refusal> {
    let removed = &edit.nics.removed;
    if removed.is_empty() {
        return Ok(());
    }
    daemon.registry.check(Change::Update {
        names: names.to_vec(),
        edit: Box::new(edit.clone()),
    })?;
    for (vm, nic) in changing(daemon, vms, removed) {
        if let Err(refusal) = unplug(daemon, vm, nic).await {
            put_back(daemon, vms, removed).await;
            let message = format!(
                "the NIC of {} on network {} could not be taken out: {}",
                vm.name, nic.network, refusal.message
            );
            return Err(Refusal { message, ..refusal }.hint(format!("seedbed stop {}", vm.name)));
        }
    }
    Ok(())
}

/// Puts NICs in again that stay registered.
pub(super) async fn put_back(daemon: &Daemon, vms: &[Arc<Vm>], removed: &[NetworkName]) {
    for (vm, nic) in changing(daemon, vms, removed) {
        if is_in(daemon, vm, nic).await {
            continue;
        }
        if let Err(refusal) = plug(daemon, vm, nic).await {
            tracing::error!(vm = %vm.name, "the NIC of {} on {} is not in any more: {refusal}.", vm.name, nic.network);
        }
    }
}

/// The NICs on these networks that VMs have which run.
fn changing<'a>(
    daemon: &'a Daemon,
    vms: &'a [Arc<Vm>],
    networks: &'a [NetworkName],
) -> impl Iterator<Item = (&'a Vm, Nic<'a>)> {
    let nics = vms
        .iter()
        .flat_map(|vm| vm.more_nics().iter().map(|nic| (&**vm, Nic::from(nic))));
    nics.filter(|(vm, nic)| networks.contains(nic.network) && takes(daemon, vm, nic.slot))
}

/// How long a guest may take to let go of a card: one that stands still does nothing.
fn patience(daemon: &Daemon, vm: &Vm) -> Duration {
    match daemon.status.seen(vm).state {
        VmState::Paused { .. } => Duration::ZERO,
        _ => LETTING_GO,
    }
}

/// Puts a NIC into a VM that runs; what was done is undone when a step fails.
async fn plug(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> Result<(), Refusal> {
    let network = nics::network_of(daemon, vm, nic)?;
    daemon.serving.answers(&network).await?;
    cards::mark(daemon, &vm.name)?;
    let mut qmp = shape::connected(daemon, vm).await?;
    // What was left there would hold the tap's name, and the port.
    qmp.cut_off(nic.slot).await?;
    if !qmp.take_out(nic.slot, patience(daemon, vm)).await? {
        return Err(Refusal::host(
            "its guest has not let go of the card that was there before",
        ));
    }
    daemon.cards.ask(&vm.name, &mut qmp, &[]).await?;
    let tap = Tap::create(nic.tap)?;
    failpoint::reach("nic tap");
    let mut plugged = connect(daemon, (nic, &network), &mut qmp, &tap).await;
    if plugged.is_ok() {
        plugged = daemon
            .cards
            .ask(&vm.name, &mut qmp, &[])
            .await
            .map_err(Refusal::from);
    }
    drop(tap);
    if plugged.is_err() {
        undo(daemon, vm, (nic, &network), &mut qmp).await;
    }
    plugged
}

/// Takes back what was done to put a NIC in. Goes on after an error: each step is worth doing without the others.
async fn undo(daemon: &Daemon, vm: &Vm, (nic, network): (Nic<'_>, &Network), qmp: &mut Qmp) {
    let taken = async {
        qmp.take_out(nic.slot, Duration::ZERO).await?;
        qmp.cut_off(nic.slot).await
    };
    if let Err(error) = taken.await {
        tracing::warn!(vm = %vm.name, "could not take back what QEMU has of a NIC of {}: {error}.", vm.name);
    }
    if let Err(error) = free(daemon, vm, (nic, network)).await {
        tracing::warn!(vm = %vm.name, "{} stays guarded until {} ends: {error}.", nic.tap, vm.name);
    }
}

/// As at a start: guarded before it is on its bridge, and on its bridge before the guest has it.
async fn connect(
    daemon: &Daemon,
    (nic, network): (Nic<'_>, &Network),
    qmp: &mut Qmp,
    tap: &Tap,
) -> Result<(), Refusal> {
    let card = Card::of(nic, network);
    daemon.guard.add_port(plugs::rule_of(nic.tap, nic)).await?;
    daemon
        .host
        .set_permanent_neighbour(&network.bridge, nic.address, nic.mac)
        .await?;
    daemon.host.attach(nic.tap, &network.bridge).await?;
    failpoint::reach("nic guarded");
    qmp.give_tap(card, tap.as_fd()).await?;
    failpoint::reach("nic given");
    qmp.use_tap(card).await?;
    failpoint::reach("nic backed");
    qmp.put_in(card).await?;
    failpoint::reach("nic plugged");
    Ok(())
}

/// Takes a NIC out of a VM that runs. Whether its guest lets go of the card or not, it leads nowhere then.
async fn unplug(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> Result<(), Refusal> {
    let network = nics::network_of(daemon, vm, nic)?;
    cards::mark(daemon, &vm.name)?;
    let mut qmp = shape::connected(daemon, vm).await?;
    qmp.take_out(nic.slot, patience(daemon, vm)).await?;
    failpoint::reach("nic let go");
    qmp.cut_off(nic.slot).await?;
    failpoint::reach("nic cut off");
    free(daemon, vm, (nic, &network)).await?;
    failpoint::reach("nic freed");
    Ok(daemon.cards.ask(&vm.name, &mut qmp, &[nic.slot]).await?)
}

/// Takes away what a NIC has on the host: it leads nowhere then. A tap that QEMU keeps until its guest has let go of the card (as
/// it does since 10.0) is taken off its bridge; where that fails, it stays guarded.
async fn free(daemon: &Daemon, vm: &Vm, (nic, network): (Nic<'_>, &Network)) -> Result<(), HostError> {
    match daemon.host.index_of(nic.tap.as_str()).await {
        Ok(index) => daemon.host.detach(nic.tap, index, &network.bridge).await?,
        Err(HostError::NoInterface(_)) => {}
        Err(error) => return Err(error),
    }
    if let Err(error) = daemon.guard.remove_port(nic.tap).await {
        tracing::warn!(vm = %vm.name, "could not take the rules of {} away: {error}.", nic.tap);
    }
    let address = nic.address;
    if let Err(error) = daemon.host.remove_neighbour(&network.bridge, address).await {
        tracing::warn!(vm = %vm.name, "could not remove the neighbour entry of {address}: {error}.");
    }
    Ok(())
}

/// Learns which cards those VMs have whose cards an earlier daemon changed, and takes back what it left half-way.
pub(super) async fn recall(daemon: &Daemon, running: &[(Arc<Vm>, Found)]) {
    let marked = running
        .iter()
        .filter(|(vm, _)| cards::is_marked(daemon, &vm.name));
    let works = marked.map(|(vm, _)| async {
        let settled = timeout(RECALL, settle(daemon, vm)).await;
        let settled = settled.unwrap_or_else(|_| Err(QmpError::Silent("qom-list").into()));
        if let Err(refusal) = settled {
            tracing::warn!(vm = %vm.name, "it is not known which NICs {} has: {refusal}.", vm.name);
        }
    });
    futures_util::future::join_all(works).await;
}

async fn settle(daemon: &Daemon, vm: &Vm) -> Result<(), Refusal> {
    let mut qmp = shape::connected(daemon, vm).await?;
    let cards = qmp.cards().await?;
    let mut cut_off = Vec::new();
    for slot in MORE_SLOTS {
        let nic = vm.more_nics().iter().find(|nic| nic.slot == slot);
        let nic = nic.map(Nic::from);
        if let Some(nic) = nic
            && has(&cards, nic)
            && daemon.host.is_attached(nic.tap).await?
        {
            continue;
        }
        cut_off.push(slot);
        qmp.cut_off(slot).await?;
        if cards.iter().any(|card| card.slot == slot) {
            qmp.take_out(slot, AT_START).await?;
        }
        if let Some(nic) = nic {
            let network = nics::network_of(daemon, vm, nic)?;
            free(daemon, vm, (nic, &network)).await?;
        }
    }
    Ok(daemon.cards.ask(&vm.name, &mut qmp, &cut_off).await?)
}
