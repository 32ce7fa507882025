//! What the fuzz targets share: records to answer from, and messages taken apart without the code under test.

use std::path::Path;
use std::sync::Arc;

use seedbed::config::Config;
use seedbed::model::{
    Custom, Directory, Hosting, MacAddress, Network, SshKeys, Timestamp, Vm, VmName, identity,
};

pub mod dhcp;
pub mod dns;

/// The networks of a configuration that is valid.
pub fn networks(dhcp: &str) -> Vec<Network> {
    let text = format!(
        "networks:\n- name: lab\n  bridge: br0\n  subnet: 10.77.0.1/24\n  domain: lab\n{dhcp}- name: far\n  bridge: br0\n  \
         subnet: 10.78.0.1/24\n  domain: far\n  dhcp:\n    relay:\n      server: 192.0.2.1\n      agents: [10.78.0.1]\n"
    );
    let config = Config::parse(&text, Path::new("fuzz.yaml"));
    config
        .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
        .networks
}

/// An external VM.
pub fn vm(name: &str, network: &str, address: &str) -> Vm {
    let name: VmName = name.parse().unwrap();
    Vm {
        network: network.parse().unwrap(),
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

/// The same VM, which boots from the network.
pub fn booting(vm: Vm, url: &str) -> Vm {
    let boot = Some(url.parse().unwrap());
    let custom = Custom {
        boot,
        ..Custom::default()
    };
    Vm {
        custom: custom.boxed(),
        ..vm
    }
}

/// A directory with VMs of both networks.
pub fn directory(networks: &[Network]) -> Directory {
    let mut directory = Directory::of(networks.iter().cloned());
    directory.put_vm(Arc::new(vm("web1", "lab", "10.77.0.11")));
    directory.put_vm(Arc::new(booting(
        vm("web2", "lab", "10.77.0.12"),
        "http://10.77.0.9/x.ipxe",
    )));
    directory.put_vm(Arc::new(vm("far1", "far", "10.78.0.11")));
    directory
}

/// The hardware address of the VM of that name.
pub fn mac_of(name: &str) -> MacAddress {
    identity::mac(&name.parse().unwrap(), 0)
}
