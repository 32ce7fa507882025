//! Ports of VMs that someone else runs: QEMU's `script=`, libvirt's hook. Each is guarded as a tap of ours is: filter, mark and
//! permanent neighbour entry by the hardware address that is registered, before it is on the bridge, and until it is off it again.
//!
//! The interface is theirs, and nobody has to say that it is gone: it is looked after. Which port is whose lies in the run
//! directory, with the kernel's index of the interface, so that a daemon that starts again guards the same ports, and an
//! interface that only has the name of an earlier one is left alone.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Daemon, nics, selection};
use crate::control::{Answer, PortInfo, PortRequest, Refusal};
use crate::export::{self, WriteError};
use crate::host::HostError;
use crate::host::ruleset::Guarded;
use crate::model::{BridgeName, Directory, Hosting, MacAddress, Nic, TapName, Vm, mac};

/// How often it is checked which interfaces are still there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The ports that are guarded now.
#[derive(Debug, Default)]
pub(super) struct Plugs(Mutex<BTreeMap<TapName, Plug>>);

/// A port, and what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plug {
    /// The kernel's index of the interface, which no other ever has.
    index: u32,
    bridge: BridgeName,
    rule: Guarded,
}

type Held = BTreeMap<TapName, Plug>;

/// Answers a request about ports.
pub(super) async fn handle(daemon: &Daemon, request: PortRequest) -> Result<Answer, Refusal> {
    let mut held = daemon.plugs.0.lock().await;
    let shown = match request {
        PortRequest::Up { interface, macs } => {
            let macs = addresses(&macs)?;
            let port: TapName = selection::parse(&interface)?;
            up(daemon, &mut held, &port, &macs).await?;
            BTreeMap::from_iter(held.get_key_value(&port))
        }
        PortRequest::Down { interface, macs } => {
            let named: Option<TapName> = selection::parse_opt(interface.as_ref())?;
            let macs = addresses(&macs)?;
            let is_meant = |(port, plug): &(&TapName, &Plug)| {
                Some(*port) == named.as_ref() || macs.contains(&plug.rule.mac)
            };
            let meant: Vec<_> = held
                .iter()
                .filter(is_meant)
                .map(|(port, _)| port.clone())
                .collect();
            for port in meant {
                down(daemon, &mut held, &port).await?;
            }
            BTreeMap::new()
        }
        PortRequest::List => held.iter().collect(),
    };
    let directory = daemon.directory();
    let info = |(port, plug): (&TapName, &Plug)| PortInfo {
        interface: port.to_string(),
        vm: directory
            .vm_by_mac(plug.rule.mac)
            .map_or_else(String::new, |vm| vm.name.to_string()),
        mac: mac::text(plug.rule.mac),
        ip: plug.rule.address,
        bridge: plug.bridge.to_string(),
    };
    Ok(Answer::Ports(shown.into_iter().map(info).collect()))
}

fn addresses(texts: &[String]) -> Result<Vec<MacAddress>, Refusal> {
    let read = texts.iter().map(|text| mac::parse(text));
    read.collect::<Result<_, _>>()
        .map_err(|error| Refusal::request(error.to_string()))
}

/// Guards a port and puts it on its VM's bridge, in that order: no frame passes unguarded.
async fn up(daemon: &Daemon, held: &mut Held, port: &TapName, macs: &[MacAddress]) -> Result<(), Refusal> {
    let (vm, mac) = nic_of(&daemon.directory(), port, macs)?;
    let gone = || Refusal::not_found(format!("{} was changed meanwhile", vm.name));
    let nic = vm.nic_with(mac).ok_or_else(gone)?;
    let network = nics::network_of(daemon, &vm, nic)?;
    if !network.is_local() {
        return Err(Refusal::request(format!(
            "{} is on network {}, whose bridge is not on this host",
            vm.name, network.name
        )));
    }
    let plug = Plug {
        index: daemon.host.guest_port(port.as_str()).await.map_err(refused)?,
        bridge: network.bridge.clone(),
        rule: rule_of(port, nic),
    };
    no_other(daemon, held, port, (&vm, mac)).await?;
    match held.get(port) {
        // Once more, as libvirt's daemon does for the domains that it finds when it starts: what fails changes nothing.
        Some(before) if *before == plug => return plug_in(daemon, port, &plug).await,
        // It was another's, or is another interface by now.
        Some(_) => down(daemon, held, port).await?,
        None => {}
    }
    held.insert(port.clone(), plug.clone());
    if let Err(refusal) = plug_in(daemon, port, &plug).await {
        // One that can not be taken off its bridge is still held: it is guarded as soon as that succeeds.
        drop(down(daemon, held, port).await);
        return Err(refusal);
    }
    daemon.heard.power_on(&vm.name, daemon.clock.now());
    daemon.status.power_on(&vm.name, daemon.accel, daemon.clock.now());
    tracing::info!(vm = %vm.name, %port, "{} is behind {port}, which is guarded.", vm.name);
    Ok(())
}

