//! Networks and guarded taps in, the text of our own nftables tables out (pure).
//!
//! Two tables, both ours alone; no other is read or changed:
//! * `bridge seedbed`: who may say what on the wire. Identity in the metadata service rests on it.
//! * `ip seedbed`: masquerading, and the gateway's services kept to their own bridge.
//!
//! What is decided here:
//! * A guarded tap passes frames from its own MAC only, and in them ARP and IPv4 from its own address only. Everything
//!   else is dropped: VLAN tags, LLC, and **all of IPv6**, in both directions. Seedbed serves
//!   IPv4; an IPv6 address would be an identity nobody has registered, and a router advertisement from an uplink in the
//!   bridge would give guests a default route they can not use.
//! * ARP probes (RFC 5227, sender 0.0.0.0) pass for the tap's own address only: probing a neighbour's would make that
//!   neighbour give its address up.
//! * DHCP passes to the server only, with the tap's own MAC as `chaddr` (UDP payload octets 28 to 33, so `@th,288,48`),
//!   and no answer of another server reaches a guarded tap. Clients look at the destination port alone, so both ports
//!   are closed. A broadcast answer of our own server is flooded to all ports and let through only where it belongs.
//! * What a guest sends to the metadata service has the mark of its tap ([`identity::mark`]), which an accepted socket has
//!   too (`net.ipv4.tcp_fwmark_accept`): nothing in a packet can forge it. Only there, because others give marks a meaning.
//! * Any other port of any bridge must not use the MAC or address of a guarded VM or of a gateway. Which bridge a port
//!   belongs to can not be asked in this hook on every kernel (`NFT_BRIDGE_META` is optional), so this holds host-wide.
//! * An `accept` in one table never overrides a `drop` in another, so there are no accept rules for forwarded packets:
//!   where the host's firewall drops them, [`doctor`](super::doctor) says so.
//! * Packets to a gateway's DHCP, DNS and metadata ports that arrive by any interface but its own bridge are dropped.
//!   Only these ports: the gateway may be the address by which an administrator reaches the host through a VPN.
//! * Link-local addresses are never forwarded (RFC 3927 §7): on a host that is a cloud VM itself, a guest would read the
//!   host's own metadata. The address that clients of metadata services know without being told leads to its gateway's
//!   own. No interface has it: on such a host, the host's own agents would not find theirs any more.
//!
//! One packet costs a few hash look-ups, however many VMs there are.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::net::Ipv4Addr;

use crate::model::{BridgeName, MacAddress, Network, Subnet, TapName, identity, mac};

/// A running VM whose tap is held to what was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The tap its frames come in by.
    pub tap: TapName,
    /// Its hardware address.
    pub mac: MacAddress,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
}

/// What the ruleset needs to know of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its bridge.
    pub bridge: BridgeName,
    /// The bridge's hardware address, from [`Host::mac_of_bridge`](super::Host::mac_of_bridge).
    pub mac: MacAddress,
    /// Its subnet, with the gateway inside.
    pub subnet: Subnet,
    /// Whether guests leave through the host's address.
    pub nat: bool,
}

impl Segment {
    /// The segment of a network whose bridge has this hardware address.
    pub fn of(network: &Network, mac: MacAddress) -> Self {
        Self {
            bridge: network.bridge.clone(),
            mac,
            subnet: network.subnet,
            nat: network.nat,
        }
    }
}

/// The text that replaces both tables in one transaction, for `nft -f -` (nft 1.0.6 and newer).
pub fn text(guarded: &[Guarded], segments: &[Segment]) -> String {
    let mut out = removal();
    out.push_str(&bridge_table(guarded, segments));
    out.push_str(&ip_table(segments));
    out
}

/// Removes both tables, whether they exist or not: deleting a missing one would be an error, and adding
/// an existing one is none.
fn removal() -> String {
    let table = |family: &str| format!("add table {family} seedbed\ndelete table {family} seedbed\n");
    table("bridge") + &table("ip")
}

