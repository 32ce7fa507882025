//! QEMU's arguments for a VM's NICs, each in a PCI slot of its own that it keeps.

use std::sync::Arc;

use super::command::{Args, TAP_FD};
use crate::model::{Network, Nic, Vm, mac};

/// The number of the first further NIC's tap in QEMU; the others follow.
const MORE_TAPS_FD: i32 = 16;

/// The file descriptors of the further NICs' taps in QEMU, in the order of the NICs.
pub(super) fn more_tap_fds() -> impl Iterator<Item = i32> {
    MORE_TAPS_FD..
}

/// The NICs; `more` are the networks of those beside the first, in their order.
pub(super) fn put(args: &mut Args, vm: &Vm, network: &Network, more: &[Arc<Network>]) {
    // Without its boot ROM, the firmware does not stop to offer a network boot.
    let rom = match vm.boot() {
        Some(_) => "bootindex=0",
        None => "romfile=",
    };
    let fds = std::iter::once(TAP_FD).chain(more_tap_fds());
    let networks = std::iter::once(network).chain(more.iter().map(Arc::as_ref));
    for (number, ((nic, network), fd)) in vm.nics().zip(networks).zip(fds).enumerate() {
        let rom = if number == 0 { rom } else { "romfile=" };
        one(args, number, (nic, network, fd), rom);
    }
}

fn one(args: &mut Args, number: usize, (nic, network, fd): (Nic<'_>, &Network, i32), rom: &str) {
    let mtu = network
        .dhcp
        .settings
        .mtu
        .map(|mtu| format!(",host_mtu={mtu}"))
        .unwrap_or_default();
    let (mac, slot) = (mac::text(nic.mac), nic.slot);
    args.pair("-netdev", format!("tap,id=net{number},fd={fd}"));
    args.pair(
        "-device",
        format!("virtio-net-pci,netdev=net{number},mac={mac}{mtu},{rom},bus=pcie.0,addr={slot:#x}"),
    );
}