fn refused(error: HostError) -> Refusal {
    match error {
        HostError::NotAPort { .. } => Refusal::request(error.to_string()),
        error => error.into(),
    }
}

/// Refuses a second port for one NIC; a first one whose interface is gone is taken back.
async fn no_other(
    daemon: &Daemon,
    held: &mut Held,
    port: &TapName,
    (vm, mac): (&Vm, MacAddress),
) -> Result<(), Refusal> {
    let mut others = held
        .iter()
        .filter(|(other, plug)| plug.rule.mac == mac && *other != port);
    let Some((other, plug)) = others.next().map(|(other, plug)| (other.clone(), plug.clone())) else {
        return Ok(());
    };
    if is_there(daemon, &other, &plug).await {
        return Err(
            Refusal::request(format!("{} has the port {other} already", vm.name))
                .hint("two machines with one hardware address disturb each other: give the other its own"),
        );
    }
    Ok(down(daemon, held, &other).await?)
}

/// Kept before it is on the bridge: the next daemon has to guard whatever is there.
async fn plug_in(daemon: &Daemon, port: &TapName, plug: &Plug) -> Result<(), Refusal> {
    guard(daemon, plug).await?;
    keep(daemon, port, plug)
        .map_err(|error| Refusal::host(format!("port {port} can not be kept: {error}")))?;
    Ok(daemon.host.attach(port, &plug.bridge).await?)
}

/// The VM behind a port, and the hardware address that it has there.
fn nic_of(
    directory: &Directory,
    port: &TapName,
    macs: &[MacAddress],
) -> Result<(Arc<Vm>, MacAddress), Refusal> {
    let named = directory.vm_behind(port);
    if let Some(vm) = named.filter(|vm| vm.machine().is_some()) {
        return Err(Refusal::request(format!(
            "{port} is a tap of {}, which is run by Seedbed itself: nobody else may be behind it",
            vm.name
        ))
        .hint("give the guest's interface another name: -netdev tap,ifname=..."));
    }
    let named = named.and_then(|vm| {
        let nic = vm.nics().find(|nic| nic.tap == port)?;
        (macs.is_empty() || macs.contains(&nic.mac)).then_some((vm, nic.mac))
    });
    let with = |mac: &MacAddress| directory.vm_by_mac(*mac).map(|vm| (vm, *mac));
    let mut found: Vec<_> = macs.iter().filter_map(with).collect();
    found.dedup_by_key(|(_, mac)| *mac);
    let (vm, mac) = match (named, found.as_slice()) {
        (Some(named), _) => named,
        (None, [found]) => *found,
        (None, []) => return Err(nobody(port, macs)),
        (None, several) => {
            let names: Vec<_> = several.iter().map(|(vm, _)| vm.name.as_str()).collect();
            let message = format!("{port} may be a port of any of {}", names.join(", "));
            return Err(Refusal::request(message).hint("name each interface of QEMU: -netdev tap,ifname=..."));
        }
    };
    match vm.hosting {
        Hosting::External => Ok((Arc::clone(vm), mac)),
        Hosting::Managed(_) => Err(Refusal::request(format!(
            "{} is run by Seedbed itself, on its own tap: nobody else may have its hardware address",
            vm.name
        ))),
    }
}

fn nobody(port: &TapName, macs: &[MacAddress]) -> Refusal {
    let Some(first) = macs.first() else {
        return Refusal::not_found(format!("no VM has a tap that is called {port}"))
            .hint("say whose port it is: seedbed port up INTERFACE --mac MAC");
    };
    let texts: Vec<_> = macs.iter().map(|mac| mac::text(*mac)).collect();
    Refusal::not_found(format!("no VM is registered with {}", texts.join(" or "))).hint(format!(
        "register it: seedbed add NAME --mac {}",
        mac::text(*first)
    ))
}

/// What holds a port to a NIC's addresses.
pub(super) fn rule_of(port: &TapName, nic: Nic<'_>) -> Guarded {
    Guarded {
        tap: port.clone(),
        mac: nic.mac,
        address: nic.address,
    }
}

