//! What the registry promises as a whole; the rules of single changes are in `rules`, power cuts in `power_cut`.

use std::net::Ipv4Addr;
use std::path::Path;

use super::Registry;
use super::change::{Change, NewVm};
use crate::model::examples::{self, KEY};
use crate::model::image::{Boot, DiskFormat, FileStamp, View};
use crate::model::{
    Bytes, Clock, Custom, Directory, Hosting, Image, Machine, Network, Phase, Policy, Pool, Timestamp, VmName,
};

mod deleted;
mod disk;
mod disk_full;
mod editing;
mod failing;
mod hardware;
mod history;
mod images;
mod instances;
mod kill;
mod network;
mod nics;
mod opening;
mod policy;
mod power_cut;
mod replacing;
mod rules;
mod site;
mod snapshots;
mod writing;

const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5dRL9gZ4JbhkmEkqlOV7J0Gf5KqRN4mGF1rWk2M0zR ops@lab";
const NOW: Timestamp = Timestamp(1_700_000_000);

fn network(name: &str, subnet: &str, pool: Option<&str>) -> Network {
    let network = examples::network(name, subnet);
    Network {
        bridge: format!("br-{name}").parse().unwrap(),
        pool: pool.map_or(network.pool, |pool| Pool::parse(pool, network.subnet).unwrap()),
        ..network
    }
}

fn lab() -> Network {
    network("lab", "10.77.0.1/24", Some("10.77.0.10-10.77.0.19"))
}

fn name(text: &str) -> VmName {
    text.parse().unwrap()
}

fn new(text: &str) -> NewVm {
    NewVm {
        name: name(text),
        network: None,
        mac: None,
        address: None,
        keys: vec![KEY.parse().unwrap()].into(),
        template: "default".parse().unwrap(),
        user_data: None,
        hosting: Hosting::External,
        custom: Custom::default(),
        new_identity: false,
        nics: Vec::new(),
    }
}

fn managed(text: &str, image: &str) -> NewVm {
    NewVm {
        hosting: Hosting::from(Machine {
            image: format!("{image}@1").parse().unwrap(),
            workshop: None,
            hardware: None,
            cpus: 1,
            memory: Bytes::mib(512),
            disk: Bytes::gib(4),
            swap: Bytes::mib(512),
            phase: Phase::Launching,
            policy: None,
            history: None,
        }),
        ..new(text)
    }
}

fn at(text: &str, address: &str) -> NewVm {
    NewVm {
        address: Some(ip(address)),
        ..new(text)
    }
}

fn put_image(image: Image) -> Change {
    Change::PutImage { image, promote: true }
}

fn remove_image(id: &str) -> Change {
    Change::RemoveImages(vec![id.parse().unwrap()])
}

/// The first generation of an image.
fn image(text: &str) -> Image {
    Image {
        id: format!("{text}@1").parse().unwrap(),
        promoted: 1,
        origin: "a test".to_owned(),
        stamp: Some(FileStamp {
            inode: 7,
            len: 9,
            modified: -1,
            changed: 11,
        }),
        format: DiskFormat::Qcow2,
        sha256: "ab".repeat(32),
        virtual_size: Bytes::gib(2),
        file_size: Bytes::mib(300),
        default_user: "debian".to_owned(),
        boot: Boot::Kernel {
            initrd: true,
            cmdline: "root=/dev/vda1 console=ttyS0".to_owned(),
        },
        view: View::Cidata,
        cloud_init: None,
        created: NOW,
    }
}

fn register(vms: impl IntoIterator<Item = NewVm>) -> Change {
    Change::Register {
        vms: vms.into_iter().collect(),
    }
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn opened(path: &Path, networks: Vec<Network>) -> Registry {
    Registry::open(path, networks, Clock).unwrap_or_else(|error| panic!("{error}"))
}

/// The directory in a form that can be compared.
fn dumped(directory: &Directory) -> String {
    let mut out = Vec::new();
    super::dump::dump(directory, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}
