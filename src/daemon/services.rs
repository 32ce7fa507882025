//! What the daemon opens at start: directories, registry, bridges, and the guest-facing sockets, each with an error that
//! names who is in the way.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Daemon;
use super::admission::Admission;
use super::cards::Cards;
use super::consoles::Consoles;
use super::discovered::Discovered;
use super::events;
use super::guard::Guard;
use super::hardware;
use super::heard::Heard;
use super::hostnames::Naming;
use super::impersonation::Impersonations;
use super::inherited::{self, Inherited};
use super::order::Queue;
use super::plugs::Plugs;
use super::quiet::Quiet;
use super::restarts::Restarts;
use super::rungs;
use super::status::Status;
use super::templates;
use super::workshop::Outcomes;
use crate::config::{AccelChoice, Config};
use crate::control::Refusal;
use crate::host::accel::{self, KvmState};
use crate::host::ports::{Protocol, owner};
use crate::host::{Host, doctor, sysctl};
use crate::image::Store;
use crate::machine::Accel;
use crate::metadata::serve::Server;
use crate::metadata::socket::Socket;
use crate::metadata::token::Tokens;
use crate::model::{BridgeName, Clock, Event, Network, Revision, SiteSecret};
use crate::registry::{Change, Registry};
use crate::{dhcp, dns, metadata};

/// Sees to it that neither this process nor a QEMU that it starts leaves a core file, which would hold guests' secrets.
pub(super) fn keep_no_core() -> Result<(), Refusal> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)
        .map_err(|error| Refusal::host(format!("core files can not be switched off: {error}")))
}

/// Makes the directories everything lies in. QEMU runs as a user of its own and has to pass through them to its files.
pub(super) fn directories(config: &Config) -> Result<(), Refusal> {
    let places = &config.places;
    for path in [places.state(), places.run(), &places.sockets(), &places.rungs()] {
        make_directory(path).map_err(|error| Refusal::host(format!("{}: {error}", path.display())))?;
        if !path.metadata().is_ok_and(|meta| meta.mode() & 0o001 != 0) {
            let path = path.display();
            return Err(Refusal::host(format!(
                "QEMU, which runs as a user of its own, can not pass through {path}"
            ))
            .hint(format!("chmod o+x {path}")));
        }
    }
    if config.templates_dir.is_none() {
        let path = places.templates();
        make_directory(&path).map_err(|error| Refusal::host(format!("{}: {error}", path.display())))?;
    }
    Ok(())
}

/// Makes a directory that is missing; one that is there is its owner's, and stays as it is.
fn make_directory(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))
}

/// Opens the registry.
pub(super) fn open_registry(config: &Config) -> Result<Registry, Refusal> {
    Ok(Registry::open(
        &config.places.registry(),
        config.networks.clone(),
        Clock,
    )?)
}

/// Makes what seed URLs are made from, where there is none yet: without it, whoever speaks from a guest's address is told the
/// guest's secrets.
pub(super) async fn keep_secret(registry: &Registry) -> Result<(), Refusal> {
    if registry.read().site().secret.is_some() {
        return Ok(());
    }
    let secret = SiteSecret::of(random()?);
    registry.commit(Change::KeepSecret(secret)).await?;
    Ok(())
}

fn random() -> Result<[u8; 32], Refusal> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets)
        .map_err(|error| Refusal::host(format!("the kernel gives no random numbers: {error}")))?;
    Ok(octets)
}

/// Makes the bridges, and what guests need of the host.
pub(super) async fn host(config: &Config) -> Result<Host, Refusal> {
    let host = Host::open()?;
    for network in local(&config.networks) {
        host.ensure_bridge(network).await?;
        host.own_metadata_address(network).await?;
    }
    if local(&config.networks).any(|network| network.nat) {
        let changed = sysctl::enable_forwarding()?;
        if changed {
            tracing::info!("switched IPv4 forwarding on, for the networks with `nat: true`.");
        }
    }
    Ok(host)
}

/// Tells what on this host breaks guests. It runs several programs, and so takes longer than all of the start.
pub(super) async fn examine(daemon: Arc<Daemon>) {
    for network in local(&daemon.config.networks) {
        for finding in doctor::check(&daemon.host, network).await {
            tracing::warn!(network = %network.name, "{}; to mend it: {}", finding.problem, finding.remedy);
        }
    }
}

