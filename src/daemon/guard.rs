//! The firewall set of the running VMs: our nftables tables, rewritten whole whenever a VM comes or goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Daemon;
use crate::host::ruleset::{Guarded, Segment, text};
use crate::host::{Host, HostError, nft};
use crate::model::directory::Published;
use crate::model::{Nic, TapName, Vm, VmState};

/// Who is guarded now, and the only writer of our tables.
#[derive(Debug)]
pub(super) struct Guard {
    directory: Arc<Published>,
    host: Host,
    guarded: Mutex<BTreeMap<TapName, Guarded>>,
}

impl Guard {
    /// Nobody is guarded yet.
    pub(super) fn new(directory: Arc<Published>, host: Host) -> Self {
        Self {
            directory,
            host,
            guarded: Mutex::default(),
        }
    }

    /// Loads the tables as they should be now.
    pub(super) async fn load(&self) -> Result<(), HostError> {
        let guarded = self.guarded.lock().await;
        self.apply(&guarded).await
    }

    /// Guards a VM's taps; done before they are on their bridges, so that no frame ever passes unguarded.
    pub(super) async fn add(&self, vm: &Vm) -> Result<(), HostError> {
        self.add_all(vm.nics()).await
    }

    /// Guards the taps of several NICs in one transaction: the tables of an earlier daemon are replaced by tables that know
    /// all of them, and none is unguarded in between.
    pub(super) async fn add_all(&self, nics: impl IntoIterator<Item = Nic<'_>>) -> Result<(), HostError> {
        let rules = nics.into_iter().map(rule_of);
        let mut guarded = self.guarded.lock().await;
        let mut more = guarded.clone();
        more.extend(rules);
        self.apply(&more).await?;
        *guarded = more;
        Ok(())
    }

    /// Takes a VM's rules away; done after its QEMU is gone.
    pub(super) async fn remove(&self, vm: &Vm) -> Result<(), HostError> {
        let mut guarded = self.guarded.lock().await;
        let before = guarded.len();
        for nic in vm.nics() {
            guarded.remove(nic.tap);
        }
        if guarded.len() == before {
            return Ok(());
        }
        self.apply(&guarded).await
    }

    /// Whether a tap is guarded: a NIC that was added to a VM that runs has none yet.
    async fn has(&self, tap: &TapName) -> bool {
        self.guarded.lock().await.contains_key(tap)
    }

    /// Guards one port: of a VM that someone else runs, or of a NIC that is put into one of ours.
    pub(super) async fn add_port(&self, rule: Guarded) -> Result<(), HostError> {
        let mut guarded = self.guarded.lock().await;
        let mut more = guarded.clone();
        more.insert(rule.tap.clone(), rule);
        self.apply(&more).await?;
        *guarded = more;
        Ok(())
    }

    /// Takes the rules of such a port away.
    pub(super) async fn remove_port(&self, port: &TapName) -> Result<(), HostError> {
        let mut guarded = self.guarded.lock().await;
        if guarded.remove(port).is_none() {
            return Ok(());
        }
        self.apply(&guarded).await
    }

    /// Takes in a port that an earlier daemon guarded: the tables that are loaded next have its rules, as those of now do.
    pub(super) async fn know(&self, rule: Guarded) {
        self.guarded.lock().await.insert(rule.tap.clone(), rule);
    }

    async fn apply(&self, guarded: &BTreeMap<TapName, Guarded>) -> Result<(), HostError> {
        let directory = self.directory.load();
        let mut segments = Vec::new();
        for network in directory.networks().filter(|network| network.is_local()) {
            segments.push(Segment::of(
                network,
                self.host.mac_of_bridge(&network.bridge).await?,
            ));
        }
        let guarded: Vec<_> = guarded.values().cloned().collect();
        nft::load(&text(&guarded, &segments)).await
    }
}

fn rule_of(nic: Nic<'_>) -> (TapName, Guarded) {
    let rule = Guarded {
        tap: nic.tap.clone(),
        mac: nic.mac,
        address: nic.address,
    };
    (nic.tap.clone(), rule)
}

/// How often it is checked that what guards the guests is there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Puts back what other programs take away: our tables when someone flushes the whole ruleset, as other firewalls do
/// when they start, and the neighbour entries of running VMs, which the kernel drops when their bridge is taken down.
pub(super) async fn watch(daemon: Arc<Daemon>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = restore_tables(&daemon).await {
            tracing::error!("Seedbed's firewall tables are gone and can not be put back: {error}.");
        }
        let directory = daemon.directory();
        for vm in directory.each_vm().filter(|vm| {
            matches!(
                daemon.status.seen(vm).state,
                VmState::Running { .. } | VmState::Paused { .. }
            )
        }) {
            for nic in vm.nics() {
                if let Err(error) = restore_neighbour(&daemon, vm, nic).await {
                    tracing::error!(vm = %vm.name, "the neighbour entry of {} can not be put back: {error}.", vm.name);
                }
            }
        }
    }
}

async fn restore_tables(daemon: &Daemon) -> Result<(), HostError> {
    if nft::is_loaded().await? {
        return Ok(());
    }
    daemon.guard.load().await?;
    tracing::warn!("someone removed Seedbed's firewall tables: they are back.");
    Ok(())
}

async fn restore_neighbour(daemon: &Daemon, vm: &Vm, nic: Nic<'_>) -> Result<(), HostError> {
    let directory = daemon.directory();
    let Some(network) = directory.network(nic.network) else {
        return Ok(());
    };
    if !daemon.guard.has(nic.tap).await {
        return Ok(());
    }
    let entry = daemon.host.neighbour(&network.bridge, nic.address).await?;
    if entry.is_some_and(|entry| entry.permanent) {
        return Ok(());
    }
    daemon
        .host
        .set_permanent_neighbour(&network.bridge, nic.address, nic.mac)
        .await?;
    if !daemon.status.seen(vm).is_up() {
        // It ended meanwhile: what its follower took away stays away.
        return daemon.host.remove_neighbour(&network.bridge, nic.address).await;
    }
    tracing::warn!(vm = %vm.name, "the neighbour entry of {} was gone: it is back.", vm.name);
    Ok(())
}
