//! `check`: which VMs are live, now. All are asked at once: who is on the wire (ARP, ICMP), what DNS says of them, and whether
//! their SSH servers have the host keys they are known by.

mod names;
mod verdict;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;

use super::{Daemon, info, selection};
use crate::control::{Answer, CheckInfo, Refusal};
use crate::host::probe;
use crate::model::{BootStep, MacAddress, Network, Pause, SshKey, Vm, VmState, mac};
use crate::ssh::client::{AskError, Server};
use verdict::{Expected, Facts, Seen, Ssh, Verdict, judge};

/// How many are asked at once: 200 within three seconds, and a site of thousands without a flood.
const AT_ONCE: usize = 512;
/// How many SSH servers are asked at once: each takes a file descriptor.
const SERVERS: usize = 256;
/// How long one SSH server may take, connection and key exchange together.
const SSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long after it was powered on a VM is not expected to answer yet, in seconds.
const BOOT: u64 = 300;

/// Checks VMs, all when `names` is empty.
pub(super) async fn check(daemon: &Arc<Daemon>, names: &[String]) -> Result<Answer, Refusal> {
    let vms = selection::vms_or_all(&daemon.directory(), names)?;
    let mut checked = Vec::with_capacity(vms.len());
    for vms in vms.chunks(AT_ONCE) {
        checked.extend(at_once(daemon, vms).await);
    }
    Ok(Answer::Checks(checked))
}

/// What was seen on the wire and by DNS, by address.
#[derive(Debug, Default)]
struct Wire {
    stations: HashMap<Ipv4Addr, Vec<MacAddress>>,
    asked: Vec<Ipv4Addr>,
    names: HashMap<Ipv4Addr, Seen<Vec<String>>>,
}

async fn at_once(daemon: &Arc<Daemon>, vms: &[Arc<Vm>]) -> Vec<CheckInfo> {
    let directory = daemon.directory();
    let networks: Vec<_> = directory
        .networks()
        .filter(|network| network.is_local())
        .cloned()
        .collect();
    let (mut wires, mut servers) = (Vec::new(), Vec::new());
    for network in &networks {
        wires.push(on_wire(daemon, network, vms));
    }
    for vm in vms {
        servers.push(server(daemon, vm));
    }
    let addresses: Vec<_> = vms.iter().map(|vm| vm.address).collect();
    let (wires, echoes, servers) = tokio::join!(
        futures_util::future::join_all(wires),
        probe::echoes(&addresses),
        stream::iter(servers).buffered(SERVERS).collect::<Vec<_>>()
    );
    let echoes = echoes.unwrap_or_else(|error| {
        tracing::warn!("no VM can be pinged: {error}.");
        Vec::new()
    });
    let each = vms.iter().zip(servers);
    each.map(|(vm, (ssh, banner))| {
        let wire = networks
            .iter()
            .zip(&wires)
            .find(|(network, _)| network.name == vm.network);
        let facts = Facts {
            expected: expected(daemon, vm),
            mac: vm.mac,
            has_host_key: !vm.host_keys().is_empty(),
            arp: wire.map_or(Seen::NotAsked, |(_, wire)| wire.arp(vm)),
            ping: if echoes.contains(&vm.address) {
                Seen::Answered(())
            } else {
                Seen::Silent
            },
            dns: wire.map_or(Seen::NotAsked, |(_, wire)| wire.dns(vm)),
            ssh,
        };
        told(daemon, vm, &facts, banner)
    })
    .collect()
}

/// Asks a network's wire and its DNS server about the VMs on it.
async fn on_wire(daemon: &Daemon, network: &Network, vms: &[Arc<Vm>]) -> Wire {
    let vms: Vec<&Vm> = vms
        .iter()
        .filter(|vm| vm.network == network.name)
        .map(|vm| &**vm)
        .collect();
    if vms.is_empty() {
        return Wire::default();
    }
    let addresses: Vec<_> = vms.iter().map(|vm| vm.address).collect();
    let gateway = network.subnet.gateway();
    let (stations, names) = tokio::join!(
        daemon.host.stations(&network.bridge, gateway, &addresses),
        names::asked(network, &vms)
    );
    let (asked, stations) = match stations {
        Ok(stations) => (addresses, stations),
        Err(error) => {
            tracing::warn!(network = %network.name, "no ARP request can be sent: {error}.");
            Default::default()
        }
    };
    let names = names.unwrap_or_else(|error| {
        tracing::warn!(network = %network.name, "the DNS server of {} can not be asked: {error}.", network.name);
        HashMap::new()
    });
    Wire {
        stations,
        asked,
        names,
    }
}

impl Wire {
    fn arp(&self, vm: &Vm) -> Seen<Vec<MacAddress>> {
        match self.stations.get(&vm.address) {
            Some(macs) => Seen::Answered(macs.clone()),
            None if self.asked.contains(&vm.address) => Seen::Silent,
            None => Seen::NotAsked,
        }
    }

