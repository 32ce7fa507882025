//! QEMU's arguments for a VM's NICs, each in a PCI slot of its own that it keeps. Pure.
//!
//! ```text
//!   first NIC      pcie.0, slot 0x2
//!   further NICs   pcie.0, slot 0x18 -- pcie-root-port port24 -- nic24 -- net24 -- its tap
//!                          ...
//!                          slot 0x1e -- pcie-root-port port30            (nothing behind it yet)
//! ```
//!
//! The board's own bus takes nothing while a VM runs; a port does. All ports are always there, so that a bus has the same number
//! in the guest, and a NIC the same name, whatever else comes and goes, and whether the NIC was there at the start or not.

use std::sync::Arc;

use serde_json::{Value, json};

use super::command::{Args, TAP_FD};
use crate::model::nic::{FIRST_SLOT, MORE_SLOTS};
use crate::model::{MacAddress, Network, Nic, Vm, mac};

/// The number of the first further NIC's tap in QEMU; the others follow.
const MORE_TAPS_FD: i32 = 16;

/// The driver of every NIC.
const DRIVER: &str = "virtio-net-pci";

/// The file descriptors of the further NICs' taps in QEMU, in the order of the NICs.
pub(super) fn more_tap_fds() -> impl Iterator<Item = i32> {
    MORE_TAPS_FD..
}

/// What a QEMU calls the port of a slot, what is behind it, and what that is connected to.
pub(super) fn port(slot: u8) -> String {
    format!("port{slot}")
}

pub(super) fn device(slot: u8) -> String {
    format!("nic{slot}")
}

pub(super) fn backend(slot: u8) -> String {
    match slot {
        FIRST_SLOT => "net0".to_owned(),
        _ => format!("net{slot}"),
    }
}

/// A further NIC as a guest sees it: in which slot, and what is told of it when it is put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Card {
    /// The slot of its port.
    pub slot: u8,
    /// Its hardware address.
    pub mac: MacAddress,
    /// The MTU that its guest is told by it, in bytes.
    pub mtu: Option<u16>,
}

impl Card {
    /// The card of a NIC on this network.
    pub fn of(nic: Nic<'_>, network: &Network) -> Self {
        Self {
            slot: nic.slot,
            mac: nic.mac,
            mtu: network.dhcp.settings.mtu,
        }
    }

    /// What QEMU is told to put it behind its port while the guest runs.
    pub(super) fn plug(self) -> Value {
        let slot = self.slot;
        let mut device = json!({
            "driver": DRIVER, "id": device(slot), "netdev": backend(slot), "mac": mac::text(self.mac), "romfile": "",
            "bus": port(slot), "addr": "0x0",
        });
        if let (Some(mtu), Some(device)) = (self.mtu, device.as_object_mut()) {
            device.insert("host_mtu".to_owned(), json!(mtu));
        }
        device
    }

    /// The same for one that is there at the start.
    fn argument(self) -> String {
        let (slot, mac) = (self.slot, mac::text(self.mac));
        let (device, backend, port) = (device(slot), backend(slot), port(slot));
        let mtu = told_mtu(self.mtu);
        format!("{DRIVER},id={device},netdev={backend},mac={mac}{mtu},romfile=,bus={port},addr=0x0")
    }