/// The networks whose bridges are on this host.
fn local(networks: &[Network]) -> impl Iterator<Item = &Network> {
    networks.iter().filter(|network| network.is_local())
}

/// The guest-facing sockets of one network, bound but not served yet.
#[derive(Debug)]
pub(super) struct Bound {
    dns: dns::Server,
    metadata: Socket,
}

/// The sockets of all networks.
#[derive(Debug)]
pub(super) struct Services {
    dhcp: Vec<dhcp::Socket>,
    local: Vec<Bound>,
}

/// The metadata sockets of all networks.
#[derive(Debug)]
pub(super) struct Metadata(Vec<Socket>);

/// Binds DHCP on every interface that requests come in by, and DNS and metadata on every bridge.
pub(super) async fn bind(networks: &[Network], mut inherited: Inherited) -> Result<Services, Refusal> {
    let mut dhcp = Vec::new();
    for interface in dhcp::Interface::all(networks) {
        let (name, address) = (interface.name.clone(), interface.address());
        let bound = dhcp::Socket::bind(interface);
        dhcp.push(bound.map_err(|error| taken((&name, address), Protocol::Udp, 67, &error))?);
    }
    let mut bound = Vec::new();
    for network in local(networks) {
        let place = (&network.bridge, network.subnet.gateway());
        bound.push(Bound {
            dns: dns::bind(network)
                .await
                .map_err(|error| taken(place, Protocol::Udp, 53, &error))?,
            metadata: metadata(network, inherited.take(network)).await?,
        });
    }
    inherited.give_up();
    Ok(Services { dhcp, local: bound })
}

/// The metadata socket of a network: that of the daemon before, or a new one.
async fn metadata(network: &Network, kept: Option<TcpListener>) -> Result<Socket, Refusal> {
    let address = SocketAddr::from((network.subnet.gateway(), Network::METADATA_PORT));
    if let Some(listener) = kept {
        match metadata::socket::take_over(network, listener) {
            Ok(Some(socket)) => return Ok(socket),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%address, "the socket of the daemon before can not be used: {error}.");
            }
        }
        inherited::forget(address);
        inherited::settled().await;
    }
    let place = (&network.bridge, network.subnet.gateway());
    let socket = metadata::socket::bind(network)
        .map_err(|error| taken(place, Protocol::Tcp, Network::METADATA_PORT, &error))?;
    inherited::keep(&socket);
    Ok(socket)
}

/// Says who holds the port, where that can be found out.
fn taken(
    (interface, address): (&BridgeName, Ipv4Addr),
    protocol: Protocol,
    port: u16,
    error: &dyn std::error::Error,
) -> Refusal {
    let holder =
        owner(protocol, port, address).or_else(|| owner(Protocol::Tcp, port, address).filter(|_| port == 53));
    match holder {
        Some(owner) => Refusal::host(format!(
            "port {port} of {interface} ({address}) is taken by {} (pid {})",
            owner.name, owner.pid
        ))
        .hint(owner.stop_hint()),
        None => Refusal::host(error.to_string()),
    }
}

