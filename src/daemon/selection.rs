//! From what a client wrote to what it means: names, sizes, keys, and which VMs a request is about.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

use super::Daemon;
use crate::control::{Refusal, Select};
use crate::model::cloud_init::Release;
use crate::model::{
    Bytes, Directory, MacAddress, NetworkName, SshKey, SshKeys, TemplateName, Vm, VmName, mac, range,
};
use crate::seed;

/// Reads any value whose refusal is a sentence.
pub(super) fn parse<T>(text: &str) -> Result<T, Refusal>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Refusal::request(error.to_string()))
}

/// Reads an optional value.
pub(super) fn parse_opt<T>(text: Option<&String>) -> Result<Option<T>, Refusal>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.map(|text| parse(text)).transpose()
}

/// Reads an IPv4 address.
pub(super) fn address(text: Option<&String>) -> Result<Option<Ipv4Addr>, Refusal> {
    text.map(|text| {
        text.parse()
            .map_err(|_| Refusal::request(format!("`{}` is not an IPv4 address", text.escape_debug())))
    })
    .transpose()
}

/// Reads a hardware address.
pub(super) fn hardware(text: Option<&String>) -> Result<Option<MacAddress>, Refusal> {
    text.map(|text| mac::parse(text).map_err(|error| Refusal::request(error.to_string())))
        .transpose()
}

/// Refuses the hardware addresses of our own bridges: two stations of one segment would share one.
pub(super) async fn no_bridges(daemon: &Daemon, macs: &[MacAddress]) -> Result<(), Refusal> {
    for network in daemon.directory().networks().filter(|network| network.is_local()) {
        let bridge = daemon.host.mac_of_bridge(&network.bridge).await;
        let bridge = bridge?;
        if macs.contains(&bridge) {
            let taken = format!(
                "MAC address {} is the bridge {}'s own",
                mac::text(bridge),
                network.bridge
            );
            return Err(Refusal::request(taken).hint("leave --mac out to get one that is free"));
        }
    }
    Ok(())
}

/// Reads a size.
pub(super) fn size(text: Option<&String>, default: Bytes) -> Result<Bytes, Refusal> {
    parse_opt(text).map(|size| size.unwrap_or(default))
}

/// Checks CPUs and memory against what QEMU and a Linux guest can use at all.
pub(super) fn check_size(cpus: u16, memory: Bytes) -> Result<(), Refusal> {
    if !(1..=255).contains(&cpus) {
        return Err(Refusal::request(format!("{cpus} CPUs: give 1 to 255")));
    }
    if !(Bytes::mib(32)..=Bytes::gib(4096)).contains(&memory) {
        return Err(Refusal::request(format!(
            "{memory} of memory: give 32M to 4T, with a unit"
        )));
    }
    Ok(())
}

/// Reads key lines, each once.
pub(super) fn keys(lines: &[String]) -> Result<SshKeys, Refusal> {
    let mut keys: Vec<SshKey> = Vec::new();
    for line in lines {
        let key = parse(line)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys.into())
}

/// Checks user-data before anything is made for it. What cloud-init can not read is refused; what it does not know too, unless it
/// is forced. `release` is the cloud-init that reads it; any, where that is not known.
pub(super) fn user_data(
    bytes: Option<&Vec<u8>>,
    release: Option<Release>,
    force: bool,
) -> Result<Option<Arc<[u8]>>, Refusal> {
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
        return Ok(None);
    };
    seed::check_user_data(bytes)
        .map_err(|problem| Refusal::request(format!("the user-data is not usable: {problem}")))?;
    let problems = seed::findings(bytes, release).problems();
    if !force && !problems.is_empty() {
        let problems = problems.join("\n  ");
        let message = format!("the user-data is not usable:\n  {problems}");
        return Err(Refusal::request(message).hint("mend it, or have it taken as it is with --force"));
    }
    for problem in problems {
        tracing::warn!("a user-data is taken by force: {problem}.");
    }
    Ok(Some(Arc::from(bytes.as_slice())))
}