fn bridge_table(guarded: &[Guarded], segments: &[Segment]) -> String {
    let mac = |vm: &Guarded| mac::text(vm.mac);
    let hex = |vm: &Guarded| format!("0x{}", mac::text(vm.mac).replace(':', ""));
    let mut out = String::from("table bridge seedbed {\n");
    let of = |line: &dyn Fn(&Guarded) -> String| guarded.iter().map(line).collect::<BTreeSet<_>>();

    // Guarded taps; then what each of them may claim to be.
    set(&mut out, "taps", "type ifname", of(&|vm| quoted(&vm.tap)));
    set(
        &mut out,
        "tap_mac",
        "type ifname . ether_addr",
        of(&|vm| format!("{} . {}", quoted(&vm.tap), mac(vm))),
    );
    set(
        &mut out,
        "tap_station",
        "type ifname . ether_addr . ipv4_addr",
        of(&|vm| format!("{} . {} . {}", quoted(&vm.tap), mac(vm), vm.address)),
    );
    set(
        &mut out,
        "tap_chaddr",
        "typeof iifname . @th,288,48",
        of(&|vm| format!("{} . {}", quoted(&vm.tap), hex(vm))),
    );

    // By which a service knows the port that a connection came in by.
    map(
        &mut out,
        "tap_mark",
        "type ifname : mark",
        of(&|vm| format!("{} : {:#010x}", quoted(&vm.tap), identity::mark(vm.address))),
    );

    // What no other port may claim to be.
    let mut macs = of(&mac);
    let mut addresses = of(&|vm| vm.address.to_string());
    for segment in segments {
        macs.insert(mac::text(segment.mac));
        addresses.insert(segment.subnet.gateway().to_string());
    }
    set(&mut out, "own_macs", "type ether_addr", macs);
    set(&mut out, "own_addresses", "type ipv4_addr", addresses);
    let mut served = BTreeSet::from([Network::METADATA_ADDRESS.to_string()]);
    served.extend(
        segments
            .iter()
            .map(|segment| segment.subnet.gateway().to_string()),
    );
    set(&mut out, "metadata", "type ipv4_addr", served);
    out.push_str(BRIDGE_CHAINS);
    out.push_str("}\n");
    out
}

/// The rules of the bridge table: the same for every host, all that varies is in the sets.
///
/// A reserved group address (01:80:c2:00:00:0x) never comes by here: that its source is not learnt is a setting of the
/// bridge, made by [`Host::ensure_bridge`](super::Host::ensure_bridge).
///
/// A guest asks for its lease in packets that every stack takes, without IP options and in one piece, and a handful of
/// them a second: a flood from one tap ends here, before it fills the server's queue for all.
const BRIDGE_CHAINS: &str = r"
	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		iifname @taps goto guest
		ether saddr @own_macs counter drop
		arp saddr ether @own_macs counter drop
		arp saddr ip @own_addresses counter drop
		ip saddr @own_addresses counter drop
	}

	chain forward {
		type filter hook forward priority -300; policy accept;
		oifname @taps ether type ip6 counter drop
		oifname @taps udp sport 67 counter drop
		oifname @taps udp dport { 67, 68 } counter drop
	}

	chain output {
		type filter hook output priority -300; policy accept;
		oifname @taps ether type ip6 counter drop
		oifname @taps udp sport 67 udp dport 68 oifname . @th,288,48 != @tap_chaddr counter drop
	}

	chain guest {
		iifname . ether saddr != @tap_mac counter drop
		ether type arp goto guest_arp
		ether type ip goto guest_ip
		counter drop
	}

	chain guest_arp {
		arp htype != 1 counter drop
		arp ptype != ip counter drop
		arp hlen != 6 counter drop
		arp plen != 4 counter drop
		arp operation != { request, reply } counter drop
		iifname . arp saddr ether . arp saddr ip @tap_station accept
		arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether . arp daddr ip @tap_station accept
		counter drop
	}

	chain guest_ip {
		udp sport 67 counter drop
		udp dport 68 counter drop
		udp dport 67 goto guest_dhcp
		iifname . ether saddr . ip saddr != @tap_station counter drop
		tcp dport 80 ip daddr @metadata meta mark set iifname map @tap_mark
		accept
	}

	set dhcp_rate {
		typeof iifname
		flags dynamic
		timeout 1m
		size 4096
	}

	chain guest_dhcp {
		ip hdrlength != 5 counter drop
		ip ttl 0 counter drop
		ip frag-off & 0x3fff != 0 counter drop
		update @dhcp_rate { iifname limit rate over 10/second burst 20 packets } counter drop
		iifname . ether saddr . ip saddr @tap_station iifname . @th,288,48 @tap_chaddr accept
		ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 iifname . @th,288,48 @tap_chaddr accept
		counter drop
	}
";