async fn guard(daemon: &Daemon, plug: &Plug) -> Result<(), HostError> {
    daemon.guard.add_port(plug.rule.clone()).await?;
    let (address, mac) = (plug.rule.address, plug.rule.mac);
    daemon
        .host
        .set_permanent_neighbour(&plug.bridge, address, mac)
        .await
}

/// Takes a port off its bridge, where it would pass whatever its guest says, and then everything from it that [`up`] gave it.
/// One that can not be taken off stays guarded. Goes on after any other error: each step is worth doing without the others.
async fn down(daemon: &Daemon, held: &mut Held, port: &TapName) -> Result<(), HostError> {
    let Some(plug) = held.get(port).cloned() else {
        return Ok(());
    };
    daemon.host.detach(port, plug.index, &plug.bridge).await?;
    held.remove(port);
    if let Err(error) = daemon.guard.remove_port(port).await {
        tracing::warn!(%port, "could not take the rules of {port} away: {error}.");
    }
    let address = plug.rule.address;
    if let Err(error) = daemon.host.remove_neighbour(&plug.bridge, address).await {
        tracing::warn!(%port, "could not remove the neighbour entry of {address}: {error}.");
    }
    forget(daemon, port);
    if let Some(vm) = daemon.directory().vm_by_mac(plug.rule.mac) {
        daemon.status.forget(&vm.name);
        tracing::info!(vm = %vm.name, %port, "{} is behind {port} no longer.", vm.name);
    } else {
        tracing::info!(%port, "{port} is no VM's port any longer, and off {}.", plug.bridge);
    }
    Ok(())
}

/// Whether the interface is still the one that was guarded.
async fn is_there(daemon: &Daemon, port: &TapName, plug: &Plug) -> bool {
    match daemon.host.index_of(port.as_str()).await {
        Ok(index) => index == plug.index,
        Err(HostError::NoInterface(_)) => false,
        // Not known: what is guarded stays so.
        Err(_) => true,
    }
}

/// Takes in the ports that an earlier daemon guarded. Their rules are loaded with those of the VMs that run, by whoever loads
/// the tables first.
pub(super) async fn recall(daemon: &Daemon) -> Result<(), Refusal> {
    let folder = folder(daemon);
    let failed = |error| Refusal::host(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let mut held = daemon.plugs.0.lock().await;
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(port) = name.to_str().and_then(|name| name.parse::<TapName>().ok()) else {
            continue;
        };
        let Some(plug) = kept(daemon, &port) else {
            forget(daemon, &port);
            continue;
        };
        let is_registered = daemon.directory().vm_by_mac(plug.rule.mac).is_some();
        held.insert(port.clone(), plug.clone());
        let stays = is_registered && is_there(daemon, &port, &plug).await;
        if stays || down(daemon, &mut held, &port).await.is_err() {
            daemon.guard.know(plug.rule).await;
        }
    }
    Ok(())
}