    /// What [`Self::argument`] says.
    pub(super) fn parse(argument: &str) -> Option<Self> {
        let properties = argument.strip_prefix(DRIVER)?.split(',');
        let property = |name: &str| {
            let mut pairs = properties.clone().filter_map(|text| text.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let slot = slot_of(property("id")?)?;
        let mac = mac::parse(property("mac")?).ok()?;
        let mtu = property("host_mtu").and_then(|text| text.parse().ok());
        Some(Self { slot, mac, mtu })
    }
}

/// The slot of a further NIC, by what QEMU calls the device behind its port.
pub(super) fn slot_of(device: &str) -> Option<u8> {
    let slot = device.strip_prefix("nic")?.parse().ok()?;
    MORE_SLOTS.contains(&slot).then_some(slot)
}

/// The cards behind ports that a QEMU was started with.
pub fn cards(args: &[String]) -> Vec<Card> {
    args.iter().filter_map(|arg| Card::parse(arg)).collect()
}

/// Whether a QEMU was started with a port in this slot, so that a NIC can come and go there.
pub fn has_port(args: &[String], slot: u8) -> bool {
    args.iter().any(|arg| *arg == port_argument(slot))
}

/// A port. Of the little room that a PC has for I/O ports it takes none: no card behind it uses any, and with UEFI nothing would be
/// left for the disks.
fn port_argument(slot: u8) -> String {
    let port = port(slot);
    format!("pcie-root-port,id={port},bus=pcie.0,addr={slot:#x},chassis={slot},slot={slot},io-reserve=0")
}

/// The NICs, and the ports where a VM has those. Beside the first's network those of the others, in their order.
pub(super) fn put(args: &mut Args, vm: &Vm, has_ports: bool, (network, more): (&Network, &[Arc<Network>])) {
    // Without its boot ROM, the firmware does not stop to offer a network boot.
    let rom = match vm.boot() {
        Some(_) => "bootindex=0",
        None => "romfile=",
    };
    on_the_board(args, (vm.first_nic(), network), TAP_FD, rom);
    for slot in MORE_SLOTS.filter(|_| has_ports) {
        args.pair("-device", port_argument(slot));
    }
    let nics = vm.more_nics().iter().map(Nic::from);
    for ((nic, network), fd) in nics.zip(more).zip(more_tap_fds()) {
        if has_ports {
            tap(args, nic.slot, fd);
            args.pair("-device", Card::of(nic, network).argument());
        } else {
            on_the_board(args, (nic, network), fd, "romfile=");
        }
    }
}

fn on_the_board(args: &mut Args, (nic, network): (Nic<'_>, &Network), fd: i32, rom: &str) {
    let (mac, slot) = (mac::text(nic.mac), nic.slot);
    let (backend, mtu) = (backend(slot), told_mtu(network.dhcp.settings.mtu));
    tap(args, slot, fd);
    args.pair(
        "-device",
        format!("{DRIVER},netdev={backend},mac={mac}{mtu},{rom},bus=pcie.0,addr={slot:#x}"),
    );
}

fn tap(args: &mut Args, slot: u8, fd: i32) {
    args.pair("-netdev", format!("tap,id={},fd={fd}", backend(slot)));
}

fn told_mtu(mtu: Option<u16>) -> String {
    mtu.map(|mtu| format!(",host_mtu={mtu}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(mtu: Option<u16>) -> Card {
        Card {
            slot: 0x19,
            mac: MacAddress::new([0x52, 0x54, 0, 0, 0, 7]),
            mtu,
        }
    }

    #[test]
    fn a_card_is_read_from_the_command_line_as_it_was_written() {
        for mtu in [None, Some(9000)] {
            assert_eq!(Card::parse(&card(mtu).argument()), Some(card(mtu)));
        }
        for other in [
            "virtio-net-pci,netdev=net0,mac=52:54:00:00:00:07,romfile=,bus=pcie.0,addr=0x2",
            "virtio-net-pci,id=nic2,netdev=net0,mac=52:54:00:00:00:07",
            "virtio-net-pci,id=nic25,netdev=net25,mac=none",
            "virtio-rng-pci,id=nic25,mac=52:54:00:00:00:07",
            "virtio-net-pci",
            "",
        ] {
            assert_eq!(Card::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_card_is_plugged_in_as_it_is_at_a_start() {
        let plug = card(Some(9000)).plug();
        assert_eq!(plug["host_mtu"], 9000);
        assert_eq!(card(None).plug().get("host_mtu"), None);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let argument = card(Some(9000)).argument();
        for (key, value) in plug.as_object().unwrap() {
            let said = match key.as_str() {
                "driver" => format!("{},", text(value)),
                _ => format!(",{key}={}", text(value)),
            };
            assert!(argument.contains(&said), "{said} is not in {argument}");
        }
    }

    #[test]
    fn only_what_was_started_with_ports_takes_a_card() {
        let args = [port_argument(0x18), card(None).argument()];
        assert!(has_port(&args, 0x18) && !has_port(&args, 0x19));
        assert_eq!(cards(&args), [card(None)]);
    }
}
