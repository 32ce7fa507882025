//! Plain values for tests everywhere: a test sets what it is about, and takes the rest from here.

use std::time::Duration;

use super::dhcp::{BootLoaders, DhcpMode, DhcpPolicy, DhcpSettings, Unregistered};
use super::image::{Boot, DiskFormat, View};
use super::network::{DnsPolicy, MetadataPolicy};
use super::{
    Bytes, HostKeyPolicy, Hosting, Image, Machine, MoreNic, Network, NetworkName, Phase, Pool, SshKeys,
    Timestamp, Vm, VmName, identity,
};

/// A key nobody has the private half of.
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zQ ops@lab";

/// Another one.
pub(crate) const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9VybD17b3gPF7mVdhwjWWtZRUZ1jQGMAsrBUD6hBW4 ann@home";

/// A network on `br0` with the domain `lab` and nothing beyond that.
pub(crate) fn network(name: &str, subnet: &str) -> Network {
    let subnet = subnet.parse().unwrap();
    Network {
        name: name.parse().unwrap(),
        bridge: "br0".parse().unwrap(),
        subnet,
        pool: Pool::whole(subnet),
        domain: "lab".parse().unwrap(),
        nat: false,
        host_keys: HostKeyPolicy::Reported,
        dns: DnsPolicy {
            upstreams: Vec::new(),
            ttl: Duration::from_secs(5),
            transfer: Vec::new(),
            private_answers: false,
        },
        dhcp: DhcpPolicy {
            mode: DhcpMode::Authoritative,
            unregistered: Unregistered::Ignore,
            dynamic: Pool::whole(subnet),
            lease: Duration::from_secs(43_200),
            settings: DhcpSettings::default(),
            loaders: BootLoaders::default(),
            relay: None,
        },
        metadata: MetadataPolicy::default(),
    }
}

/// An external VM on the network `lab`.
pub(crate) fn vm(name: &str, address: &str) -> Vm {
    let name: VmName = name.parse().unwrap();
    Vm {
        network: "lab".parse().unwrap(),
        mac: identity::mac(&name, 0),
        address: address.parse().unwrap(),
        uuid: identity::uuid(&name),
        tap: identity::tap(&name, 0),
        keys: SshKeys::default(),
        template: "default".parse().unwrap(),
        user_data: None,
        hosting: Hosting::External,
        created: Timestamp(0),
        first_boot: None,
        custom: None,
        name,
    }
}

/// The VM with a NIC in addition, in the first free of their slots.
pub(crate) fn with_nic(mut vm: Vm, network: &str, address: &str) -> Vm {
    let network: NetworkName = network.parse().unwrap();
    let slot = 0x18 + u8::try_from(vm.more_nics().len()).unwrap();
    let nic = MoreNic {
        mac: identity::nic_mac(&vm.name, &network, 0),
        tap: identity::nic_tap(&vm.name, &network, 0),
        address: address.parse().unwrap(),
        network,
        slot,
    };
    vm.customize(|custom| custom.nics.push(nic));
    vm
}

/// The shape of a small clone of `debian-12`.
pub(crate) fn machine() -> Machine {
    Machine {
        image: "debian-12@1".parse().unwrap(),
        cpus: 1,
        memory: Bytes::mib(512),
        disk: Bytes::gib(10),
        swap: Bytes::mib(256),
        phase: Phase::Launched,
        workshop: None,
        hardware: None,
        policy: None,
        history: None,
    }
}

/// The first generation of the image `debian-12`, started by its own boot loader.
pub(crate) fn image() -> Image {
    Image {
        id: "debian-12@1".parse().unwrap(),
        promoted: 1,
        origin: "debian-12.qcow2".into(),
        format: DiskFormat::Qcow2,
        sha256: String::new(),
        virtual_size: Bytes::gib(2),
        file_size: Bytes::mib(400),
        stamp: None,
        default_user: "debian".into(),
        boot: Boot::Disk,
        view: View::Auto,
        cloud_init: None,
        created: Timestamp(0),
    }
}
