//! Values for this module's tests.

use crate::model::image::{Boot, DiskFormat};
use crate::model::{Hosting, Image, Machine, Network, Vm, examples};

pub(super) fn vm() -> (Vm, Machine) {
    let machine = Machine {
        cpus: 2,
        ..examples::machine()
    };
    let vm = Vm {
        hosting: Hosting::from(machine.clone()),
        ..examples::vm("web1", "10.77.0.11")
    };
    (vm, machine)
}

pub(super) fn image(format: DiskFormat, boot: Boot) -> Image {
    Image {
        format,
        boot,
        ..examples::image()
    }
}

pub(super) fn network(mtu: Option<u16>) -> Network {
    let mut network = examples::network("lab", "10.77.0.1/24");
    network.dhcp.settings.mtu = mtu;
    network
}