/// Looks after the ports until `stop`: those whose interface is gone lose their rules, and those whose VM was changed get others.
pub(super) async fn keep_up(daemon: Arc<Daemon>, stop: CancellationToken) {
    let mut changes = daemon.registry.watch();
    loop {
        look(&daemon).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

async fn look(daemon: &Daemon) {
    let mut held = daemon.plugs.0.lock().await;
    if held.is_empty() {
        return;
    }
    let directory = daemon.directory();
    let ports: Vec<_> = held.keys().cloned().collect();
    for port in ports {
        let Some(plug) = held.get(&port).cloned() else {
            continue;
        };
        let vm = directory.vm_by_mac(plug.rule.mac);
        match vm.filter(|vm| is_on_its_bridge(&directory, vm, &plug)) {
            Some(vm) if is_there(daemon, &port, &plug).await => {
                refresh(daemon, &mut held, (&port, &plug), vm).await;
            }
            _ => {
                if let Err(error) = down(daemon, &mut held, &port).await {
                    tracing::error!(%port, "{port} stays guarded, because it is nobody's any longer and still there: {error}.");
                }
            }
        }
    }
}

/// Whether the network of the VM's NIC is that of the bridge the port was put on. One that was moved has nothing to do there.
fn is_on_its_bridge(directory: &Directory, vm: &Vm, plug: &Plug) -> bool {
    let nic = vm.nic_with(plug.rule.mac);
    let network = nic.and_then(|nic| directory.network(nic.network));
    network.is_some_and(|network| network.bridge == plug.bridge)
}

/// Puts back what others took away, and follows a change of the VM's address.
async fn refresh(daemon: &Daemon, held: &mut Held, (port, plug): (&TapName, &Plug), vm: &Vm) {
    let Some(nic) = vm.nic_with(plug.rule.mac) else {
        return;
    };
    let rule = rule_of(port, nic);
    let has_entry = daemon.host.neighbour(&plug.bridge, plug.rule.address).await;
    let is_guarded = has_entry.is_ok_and(|entry| entry.is_some_and(|entry| entry.permanent));
    if rule == plug.rule && is_guarded {
        return;
    }
    let new = Plug { rule, ..plug.clone() };
    if new.rule.address != plug.rule.address
        && let Err(error) = daemon
            .host
            .remove_neighbour(&plug.bridge, plug.rule.address)
            .await
    {
        tracing::warn!(%port, "could not remove the neighbour entry of {}: {error}.", plug.rule.address);
    }
    match guard(daemon, &new).await {
        Ok(()) => {
            if let Err(error) = keep(daemon, port, &new) {
                tracing::warn!(%port, "the port {port} can not be kept: {error}.");
            }
            held.insert(port.clone(), new);
        }
        Err(error) => tracing::error!(vm = %vm.name, %port, "{port} can not be guarded: {error}."),
    }
}

fn folder(daemon: &Daemon) -> PathBuf {
    daemon.config.places.ports()
}

/// The index and the bridge of a port, and the addresses of its VM, in a line. Where that fails, what was kept before stays.
fn keep(daemon: &Daemon, port: &TapName, plug: &Plug) -> Result<(), WriteError> {
    let (mac, address) = (mac::text(plug.rule.mac), plug.rule.address);
    let line = |out: &mut dyn Write| writeln!(out, "{} {} {mac} {address}", plug.index, plug.bridge);
    export::write_atomically(&folder(daemon).join(port.as_str()), 0o600, line).map(|_| ())
}

/// What [`keep`] wrote.
fn kept(daemon: &Daemon, port: &TapName) -> Option<Plug> {
    let text = std::fs::read_to_string(folder(daemon).join(port.as_str())).ok()?;
    let mut words = text.split_whitespace();
    Some(Plug {
        index: words.next()?.parse().ok()?,
        bridge: words.next()?.parse().ok()?,
        rule: Guarded {
            tap: port.clone(),
            mac: mac::parse(words.next()?).ok()?,
            address: words.next()?.parse().ok()?,
        },
    })
}

fn forget(daemon: &Daemon, port: &TapName) {
    let path = folder(daemon).join(port.as_str());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%port, "could not remove {}: {error}.", path.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::examples;

    fn directory() -> Directory {
        let mut directory = Directory::of([examples::network("lab", "10.77.0.1/24")]);
        for (name, address) in [("web1", "10.77.0.5"), ("web2", "10.77.0.6")] {
            directory.put_vm(Arc::new(examples::vm(name, address)));
        }
        let ours = Vm {
            hosting: Hosting::from(examples::machine()),
            ..examples::vm("ours", "10.77.0.7")
        };
        directory.put_vm(Arc::new(ours));
        directory
    }

    fn behind(port: &str, names: &[&str]) -> Result<String, String> {
        let directory = directory();
        let macs: Vec<_> = names
            .iter()
            .map(|name| {
                directory
                    .vm_named(name)
                    .map_or(MacAddress::new([2; 6]), |vm| vm.mac)
            })
            .collect();
        let found = nic_of(&directory, &port.parse().unwrap(), &macs);
        found
            .map(|(vm, _)| vm.name.to_string())
            .map_err(|refusal| refusal.message)
    }

    #[test]
    fn the_vm_behind_a_port_is_the_one_of_its_name_or_hardware_address() {
        assert_eq!(behind("tap-web1", &[]), Ok("web1".to_owned()));
        assert_eq!(behind("tap-web1", &["web2", "web1"]), Ok("web1".to_owned()));
        assert_eq!(behind("tap-web1", &["web2"]), Ok("web2".to_owned()));
        assert_eq!(behind("vnet0", &["stranger", "web2"]), Ok("web2".to_owned()));
        assert_eq!(
            behind("vnet0", &["web1", "web2"]),
            Err("vnet0 may be a port of any of web1, web2".to_owned())
        );
        assert_eq!(
            behind("vnet0", &["stranger"]),
            Err("no VM is registered with 02:02:02:02:02:02".to_owned())
        );
        assert!(behind("vnet0", &[]).unwrap_err().contains("no VM has a tap"));
        for (port, names) in [
            ("vnet0", &["ours"][..]),
            ("tap-ours", &["web1"]),
            ("tap-ours", &["ours"]),
            ("tap-ours", &[]),
        ] {
            let refused = behind(port, names).unwrap_err();
            assert!(refused.contains("run by Seedbed itself"), "{refused}");
        }
    }
}
