//! The daemon: everything below is put together here, and nowhere else.
//!
//! ```text
//!   control socket -> handle -> registry -> directory -> dhcp, dns, metadata, exports
//!                        |                                   | events
//!                        v                                   v
//!                     machines (taps, rules, QEMU)        observe -> status (states and rungs) -> wait
//! ```
//!
//! [`run`] reads like the life of the process: check, open, bind, answer, recover, serve, drain.

mod admission;
mod adopt;
mod autostart;
mod cards;
mod check;
mod consoles;
mod crowd;
mod custom;
mod customize;
mod delete;
mod discovered;
mod door;
mod effects;
mod events;
mod exports;
mod failpoint;
mod failures;
mod faults;
mod firmware;
mod guard;
mod handle;
mod hardware;
mod heard;
mod hostnames;
mod hotplug;
mod images;
mod impersonation;
mod info;
mod inherited;
mod launch;
mod lending;
mod life;
mod machines;
mod memory;
#[cfg(test)]
mod names_tests;
mod networks;
mod nics;
mod observe;
mod order;
mod plugs;
mod power;
mod quiet;
mod records;
mod recover;
mod register;
mod render;
mod replace;
mod restarts;
mod ring;
mod rungs;
mod seed_device;
mod selection;
mod services;
mod serving;
mod several;
mod shape;
mod snapshots;
mod status;
mod still;
mod templates;
mod twin;
mod undelete;
mod waiting;
mod workshop;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::control::{self, Refusal};
use crate::dhcp;
use crate::host::Host;
use crate::image::Store;
use crate::machine::Accel;
use crate::model::{Clock, Directory, Network, Revision, Vm, VmName};
use crate::registry::{Change, CommitError, Committed, Registry};

use admission::Admission;
use consoles::Consoles;
use discovered::Discovered;
use guard::Guard;
use heard::Heard;
use hostnames::Naming;
use impersonation::Impersonations;
use inherited::Inherited;
use order::Queue;
use quiet::Quiet;
use restarts::Restarts;
use serving::Serving;
use status::Status;
use workshop::Outcomes;

/// How long the services may take to finish what they are answering when the daemon is told to stop.
const DRAIN: Duration = Duration::from_secs(3);
/// Events that may wait to be looked at; beyond it they are dropped and a later one tells the same.
const EVENTS: usize = 65_536;

/// What every request handler works with.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    clock: Clock,
    registry: Registry,
    host: Host,
    store: Store,
    templates: templates::Library,
    status: Arc<Status>,
    guard: Guard,
    accel: Accel,
    written: exports::Written,
    discovered: Arc<Discovered>,
    host_names: Naming,
    /// One lock per VM: two requests never start, stop or delete the same VM at once.
    locks: Mutex<HashMap<VmName, Arc<tokio::sync::Mutex<()>>>>,
    rungs_changed: rungs::Changed,
    /// Whose vain questions for a network boot the log was told of lately.
    boot_refusals: Quiet,
    /// Who else spoke from their addresses.
    impersonations: Impersonations,
    /// Who phoned home lately.
    phone_homes: Quiet,
    /// What their agents said, and were not told.
    heard: Heard,
    /// Whose metadata is served.
    serving: Arc<Serving>,
    /// Held by who has a base image hashed.
    verifying: tokio::sync::Mutex<()>,
    /// What became of workshops.
    outcomes: Outcomes,
    /// What the installed QEMU said of itself.
    installed: hardware::Installed,
    /// How many VMs may be made and started at once.
    admission: Admission,
    /// Who waits for a start.
    queue: Queue,
    /// What was done about VMs that ended by themselves.
    restarts: Restarts,
    /// Who brings guests' consoles to those who look on.
    consoles: Consoles,
    /// The ports of VMs that someone else runs.
    plugs: plugs::Plugs,
    /// What of their QEMUs' words the log was told lately.
    told: events::Told,
    /// The cards of VMs whose NICs were changed while they ran.
    cards: cards::Cards,
}

impl Daemon {
    fn directory(&self) -> Arc<Directory> {
        self.registry.published().load_full()
    }

    fn network_of(&self, vm: &Vm) -> Result<Arc<Network>, Refusal> {
        self.directory().network(&vm.network).cloned().ok_or_else(|| {
            Refusal::request(format!(
                "{} is on network {}, which is not in the configuration",
                vm.name, vm.network
            ))
            .hint("put the network back into the configuration and restart the daemon")
        })
    }

    async fn commit(&self, change: Change) -> Result<Committed, CommitError> {
        self.registry.commit(change).await
    }

    /// Waits until the generated files hold this revision, so that a command's effect is there when it returns.
    async fn exported(&self, revision: Revision) {
        let mut written = self.written.clone();
        let caught_up = written.wait_for(|written| *written >= revision);
        if tokio::time::timeout(DRAIN, caught_up).await.is_err() {
            tracing::warn!("the generated files are behind revision {}.", revision.0);
        }
    }

    /// A VM was deleted: nothing is known of it any more.
    fn forget(&self, vm: &VmName) {
        self.status.forget(vm);
        rungs::forget(self, vm);
        self.boot_refusals.forget(vm);
        self.impersonations.forget(vm);
        self.heard.forget(vm);
        self.phone_homes.forget(vm);
        self.restarts.forget(vm);
        self.told.forget(vm);
        cards::forget(self, vm);
    }

