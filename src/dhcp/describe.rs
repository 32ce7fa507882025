//! What a VM would be told, for people: the text of `seedbed render NAME --as dhcp`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use super::answer::{Case, answer};
use super::frame::CLIENT_PORT;
use super::message::{Asking, Flags, Kind, Options, Request};
use super::offers::Offers;
use super::options::{ON_REQUEST, Reply};
use super::proxy::PROXY_PORT;
use super::relay::Arrival;
use super::value::DhcpOption;
use crate::model::dhcp::DhcpMode;
use crate::model::{CustomOption, Directory, Network, Nic, Timestamp, Vm, mac};

mod json;

pub use json::render_json;

/// A kind of firmware as it shows itself: its name for people, and its options 60, 77 and 93.
type Firmware = (&'static str, &'static str, Option<&'static str>, u16);

const FIRMWARE: [Firmware; 6] = [
    ("iPXE", "PXEClient:Arch:00000", Some("iPXE"), 0),
    ("a BIOS (PXE)", "PXEClient:Arch:00000", None, 0),
    ("64-bit x86 UEFI (PXE)", "PXEClient:Arch:00007", None, 7),
    ("64-bit Arm UEFI (PXE)", "PXEClient:Arch:00011", None, 11),
    ("64-bit x86 UEFI (HTTP)", "HTTPClient:Arch:00016", None, 16),
    ("64-bit Arm UEFI (HTTP)", "HTTPClient:Arch:00019", None, 19),
];

/// The DHCPACK that a VM gets which asks for everything: its options, then its exact octets; and what each kind of
/// firmware is told to boot, where the VM boots from the network.
///
/// Transaction and flags are zero; a real client gets its own back, its client identifier too, and only the options it
/// asked for.
pub fn render(network: &Network, vm: &Vm) -> String {
    let mut text = String::new();
    // Writing to a String can not fail.
    let _: Result<(), _> = match vm.nic_on(&network.name) {
        Some(nic) => write(&mut text, network, (vm, nic)),
        None => writeln!(
            text,
            "{} is on network {}, not on {}: it gets no answer here",
            vm.name, vm.network, network.name
        ),
    };
    text
}

fn write(text: &mut String, network: &Network, (vm, nic): (&Vm, Nic<'_>)) -> std::fmt::Result {
    let wanted = nic.address;
    let asked = asks_for_everything(network, (vm, nic), Kind::Request(Asking::InitReboot { wanted }));
    if network.dhcp.mode == DhcpMode::Proxy {
        writeln!(
            text,
            "# network {} is served beside another DHCP server, which gives {} its address: see network boot below",
            network.name, vm.name
        )?;
    } else {
        with_reply(network, (vm, nic), &asked, |reply| {
            writeln!(
                text,
                "# {} to {} ({}) on {}, network {}",
                reply.kind.as_str(),
                vm.name,
                mac::text(nic.mac),
                network.bridge,
                network.name
            )?;
            writeln!(text, "your address: {}", reply.yiaddr)?;
            line(text, 53, "message type", reply.kind.as_str())?;
            let mut lines = Ok(());
            reply.options(&mut |option| lines = lines.and_then(|()| option_line(text, &option)));
            lines?;
            octets(text, reply)
        })?;
    }
    FIRMWARE
        .iter()
        .try_for_each(|firmware| network_boot(text, network, (vm, nic), firmware))
}

/// A request of the VM's for every option that there is for it.
fn asks_for_everything(network: &Network, (vm, nic): (&Vm, Nic<'_>), kind: Kind) -> Request<'static> {
    let options = Options {
        asked: Some(Cow::Owned(everything(network, vm))),
        max_size: Some(u16::MAX),
        ..Options::default()
    };
    request(nic, kind, options)
}

/// Every code that the VM could ask for and get something.
fn everything(network: &Network, vm: &Vm) -> Vec<u8> {
    let lists = vm.dhcp().into_iter().chain([&network.dhcp.settings]);
    let custom = lists.flat_map(|settings| settings.options.iter().map(CustomOption::code));
    ON_REQUEST
        .into_iter()
        .filter(|code| *code != 249)
        .chain(custom)
        .collect()
}

fn request(nic: Nic<'_>, kind: Kind, options: Options<'static>) -> Request<'static> {
    Request {
        mac: nic.mac,
        xid: 0,
        flags: Flags::default(),
        ciaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        kind,
        options,
    }
}

/// Has the rules answer the request, and shows the reply, if there is one.
fn with_reply(
    network: &Network,
    (vm, nic): (&Vm, Nic<'_>),
    request: &Request<'_>,
    show: impl FnOnce(&Reply<'_>) -> std::fmt::Result,
) -> std::fmt::Result {
    let mut directory = Directory::default();
    directory.put_vm(Arc::new(vm.clone()));
    let case = Case {
        network,
        directory: &directory,
        request,
        arrival: Arrival {
            payload: &[],
            source: SocketAddrV4::new(nic.address, CLIENT_PORT),
            port: PROXY_PORT,
        },
        now: Timestamp::default(),
    };
    let outcome = answer(case, &mut Offers::default());
    outcome.reply.map_or(Ok(()), |(reply, _)| show(&reply))
}

/// The first question of a VM's firmware.
fn as_firmware(nic: Nic<'_>, (_, vendor, class, architecture): &Firmware) -> Request<'static> {
    let options = Options {
        asked: Some(Cow::Borrowed(&[])),
        vendor: Some(Cow::Borrowed(vendor.as_bytes())),
        user_class: class.map(|class| Cow::Borrowed(class.as_bytes())),
        architectures: Some(Cow::Owned(architecture.to_be_bytes().to_vec())),
        ..Options::default()
    };
    request(nic, Kind::Discover, options)
}

/// What one kind of firmware is told beside all that.
fn network_boot(
    text: &mut String,
    network: &Network,
    (vm, nic): (&Vm, Nic<'_>),
    firmware: &Firmware,
) -> std::fmt::Result {
    with_reply(network, (vm, nic), &as_firmware(nic, firmware), |reply| {
        let Some(boot) = &reply.boot else { return Ok(()) };
        writeln!(text, "# network boot of {}", firmware.0)?;
        if !boot.server.is_unspecified() {
            writeln!(text, "next server (siaddr): {}", boot.server)?;
        }
        let mut lines = Ok(());
        reply.options(&mut |option| {
            if !matches!(option.code, 1 | 51 | 54) {
                lines = lines.and_then(|()| option_line(text, &option));
            }
        });
        lines
    })
}

fn option_line(text: &mut String, option: &DhcpOption<'_>) -> std::fmt::Result {
    line(text, option.code, option.name(), &option.value.to_string())
}

fn line(text: &mut String, code: u8, name: &str, value: &str) -> std::fmt::Result {
    writeln!(text, "option {code:>3}  {name:<24}{value}")
}

fn octets(text: &mut String, reply: &Reply<'_>) -> std::fmt::Result {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    writeln!(text, "# {} octets", bytes.len())?;
    for (index, row) in bytes.chunks(16).enumerate() {
        let octets: Vec<String> = row.iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(text, "{:04x}  {}", index * 16, octets.join(" "))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