/// The template of that name, or the default one.
pub(super) fn template(daemon: &Daemon, name: Option<&String>) -> Result<TemplateName, Refusal> {
    let name: TemplateName = parse(name.map_or("default", String::as_str))?;
    let templates = daemon.templates.now();
    if templates.has(&name) {
        return Ok(name);
    }
    Err(
        Refusal::not_found(format!("there is no template `{name}`")).hint(format!(
            "there are: {}",
            templates
                .names()
                .map(TemplateName::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        )),
    )
}

/// The network of that name; checked against the configuration.
pub(super) fn network(directory: &Directory, name: Option<&String>) -> Result<Option<NetworkName>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let name: NetworkName = parse(name)?;
    if directory.network(&name).is_some() {
        return Ok(Some(name));
    }
    let known: Vec<_> = directory
        .networks()
        .map(|network| network.name.to_string())
        .collect();
    Err(Refusal::not_found(format!("there is no network `{name}`"))
        .hint(format!("there are: {}", known.join(", "))))
}

/// The names some patterns stand for.
pub(super) fn names(patterns: &[String]) -> Result<Vec<VmName>, Refusal> {
    if patterns.is_empty() {
        return Err(Refusal::request("no VM was named"));
    }
    range::expand_all(patterns).map_err(|error| Refusal::request(error.to_string()))
}

/// Refuses an address or hardware address that would have to be shared by several VMs.
pub(super) fn only_one(names: &[VmName], given: &[(&str, bool)]) -> Result<(), Refusal> {
    match given.iter().find(|(_, given)| *given) {
        Some((flag, _)) if names.len() > 1 => Err(Refusal::request(format!(
            "{flag} can be given for one VM only, not for {}",
            names.len()
        ))),
        _ => Ok(()),
    }
}

/// The registered VMs some patterns stand for; every missing one is named.
pub(super) fn vms(directory: &Directory, patterns: &[String]) -> Result<Vec<Arc<Vm>>, Refusal> {
    let names = names(patterns)?;
    let (found, missing): (Vec<_>, Vec<_>) = names
        .into_iter()
        .map(|name| directory.vm(&name).cloned().ok_or(name))
        .partition(Result::is_ok);
    let missing: Vec<_> = missing
        .into_iter()
        .filter_map(Result::err)
        .map(|name| format!("`{name}`"))
        .collect();
    if missing.is_empty() {
        return Ok(found.into_iter().filter_map(Result::ok).collect());
    }
    Err(Refusal::not_found(format!("there is no VM {}", missing.join(", "))).hint(hint(directory, patterns)))
}

/// What to do about VMs that are not there: some may be deleted, and come back.
fn hint(directory: &Directory, patterns: &[String]) -> String {
    let names = names(patterns).unwrap_or_default();
    let kept =
        |name: &&VmName| directory.vm(name).is_none() && directory.site().deleted_of(name).next().is_some();
    match names.iter().find(kept) {
        Some(name) => format!("`{name}` was deleted; this brings it back: seedbed undelete {name}"),
        None => "`seedbed list` shows the VMs".to_owned(),
    }
}

/// The VM of a request about one.
pub(super) fn named(directory: &Directory, name: &str) -> Result<Arc<Vm>, Refusal> {
    let [vm] = &vms(directory, &[name.to_owned()])?[..] else {
        return Err(
            Refusal::request(format!("`{}` stands for several VMs", name.escape_debug())).hint("name one"),
        );
    };
    Ok(Arc::clone(vm))
}

/// The VMs of a list request: those named, or all.
pub(super) fn vms_or_all(directory: &Directory, patterns: &[String]) -> Result<Vec<Arc<Vm>>, Refusal> {
    if patterns.is_empty() {
        Ok(directory.vms().cloned().collect())
    } else {
        vms(directory, patterns)
    }
}

/// The VMs of a request that takes names or `--all`; `--all` means the managed ones.
pub(super) fn selected(directory: &Directory, select: &Select) -> Result<Vec<Arc<Vm>>, Refusal> {
    match (select.all, select.names.is_empty()) {
        (true, true) => Ok(directory
            .vms()
            .filter(|vm| vm.machine().is_some())
            .cloned()
            .collect()),
        (true, false) => Err(Refusal::request("give names or --all, not both")),
        (false, true) => Err(Refusal::request("no VM was named").hint("name some, or give --all")),
        (false, false) => vms(directory, &select.names),
    }
}
