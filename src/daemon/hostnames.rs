//! Names on the host itself: by systemd-resolved where it runs, else by a block in the hosts file; kept as they should
//! be, also when the bridge, resolved or the file was made anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Daemon;
use crate::config::HostNames;
use crate::export::{self, Markers, Written};
use crate::host::resolver::{LinkDns, Resolver};
use crate::model::{Network, NetworkName};

/// How often it is looked whether everything is as it was left.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long changes that come together are waited for.
const TOGETHER: Duration = Duration::from_millis(500);
/// A large block takes long to write: the writer rests for this many times as long.
const REST: u32 = 20;

/// How the host finds the names of each network, for people.
#[derive(Debug, Default)]
pub(super) struct Naming(Mutex<BTreeMap<NetworkName, String>>);

impl Naming {
    /// How it finds those of a network, or why it does not.
    pub(super) fn told(&self, network: &NetworkName) -> String {
        let ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ways.get(network)
            .map_or("not known yet", String::as_str)
            .to_owned()
    }

    /// Remembers it; what is new is logged.
    fn tell(&self, network: &NetworkName, way: Result<String, String>) {
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match &way {
            Ok(text) => text.clone(),
            Err(problem) => format!("not at all: {problem}"),
        };
        if ways.get(network) == Some(&text) {
            return;
        }
        match way {
            Ok(text) => tracing::info!(%network, "this host's names of network {network}: {text}."),
            Err(problem) => {
                tracing::error!(%network, "this host does not find the names of network {network}: {problem}.");
            }
        }
        ways.insert(network.clone(), text);
    }
}

/// The way that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Resolved,
    Hosts,
    Off,
}

impl Way {
    fn of(wanted: HostNames) -> Self {
        match wanted {
            HostNames::Resolved => Self::Resolved,
            HostNames::Off => Self::Off,
            // The files and services of a host are not those of a network namespace on it.
            HostNames::Auto if !is_hosts_network() => Self::Off,
            HostNames::Auto if Resolver::is_used() => Self::Resolved,
            HostNames::Auto | HostNames::Hosts => Self::Hosts,
        }
    }
}

/// Whether our network is that of the first process.
fn is_hosts_network() -> bool {
    let own = std::fs::read_link("/proc/self/ns/net").ok();
    own == std::fs::read_link("/proc/1/ns/net").ok()
}

/// Keeps the names as they should be until it is told to stop. They stay when the daemon ends: the next one is expected.
pub(super) async fn keep(daemon: Arc<Daemon>, stop: CancellationToken) {
    let mut changed = daemon.registry.watch();
    let mut gone = None;
    loop {
        let names = daemon.directory().names_revision();
        let began = tokio::time::Instant::now();
        let way = Way::of(daemon.config.host_names);
        if gone != Some(way) {
            leave_others(&daemon, way).await;
            gone = Some(way);
        }
        go(&daemon, way).await;
        let rest = TOGETHER.max(began.elapsed() * REST);
        let renamed = async {
            drop(
                changed
                    .wait_for(|_| daemon.directory().names_revision() != names)
                    .await,
            );
        };
        let next = async {
            tokio::select! {
                () = renamed, if way == Way::Hosts => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            tokio::time::sleep(rest).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = next => {}
        }
    }
}

async fn go(daemon: &Arc<Daemon>, way: Way) {
    let networks = &daemon.config.networks;
    match way {
        Way::Off => {
            for network in networks {
                daemon.host_names.tell(&network.name, Ok("off".to_owned()));
            }
        }
        Way::Resolved => {
            for network in networks {
                let told = resolved(network).await;
                daemon.host_names.tell(&network.name, told);
            }
        }
        Way::Hosts => {
            let told = hosts(daemon).await;
            for network in networks {
                daemon.host_names.tell(&network.name, told.clone());
            }
        }
    }
}

async fn resolved(network: &Network) -> Result<String, String> {
    if !network.is_local() {
        return Ok("off: the network is not on this host".to_owned());
    }
    let link = LinkDns {
        bridge: network.bridge.clone(),
        server: network.subnet.gateway(),
        search: network.domain.to_string(),
        // Of a zone that is ours in part, the other names are not known here: asked for them, we would ask the host's
        // resolver, which would ask us.
        routes: export::reverse_zones(network.subnet)
            .filter(|zone| zone.is_whole())
            .map(export::ReverseZone::name)
            .collect(),
    };
    match Resolver::default().set(&link).await {
        Ok(_) => Ok(format!("resolved (per-link DNS on {})", network.bridge)),
        Err(error) => Err(error.to_string()),
    }
}

async fn hosts(daemon: &Arc<Daemon>) -> Result<String, String> {
    let daemon = Arc::clone(daemon);
    let write = move || {
        let (directory, path) = (daemon.directory(), &daemon.config.hosts_file);
        let markers = Markers::of(daemon.config.places.state());
        export::put_block(path, &markers, |out| export::hosts(&directory, out))
            .map(|_| format!("hosts file {} (managed block)", path.display()))
            .map_err(|error| error.to_string())
    };
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or_else(|error| Err(format!("the writer of the hosts file ended: {error}")))
}

/// Takes back what an earlier daemon did on another way.
async fn leave_others(daemon: &Arc<Daemon>, way: Way) {
    if way != Way::Hosts {
        let path = &daemon.config.hosts_file;
        match export::remove_block(path, &Markers::of(daemon.config.places.state())) {
            Ok(Written::Changed) => tracing::info!("took our block out of {}.", path.display()),
            Ok(Written::Same) => {}
            Err(error) => tracing::warn!("our block stays in the hosts file: {error}."),
        }
    }
    if way != Way::Resolved && is_hosts_network() {
        for network in &daemon.config.networks {
            match Resolver::default()
                .revert(&network.bridge, network.subnet.gateway())
                .await
            {
                Ok(true) => tracing::info!("systemd-resolved does not ask {} any more.", network.bridge),
                Ok(false) => {}
                Err(error) => tracing::debug!("systemd-resolved was not asked: {error}."),
            }
        }
    }
}
