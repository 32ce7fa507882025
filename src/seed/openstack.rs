//! The documents of OpenStack's metadata service: the one HTTP view that cloud-init reads before the network is up, and
//! keeps (guest-contract §3.2; cloud-init's `sources/helpers/openstack.py`).
//!
//! Its `uuid` is the SMBIOS UUID, which is what makes a later boot ask nothing: cloud-init compares the two, and believes
//! what it has.

use std::sync::Arc;

use serde_json::{Value, json};

use super::SeedError;
use super::facts::Facts;
use crate::model::{Network, Nic, Vm, mac};

/// The versions of the service, oldest first. Agents take the newest they know that is listed.
pub const VERSIONS: [&str; 9] = [
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "latest",
];

/// One of the documents under a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// Who the VM is.
    MetaData,
    /// The user's own user-data.
    UserData,
    /// The template's cloud-config, wrapped.
    VendorData,
    /// More of that; there is nothing more.
    VendorData2,
    /// How its NICs get their addresses.
    NetworkData,
}

impl Document {
    /// All documents, in the order they are listed.
    pub const ALL: [Self; 5] = [
        Self::MetaData,
        Self::NetworkData,
        Self::UserData,
        Self::VendorData,
        Self::VendorData2,
    ];

    /// The name it is asked for by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MetaData => "meta_data.json",
            Self::UserData => "user_data",
            Self::VendorData => "vendor_data.json",
            Self::VendorData2 => "vendor_data2.json",
            Self::NetworkData => "network_data.json",
        }
    }

    /// The document of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|document| document.as_str() == name)
    }
}

/// One document of a VM; `None` where it has none. Its vendor-data is asked for where it is needed.
pub fn document(
    which: Document,
    facts: &Facts,
    (vm, network): (&Vm, &Network),
    template: impl FnOnce() -> Result<Arc<[u8]>, SeedError>,
) -> Result<Option<Arc<[u8]>>, SeedError> {
    let text = match which {
        Document::UserData => return Ok(vm.user_data.clone()),
        Document::MetaData => meta_data(facts),
        Document::NetworkData => network_data(facts, vm, network),
        Document::VendorData => vendor_data(&String::from_utf8_lossy(&template()?)),
        Document::VendorData2 => "{}".to_owned(),
    };
    Ok(Some(Arc::from(text.into_bytes())))
}

/// `meta_data.json`. There is no `availability_zone`: Ubuntu makes a mirror's name of it.
pub fn meta_data(facts: &Facts) -> String {
    let named = || (0..).map(|number: u32| format!("key-{number}")).zip(&facts.keys);
    let by_name: serde_json::Map<String, Value> = named()
        .map(|(name, key)| (name, Value::from(key.as_str())))
        .collect();
    let keys: Vec<Value> = named()
        .map(|(name, key)| json!({"name": name, "type": "ssh", "data": key}))
        .collect();
    json!({
        "uuid": facts.instance_id,
        "name": facts.hostname,
        "hostname": facts.fqdn,
        "launch_index": 0,
        "public_keys": by_name,
        "keys": keys,
    })
    .to_string()
}

/// `vendor_data.json`: cloud-init takes an object only, and of it what stands under its own name.
pub fn vendor_data(vendor_data: &str) -> String {
    json!({"cloud-init": vendor_data}).to_string()
}

/// `network_data.json`. DHCP carries the address here too: this document is read once in the life of an instance, and an
/// address may be changed later.
pub fn network_data(facts: &Facts, vm: &Vm, network: &Network) -> String {
    let own = vm.dhcp().and_then(|settings| settings.mtu);
    let mtu = own.or(network.dhcp.settings.mtu);
    // What the MTU of a further network is, its DHCP tells.
    let link = |(number, nic): (usize, Nic<'_>)| {
        let mtu = mtu.filter(|_| number == 0);
        let mac = mac::text(nic.mac);
        json!({"id": format!("nic{number}"), "type": "phy", "ethernet_mac_address": mac, "mtu": mtu})
    };
    let address = |(number, nic): (usize, Nic<'_>)| {
        json!({
            "id": format!("network{number}"), "type": "ipv4_dhcp", "link": format!("nic{number}"),
            "network_id": nic.network.as_str(),
        })
    };
    json!({
        "links": vm.nics().enumerate().map(link).collect::<Vec<_>>(),
        "networks": vm.nics().enumerate().map(address).collect::<Vec<_>>(),
        "services": [{"type": "dns", "address": facts.dns}],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::tests::{network, vm};

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_uuid_is_the_smbios_uuid_and_names_and_keys_are_whole() {
        let (vm, network) = (vm("web1", "10.77.0.5"), network("10.77.0.1/24"));
        let facts = Facts::of(&vm, &network, None);
        let said = read(&meta_data(&facts));
        assert_eq!(said["uuid"], vm.uuid.hyphenated().to_string());
        assert_eq!(
            (&said["hostname"], &said["name"]),
            (&"web1.lab".into(), &"web1".into())
        );
        assert_eq!(said["public_keys"]["key-0"], facts.keys[0].as_str());
        assert_eq!(said["keys"][0]["data"], facts.keys[0].as_str());
        assert!(said.get("availability_zone").is_none());
    }

    #[test]
    fn the_nic_is_named_by_its_mac_and_asks_dhcp() {
        let (vm, mut network) = (vm("web1", "10.77.0.5"), network("10.77.0.1/24"));
        network.dhcp.settings.mtu = Some(1450);
        let facts = Facts::of(&vm, &network, None);
        let said = read(&network_data(&facts, &vm, &network));
        assert_eq!(
            said["links"][0]["ethernet_mac_address"],
            crate::model::mac::text(vm.mac)
        );
        assert_eq!(said["links"][0]["mtu"], 1450);
        assert_eq!(said["networks"][0]["type"], "ipv4_dhcp");
        assert_eq!(said["services"][0]["address"], "10.77.0.1");
    }

    #[test]
    fn each_nic_is_a_link_that_asks_dhcp() {
        let (mut vm, mut network) = (vm("web1", "10.77.0.5"), network("10.77.0.1/24"));
        network.dhcp.settings.mtu = Some(1450);
        vm = crate::model::examples::with_nic(vm, "back", "10.78.0.5");
        let said = read(&network_data(&Facts::of(&vm, &network, None), &vm, &network));
        let second = &said["links"][1];
        assert_eq!(second["ethernet_mac_address"], mac::text(vm.more_nics()[0].mac));
        assert_eq!((&second["id"], &second["mtu"]), (&"nic1".into(), &Value::Null));
        let network = &said["networks"][1];
        assert_eq!(
            (&network["link"], &network["network_id"]),
            (&"nic1".into(), &"back".into())
        );
        assert_eq!(said["networks"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn vendor_data_is_an_object_with_the_text_under_cloud_inits_name() {
        let text = "#cloud-config\nfinal_message: \"ü\\n\"\n";
        assert_eq!(read(&vendor_data(text))["cloud-init"], text);
    }
}
