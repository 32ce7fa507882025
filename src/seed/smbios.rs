//! How a guest is led to its documents over HTTP: the seed URL, and the SMBIOS table that says it.

use crate::model::image::View;
use crate::model::{Network, SeedKey};

/// The seed URL that is the same for every VM of a network, so that an image can have it built in.
///
/// It says nothing about who asks: a guest is known by where it speaks from. A literal address, plain http, a slash at the end
/// and no `%`: anything else fails on some cloud-init between 20.4 and today (guest-contract §0).
pub fn url(network: &Network) -> String {
    format!("http://{}/nocloud/", network.subnet.gateway())
}

/// The SMBIOS serial number (type 1) that leads cloud-init to its documents: the one spelling every release understands.
///
/// With the VM's key in it they hold its secrets too: in a guest only root can read the table.
pub fn smbios_serial(network: &Network, key: Option<&SeedKey>) -> String {
    let url = url(network);
    match key {
        Some(key) => format!("ds=nocloud-net;s={url}{}/", key.expose()),
        None => format!("ds=nocloud-net;s={url}"),
    }
}

/// What the SMBIOS table (type 1) says for a guest to find its documents over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Smbios {
    /// The serial number; empty for none.
    pub serial: String,
    /// The product name; empty for QEMU's own.
    pub product: &'static str,
}

/// The product name that OpenStack's guests have.
const OPENSTACK: &str = "OpenStack Nova";

/// The SMBIOS table of a VM whose image has this view.
///
/// By itself a guest is shown two ways (guest-contract §0 point 14): cloud-init takes OpenStack's before the network is up,
/// has its hostname and network then, and asks nothing at later boots; where it can not (an image without a DHCP client), it
/// takes `NoCloud`'s when the network is up.
pub fn smbios(view: View, network: &Network, key: Option<&SeedKey>) -> Smbios {
    let (serial, product) = match view {
        View::Auto => (smbios_serial(network, key), OPENSTACK),
        View::NoCloud => (smbios_serial(network, key), ""),
        View::OpenStack => (String::new(), OPENSTACK),
        // The gentlest of the names that every release takes for EC2 (guest-contract §3.1).
        View::Ec2 => ("seedbed.brightbox.com".to_owned(), ""),
        // One that led cloud-init to us would make it go on asking over HTTP after it has read its volume.
        View::Cidata | View::Ignition | View::Credentials | View::Offline | View::None => (String::new(), ""),
    };
    Smbios { serial, product }
}