    fn dns(&self, vm: &Vm) -> Seen<Vec<String>> {
        self.names.get(&vm.address).cloned().unwrap_or(Seen::Silent)
    }
}

/// What is expected of a VM now.
fn expected(daemon: &Daemon, vm: &Vm) -> Expected {
    let seen = daemon.status.seen(vm);
    let (word, failure, _) = info::state_words(&seen.state);
    match (seen.state, failure) {
        (VmState::External, _) => Expected::Up,
        (VmState::Running { .. }, _) => {
            let on = daemon.heard.of(&vm.name).powered_on;
            let is_new = on.is_some_and(|on| on.age(daemon.clock.now()).as_secs() < BOOT);
            let is_ready = seen
                .progress
                .is_some_and(|progress| progress.step == BootStep::Ready);
            if is_new && !is_ready {
                Expected::Booting
            } else {
                Expected::Up
            }
        }
        // By hand it stands still because somebody wants it so.
        (VmState::Paused { why, .. }, _) if why != Pause::ByHand => {
            Expected::Failed(format!("it stands still: {}", why.sentence()))
        }
        (_, Some(why)) => Expected::Failed(format!("it failed: {why}")),
        (_, None) => Expected::Down(word),
    }
}

/// Asks a VM's SSH server who it is; what it calls itself, too.
async fn server(daemon: &Daemon, vm: &Vm) -> (Ssh, Option<String>) {
    if matches!(expected(daemon, vm), Expected::Down(_) | Expected::Failed(_)) {
        return (Ssh::NotAsked, None);
    }
    let mut banner = None;
    let asked = async {
        let mut server = Server::greet(SocketAddr::from((vm.address, 22))).await?;
        banner = Some(server.banner());
        if vm.host_keys().is_empty() {
            return Ok(Ssh::Unknown);
        }
        let expected: Vec<_> = vm.host_keys().iter().map(SshKey::kind).collect();
        let key = server.host_key(&expected).await?;
        let is_known = vm
            .host_keys()
            .iter()
            .any(|known| known.sha256() == Some(key.sha256()));
        Ok(if is_known {
            Ssh::Right
        } else {
            Ssh::OtherKey(key.fingerprint())
        })
    };
    let ssh = match timeout(SSH_TIMEOUT, asked).await {
        Err(_) => Ssh::Silent,
        Ok(Ok(ssh)) => ssh,
        Ok(Err(AskError::Problem(problem))) => Ssh::Broken(problem.to_string()),
        Ok(Err(AskError::Io(error))) => match error.kind() {
            ErrorKind::ConnectionRefused => Ssh::Refused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut => Ssh::Silent,
            _ => Ssh::Broken(format!("the connection broke: {error}")),
        },
    };
    (ssh, banner)
}

/// A VM's check as it is shown.
fn told(daemon: &Daemon, vm: &Vm, facts: &Facts, banner: Option<String>) -> CheckInfo {
    let Verdict { word, problems } = judge(facts);
    let seen = daemon.status.seen(vm);
    let last = daemon.heard.last_contact(&vm.name);
    CheckInfo {
        name: vm.name.to_string(),
        ip: vm.address,
        mac: mac::text(vm.mac),
        verdict: word.to_owned(),
        problems,
        state: info::state_words(&seen.state).0.to_owned(),
        step: seen.progress.map(|progress| progress.step.as_str().to_owned()),
        arp: match &facts.arp {
            Seen::Answered(macs) if *macs == [vm.mac] => "ok".to_owned(),
            Seen::Answered(macs) => macs
                .iter()
                .map(|mac| mac::text(*mac))
                .collect::<Vec<_>>()
                .join(" "),
            other => word_of(other),
        },
        ping: word_of(&facts.ping),
        dns: match &facts.dns {
            Seen::Answered(wrong) if !wrong.is_empty() => "wrong".to_owned(),
            other => word_of(other),
        },
        ssh: ssh_word(&facts.ssh).to_owned(),
        ssh_banner: banner,
        metadata: last.map(info::rfc3339),
        metadata_seconds_ago: last.map(|last| last.age(daemon.clock.now()).as_secs()),
    }
}

fn word_of<T>(seen: &Seen<T>) -> String {
    match seen {
        Seen::NotAsked => "not asked",
        Seen::Silent => "silent",
        Seen::Answered(_) => "ok",
    }
    .to_owned()
}

const fn ssh_word(ssh: &Ssh) -> &'static str {
    match ssh {
        Ssh::NotAsked => "not asked",
        Ssh::Refused => "closed",
        Ssh::Silent => "silent",
        Ssh::Broken(_) => "broken",
        Ssh::Right => "ok",
        Ssh::OtherKey(_) => "other key",
        Ssh::Unknown => "key unknown",
    }
}