    /// Waits until nobody else starts, stops, changes or deletes this VM.
    async fn lock(&self, vm: &Vm) -> OwnedMutexGuard<()> {
        self.lock_name(&vm.name).await
    }

    /// [`Self::lock`], for a VM of that name that may not be registered yet.
    async fn lock_name(&self, name: &VmName) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(name.clone()).or_default())
        };
        lock.lock_owned().await
    }

    /// Locks several VMs, always in the order of their names: two callers can not wait for each other.
    async fn lock_all(&self, vms: &[Arc<Vm>]) -> Vec<OwnedMutexGuard<()>> {
        let mut in_order: Vec<_> = vms.iter().collect();
        in_order.sort_by(|one, other| one.name.cmp(&other.name));
        let mut held = Vec::with_capacity(vms.len());
        for vm in in_order {
            held.push(self.lock(vm).await);
        }
        held
    }

    /// The VM as it is registered now: whoever waited for its lock may find that it was changed, or is another one.
    fn still(&self, vm: &Vm) -> Result<Arc<Vm>, Refusal> {
        let now = self
            .directory()
            .vm(&vm.name)
            .filter(|now| now.created == vm.created)
            .cloned();
        now.ok_or_else(|| Refusal::not_found(format!("{} was deleted meanwhile", vm.name)))
    }
}

/// Starts what goes on beside the answers: what is written on every change, looked after, and given back.
fn keepers(
    daemon: &Arc<Daemon>,
    written: watch::Sender<Revision>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let registry = &daemon.registry;
    let places = || daemon.config.places.clone();
    tasks.spawn(exports::keep(
        places(),
        registry.published(),
        registry.watch(),
        written,
        stop.clone(),
    ));
    tasks.spawn(exports::keep_networks(
        places(),
        registry.published(),
        registry.watch(),
        stop.clone(),
    ));
    tasks.spawn(observe::knock(Arc::clone(daemon), stop.clone()));
    tasks.spawn(guard::watch(Arc::clone(daemon), stop.clone()));
    tasks.spawn(discovered::keep(Arc::clone(daemon), stop.clone()));
    tasks.spawn(hostnames::keep(Arc::clone(daemon), stop.clone()));
    tasks.spawn(rungs::keep_external(Arc::clone(daemon), stop.clone()));
    tasks.spawn(services::examine(Arc::clone(daemon)));
    tasks.spawn(templates::keep(Arc::clone(daemon), stop.clone()));
    tasks.spawn(memory::keep(stop.clone()));
}

/// Runs the daemon until it is told to stop. Running VMs are left alone when it ends.
pub async fn run(config: Config) -> Result<(), Refusal> {
    if !rustix::process::geteuid().is_root() {
        return Err(
            Refusal::permission("the daemon makes bridges and taps, and so has to run as root")
                .hint("sudo seedbed serve"),
        );
    }
    services::keep_no_core()?;
    services::directories(&config)?;
    let registry = services::open_registry(&config)?;
    services::keep_secret(&registry).await?;
    let host = services::host(&config).await?;
    let services = services::bind(&config.networks, Inherited::of_process()).await?;
    let listener = control::serve::bind(&config.socket)?;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let (written_tx, written) = watch::channel(Revision::default());
    let (events_tx, events_rx) = mpsc::channel(EVENTS);
    // Guests wait: they are answered before anything that an answer does not need. The guests that run now are guarded
    // meanwhile by the tables of the daemon before, which the kernel keeps until `recover` replaces them at once; a
    // guest that was not guarded then has no tap on our bridges, because only we put one there.
    let discovered = Arc::new(Discovered::default());
    let dhcp = dhcp::Backing {
        directory: registry.published(),
        events: events_tx.clone(),
        ledger: Arc::new(lending::Book {
            registry: registry.clone(),
            discovered: Arc::clone(&discovered),
            clock: Clock,
        }),
        clock: Clock,
    };
    let metadata = services.answer(&dhcp, &tasks, &stop);
    drop(dhcp);
    let daemon = Arc::new(services::daemon(config, registry, host, written, discovered)?);
    metadata.spawn(&daemon, &events_tx, &tasks, &stop)?;
    drop(events_tx);
    keepers(&daemon, written_tx, &tasks, &stop);
    plugs::recall(&daemon).await?;
    let due = autostart::due(&daemon);
    recover::recover(&daemon, due.same_boot).await?;
    autostart::begin(&daemon, due);
    tasks.spawn(undelete::keep(Arc::clone(&daemon), stop.clone()));
    tasks.spawn(plugs::keep_up(Arc::clone(&daemon), stop.clone()));
    // Only now is it known which VMs run: what a guest told meanwhile, to the sockets of the daemon before, waits until then.
    tasks.spawn(observe::events(Arc::clone(&daemon), events_rx));
    tasks.spawn(control::serve::serve(
        listener,
        Arc::new(handle::Door(Arc::clone(&daemon))),
        stop.clone(),
    ));
    services::announce(&daemon.config);

    services::told_to_stop().await;
    tracing::info!("stopping; running VMs go on.");
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!("some connections did not finish within {} s.", DRAIN.as_secs());
    }
    Ok(())
}