impl Services {
    /// Answers DHCP and DNS until `stop`: all they need is the directory. Metadata waits in its sockets.
    pub(super) fn answer(
        self,
        dhcp: &dhcp::Backing,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Metadata {
        for socket in self.dhcp {
            tasks.spawn(socket.serve(dhcp.clone(), stop.clone()));
        }
        let answered = self.local.into_iter().map(|bound| {
            tasks.spawn(bound.dns.serve(Arc::clone(&dhcp.directory), stop.clone()));
            bound.metadata
        });
        Metadata(answered.collect())
    }
}

impl Metadata {
    /// Serves it until `stop`.
    pub(super) fn spawn(
        self,
        daemon: &Arc<Daemon>,
        events: &mpsc::Sender<Event>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(), Refusal> {
        let key = random()?;
        let marks = accepted_marks();
        let neighbours: Arc<dyn metadata::Neighbours> = Arc::new(Kernel(Arc::clone(daemon)));
        for socket in self.0 {
            let backing = metadata::serve::Backing {
                directory: daemon.registry.published(),
                templates: daemon.templates.served(),
                neighbours: Arc::clone(&neighbours),
                events: events.clone(),
                places: daemon.config.places.clone(),
                tokens: Tokens::under(key),
                clock: daemon.clock,
                marks,
            };
            let (server, stop) = (Server::on(socket), stop.clone());
            let serving = Arc::clone(&daemon.serving);
            tasks.spawn(async move {
                let network = server.network().name.clone();
                serving.begins(network.clone());
                if let Err(error) = server.serve(backing, stop).await {
                    tracing::error!(%network, "the metadata service of {network} ended: {error}.");
                }
                serving.ends(&network);
            });
        }
        Ok(())
    }
}

/// Whether accepted sockets tell which tap they came in by.
fn accepted_marks() -> bool {
    match sysctl::enable_accepted_marks() {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(
                "guests are known by filter and neighbour entry alone, without the mark of their tap: {error}."
            );
            false
        }
    }
}

/// The kernel's neighbour table, as the metadata service asks it.
struct Kernel(Arc<Daemon>);

#[async_trait::async_trait]
impl metadata::Neighbours for Kernel {
    async fn entry_of(
        &self,
        bridge: &BridgeName,
        address: std::net::Ipv4Addr,
    ) -> Option<metadata::Neighbour> {
        let entry = self.0.host.neighbour(bridge, address).await.ok().flatten()?;
        Some(metadata::Neighbour {
            mac: entry.mac,
            permanent: entry.permanent,
        })
    }
}

/// Puts the daemon together.
pub(super) fn daemon(
    config: Config,
    registry: Registry,
    host: Host,
    written: watch::Receiver<Revision>,
    discovered: Arc<Discovered>,
) -> Result<Daemon, Refusal> {
    Ok(Daemon {
        accel: accel(config.accel)?,
        clock: Clock,
        discovered,
        guard: Guard::new(registry.published(), host.clone()),
        host,
        host_names: Naming::default(),
        locks: std::sync::Mutex::default(),
        registry,
        rungs_changed: rungs::Changed::default(),
        boot_refusals: Quiet::default(),
        impersonations: Impersonations::default(),
        heard: Heard::default(),
        phone_homes: Quiet::default(),
        outcomes: Outcomes::default(),
        serving: Arc::default(),
        verifying: tokio::sync::Mutex::default(),
        installed: hardware::Installed::default(),
        admission: Admission::new(config.starts),
        queue: Queue::default(),
        restarts: Restarts::default(),
        consoles: Consoles::default(),
        plugs: Plugs::default(),
        told: events::Told::default(),
        cards: Cards::default(),
        status: Arc::new(Status::default()),
        store: Store::open(config.places.clone())?,
        templates: templates::Library::open(&config)?,
        written,
        config,
    })
}

fn accel(choice: AccelChoice) -> Result<Accel, Refusal> {
    match (choice, accel::probe()) {
        (AccelChoice::Tcg, _) => Ok(Accel::Tcg),
        (AccelChoice::Auto | AccelChoice::Kvm, KvmState::Usable { .. }) => Ok(Accel::Kvm),
        (AccelChoice::Kvm, KvmState::Unusable { why }) => Err(Refusal::host(format!(
            "the configuration asks for KVM, but {why}"
        ))
        .hint("set accel: auto, or fix KVM")),
        (AccelChoice::Auto, KvmState::Unusable { why }) => {
            tracing::warn!("VMs run in software (TCG), about ten times slower than KVM: {why}.");
            Ok(Accel::Tcg)
        }
    }
}

/// Says where everything is, once it is.
pub(super) fn announce(config: &Config) {
    for network in local(&config.networks) {
        tracing::info!(
            network = %network.name,
            "serving {} on {}: DHCP, DNS and metadata at {}.",
            network.subnet, network.bridge, network.subnet.gateway()
        );
    }
    tracing::info!("ready; commands come in at {}.", config.socket.display());
    inherited::ready();
}

/// Returns when the process is asked to end.
pub(super) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("no signal handler could be set: the daemon can only be killed.");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