fn ip_table(segments: &[Segment]) -> String {
    let mut out = String::from("\ntable ip seedbed {\n");
    let of = |line: &dyn Fn(&Segment) -> String| segments.iter().map(line).collect::<BTreeSet<_>>();
    set(&mut out, "bridges", "type ifname", of(&|s| quoted(&s.bridge)));
    set(
        &mut out,
        "gateways",
        "type ipv4_addr",
        of(&|s| s.subnet.gateway().to_string()),
    );
    set(
        &mut out,
        "bridge_gateway",
        "type ifname . ipv4_addr",
        of(&|s| format!("{} . {}", quoted(&s.bridge), s.subnet.gateway())),
    );
    let served = of(&|s| format!("{} : {}", quoted(&s.bridge), s.subnet.gateway()));
    map(&mut out, "metadata", "type ifname : ipv4_addr", served);
    out.push_str(IP_CHAINS);
    out.push_str("\n\tchain postrouting {\n\t\ttype nat hook postrouting priority 100; policy accept;\n");
    // Between two of our bridges a guest keeps its own address: it is what the other side knows it by. And so does the host
    // when it asks its own services.
    for subnet in of(&|s| {
        if s.nat {
            s.subnet.to_string()
        } else {
            String::new()
        }
    }) {
        if !subnet.is_empty() {
            push(
                &mut out,
                format_args!("\t\tip saddr {subnet} oifname != @bridges oifname != \"lo\" masquerade\n"),
            );
        }
    }
    out.push_str("\t}\n}\n");
    out
}

/// The metadata port and address are written into the text below.
const _: () = assert!(Network::METADATA_PORT == 80);
const _: () = assert!(Network::METADATA_ADDRESS.to_bits() == 0xa9fe_a9fe);

const IP_CHAINS: &str = r#"
	chain input {
		type filter hook input priority -10; policy accept;
		iifname != "lo" ip daddr @gateways iifname . ip daddr != @bridge_gateway jump services
	}

	chain services {
		udp dport { 53, 67 } counter drop
		tcp dport { 53, 80 } counter drop
	}

	chain forward {
		type filter hook forward priority -10; policy accept;
		iifname @bridges ip daddr 169.254.0.0/16 counter drop
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		ip daddr 169.254.169.254 tcp dport 80 dnat to iifname map @metadata
	}
"#;

/// A named map.
fn map(out: &mut String, name: &str, kind: &str, elements: BTreeSet<String>) {
    named(out, ("map", name, kind), elements);
}

/// A named set.
fn set(out: &mut String, name: &str, kind: &str, elements: BTreeSet<String>) {
    named(out, ("set", name, kind), elements);
}

/// A named set or map; nft has no way to write an empty list of elements, so an empty one has no list.
fn named(out: &mut String, (what, name, kind): (&str, &str, &str), elements: BTreeSet<String>) {
    push(out, format_args!("\t{what} {name} {{\n\t\t{kind}\n"));
    if !elements.is_empty() {
        let list: Vec<String> = elements.into_iter().collect();
        push(
            out,
            format_args!("\t\telements = {{\n\t\t\t{}\n\t\t}}\n", list.join(",\n\t\t\t")),
        );
    }
    out.push_str("\t}\n");
}

/// An interface name as nft reads it literally; the names' own rule leaves out quotes, `*` and white space.
fn quoted(name: &dyn Display) -> String {
    format!("\"{name}\"")
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String can not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bridge: &str, subnet: &str, nat: bool) -> Segment {
        Segment {
            bridge: bridge.parse().unwrap(),
            mac: MacAddress::new([2, 0, 0, 0, 0, 1]),
            subnet: subnet.parse().unwrap(),
            nat,
        }
    }

    fn vm(tap: &str, last: u8) -> Guarded {
        Guarded {
            tap: tap.parse().unwrap(),
            mac: MacAddress::new([0x52, 0x54, 0, 0, 0, last]),
            address: Ipv4Addr::new(10, 77, 0, last),
        }
    }

    #[test]
    fn the_whole_ruleset_reads_so() {
        let guarded = [vm("tap-web1", 11), vm("tap-db1", 12)];
        let segments = [
            segment("lab0", "10.77.0.1/24", true),
            segment("lan0", "192.0.2.1/25", false),
        ];
        insta::assert_snapshot!(text(&guarded, &segments));
    }

    #[test]
    fn the_order_of_the_vms_does_not_matter() {
        let (one, two) = (vm("tap-a", 1), vm("tap-b", 2));
        assert_eq!(text(&[one.clone(), two.clone()], &[]), text(&[two, one], &[]));
    }

    #[test]
    fn only_networks_with_nat_are_masqueraded() {
        let out = text(&[], &[segment("lan0", "192.0.2.1/25", false)]);
        assert!(!out.contains("masquerade"), "{out}");
        let out = text(&[], &[segment("lan0", "192.0.2.1/25", true)]);
        assert!(
            out.contains("ip saddr 192.0.2.0/25 oifname != @bridges oifname != \"lo\" masquerade"),
            "{out}"
        );
    }

    #[test]
    fn only_our_own_tables_are_named() {
        let out = text(&[vm("tap-a", 1)], &[segment("lab0", "10.77.0.1/24", true)]);
        for line in out.lines().filter(|line| line.contains("table ")) {
            assert!(line.contains(" seedbed"), "{line}");
        }
        assert!(!out.contains("flush"), "{out}");
    }
}
