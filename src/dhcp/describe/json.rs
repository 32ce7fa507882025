//! The same for programs: `seedbed render NAME --as dhcp --format json`.

use serde_json::{Value, json};

use super::{FIRMWARE, as_firmware, asks_for_everything, with_reply};
use crate::dhcp::message::{Asking, Kind, Request};
use crate::dhcp::options::Reply;
use crate::dhcp::value::DhcpOption;
use crate::model::dhcp::DhcpMode;
use crate::model::{Network, Nic, Vm, mac};

/// The DHCPOFFER and the DHCPACK that a VM gets which asks for everything, each with its options and its exact octets; and
/// what each kind of firmware is told to boot, where the VM boots from the network.
pub fn render_json(network: &Network, vm: &Vm) -> Value {
    let nic = vm.nic_on(&network.name);
    let shown = nic.unwrap_or_else(|| vm.first_nic());
    let mut messages = Vec::new();
    if network.dhcp.mode != DhcpMode::Proxy {
        for kind in [
            Kind::Discover,
            Kind::Request(Asking::InitReboot {
                wanted: shown.address,
            }),
        ] {
            each(
                network,
                (vm, nic),
                &asks_for_everything(network, (vm, shown), kind),
                |reply| {
                    messages.push(message(reply));
                },
            );
        }
    }
    let mut boots = Vec::new();
    for firmware in &FIRMWARE {
        each(network, (vm, nic), &as_firmware(shown, firmware), |reply| {
            boots.extend(boot(firmware.0, reply));
        });
    }
    json!({
        "name": vm.name.as_str(), "network": network.name.as_str(), "mac": mac::text(shown.mac),
        "messages": messages, "network_boot": boots,
    })
}

fn each(
    network: &Network,
    (vm, nic): (&Vm, Option<Nic<'_>>),
    request: &Request<'_>,
    mut show: impl FnMut(&Reply<'_>),
) {
    let Some(nic) = nic else { return };
    // Nothing is written, so nothing fails.
    let _infallible = with_reply(network, (vm, nic), request, |reply| {
        show(reply);
        Ok(())
    });
}

fn message(reply: &Reply<'_>) -> Value {
    let mut options = vec![option(53, "message type", reply.kind.as_str())];
    options.extend(options_of(reply));
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    let hex: String = bytes
        .iter()
        .fold(String::new(), |hex, octet| hex + &format!("{octet:02x}"));
    json!({
        "message": reply.kind.as_str(), "your_address": reply.yiaddr.to_string(),
        "options": options, "octets": hex,
    })
}

fn boot(firmware: &str, reply: &Reply<'_>) -> Option<Value> {
    let boot = reply.boot.as_ref()?;
    let server = (!boot.server.is_unspecified()).then(|| boot.server.to_string());
    Some(json!({"firmware": firmware, "next_server": server, "options": options_of(reply)}))
}

fn options_of(reply: &Reply<'_>) -> Vec<Value> {
    let mut options = Vec::new();
    reply.options(&mut |given: DhcpOption<'_>| {
        options.push(option(given.code, given.name(), &given.value.to_string()));
    });
    options
}

fn option(code: u8, name: &str, value: &str) -> Value {
    json!({"code": code, "name": name, "value": value})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::sample::{booting, network, web1};
    use crate::dhcp::wire::tests::decode;

    fn octets(message: &Value) -> Vec<u8> {
        let hex = message["octets"].as_str().unwrap();
        let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(pair).collect()
    }

    #[test]
    fn the_offer_has_the_options_of_the_acknowledgement_but_for_its_kind() {
        let shown = render_json(&network(), &web1());
        let messages = shown["messages"].as_array().unwrap();
        let [offer, ack] = &messages[..] else {
            panic!("{shown}")
        };
        assert_eq!(
            (&offer["message"], &ack["message"]),
            (&json!("DHCPOFFER"), &json!("DHCPACK"))
        );
        let others = |message: &Value| message["options"].as_array().unwrap()[1..].to_vec();
        assert_eq!(others(offer), others(ack));
        assert!(
            others(ack).contains(&option(51, "lease time", "43200 s")),
            "{shown}"
        );
        for message in messages {
            assert_eq!(decode(&octets(message)).yiaddr, web1().address);
            assert_eq!(message["your_address"], "10.77.0.5");
        }
    }

    #[test]
    fn what_firmware_boots_is_in_it_and_nothing_for_a_vm_of_another_network() {
        let boots = render_json(&network(), &booting("debian-12"));
        let first = &boots["network_boot"][0];
        assert_eq!(first["firmware"], "iPXE");
        let script = option(67, "boot file", "http://10.77.0.1/boot/script.ipxe");
        assert!(first["options"].as_array().unwrap().contains(&script), "{first}");
        let other = Vm {
            network: "other".parse().unwrap(),
            ..web1()
        };
        assert_eq!(render_json(&network(), &other)["messages"], json!([]));
    }
}
