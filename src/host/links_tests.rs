//! Bridges and ports in a network namespace of their own.

use super::*;
use crate::host::namespace::{self, ip, lab};
use crate::host::tap::Tap;

#[test]
fn a_bridges_mac_is_local_unicast_and_differs_by_host_and_name() {
    let name = |text: &str| text.parse::<BridgeName>().unwrap();
    let mac = bridge_mac(&name("lab0"), "one\n");
    assert_eq!(mac.bytes()[0], 0x02);
    assert_eq!(mac, bridge_mac(&name("lab0"), "one"));
    assert_ne!(mac, bridge_mac(&name("lab0"), "two"));
    assert_ne!(mac, bridge_mac(&name("lab1"), "one"));
}

#[test]
fn a_bridge_is_made_once_and_keeps_its_mac() {
    namespace::inside(
        "host::links::tests::a_bridge_is_made_once_and_keeps_its_mac",
        async |host| {
            let network = lab();
            assert_eq!(host.ensure_bridge(&network).await.unwrap(), Made::Created);
            assert_eq!(host.ensure_bridge(&network).await.unwrap(), Made::Existed);
            let shown = ip(&["-d", "addr", "show", "lab0"]);
            for fact in ["10.77.0.1/24", "forward_delay 0", "stp_state 0", ",UP"] {
                assert!(shown.contains(fact), "{fact} is missing in {shown}");
            }
            assert_eq!(shown.matches("inet ").count(), 1, "{shown}");
            assert!(!shown.contains("inet6"), "{shown}");

            let before = host.mac_of_bridge(&network.bridge).await.unwrap();
            let tap: TapName = "tap-web1".parse().unwrap();
            let _held = Tap::create(&tap).unwrap();
            host.attach(&tap, &network.bridge).await.unwrap();
            assert_eq!(host.mac_of_bridge(&network.bridge).await.unwrap(), before);
            let port = ip(&["-d", "addr", "show", "tap-web1"]);
            for fact in [
                "master lab0",
                "ether fe:",
                "isolated off",
                "hairpin off",
                "learning on",
                ",UP",
                "state forwarding",
            ] {
                assert!(port.contains(fact), "{fact} is missing in {port}");
            }
            assert!(host.is_attached(&tap).await.unwrap());
            let index = host.index_of(tap.as_str()).await.unwrap();
            host.detach(&tap, index, &network.bridge).await.unwrap();
            assert!(!host.is_attached(&tap).await.unwrap());
            let port = ip(&["-d", "addr", "show", "tap-web1"]);
            assert!(!port.contains("master") && !port.contains(",UP"), "{port}");
            assert!(!host.is_attached(&"tap-none".parse().unwrap()).await.unwrap());
        },
    );
}

#[test]
fn a_users_bridge_is_used_as_it_is() {
    namespace::inside(
        "host::links::tests::a_users_bridge_is_used_as_it_is",
        async |host| {
            ip(&[
                "link",
                "add",
                "lab0",
                "mtu",
                "9000",
                "type",
                "bridge",
                "stp_state",
                "1",
            ]);
            ip(&["addr", "add", "192.0.2.1/24", "dev", "lab0"]);
            assert_eq!(host.ensure_bridge(&lab()).await.unwrap(), Made::Existed);
            let shown = ip(&["-d", "addr", "show", "lab0"]);
            for fact in [
                "10.77.0.1/24",
                "192.0.2.1/24",
                "stp_state 1",
                "mtu 9000",
                ",UP",
                "no_linklocal_learn 1",
            ] {
                assert!(shown.contains(fact), "{fact} is missing in {shown}");
            }
            let tap: TapName = "tap-web1".parse().unwrap();
            let _held = Tap::create(&tap).unwrap();
            host.attach(&tap, &lab().bridge).await.unwrap();
            assert!(ip(&["link", "show", "lab0"]).contains("mtu 9000"));
        },
    );
}

#[test]
fn a_name_or_subnet_that_is_taken_is_refused_in_words() {
    namespace::inside(
        "host::links::tests::a_name_or_subnet_that_is_taken_is_refused_in_words",
        async |host| {
            ip(&["link", "add", "lab0", "type", "veth"]);
            let error = host.ensure_bridge(&lab()).await.unwrap_err().to_string();
            assert!(
                error.contains("`lab0` exists and is a veth, not a bridge"),
                "{error}"
            );
            ip(&["link", "del", "lab0"]);

            ip(&["link", "add", "uplink", "type", "bridge"]);
            for taken in ["10.77.0.99/24", "10.77.0.200/32", "10.1.2.3/8"] {
                ip(&["addr", "add", taken, "dev", "uplink"]);
                let error = host.ensure_bridge(&lab()).await.unwrap_err().to_string();
                let says =
                    format!("subnet 10.77.0.0/24 of bridge `lab0` overlaps {taken} on interface `uplink`");
                assert!(error.contains(&says), "{error}");
                host.index_of("lab0").await.unwrap_err();
                ip(&["addr", "del", taken, "dev", "uplink"]);
            }
            ip(&["addr", "add", "10.77.1.1/24", "dev", "uplink"]);
            assert_eq!(host.ensure_bridge(&lab()).await.unwrap(), Made::Created);
        },
    );
}

#[test]
fn a_port_is_taken_off_its_own_bridge_only() {
    namespace::inside(
        "host::links::tests::a_port_is_taken_off_its_own_bridge_only",
        async |host| {
            let network = lab();
            host.ensure_bridge(&network).await.unwrap();
            ip(&["link", "add", "other0", "type", "bridge"]);
            let tap: TapName = "tap-web1".parse().unwrap();
            let held = Tap::create(&tap).unwrap();
            let index = host.index_of("tap-web1").await.unwrap();
            let shown = || ip(&["link", "show", "tap-web1"]);

            host.attach(&tap, &network.bridge).await.unwrap();
            host.detach(&tap, index + 1, &network.bridge).await.unwrap();
            assert!(shown().contains("master lab0"), "it is another's: {}", shown());
            host.detach(&tap, index, &"other0".parse().unwrap())
                .await
                .unwrap();
            host.detach(&tap, index, &"nowhere".parse().unwrap())
                .await
                .unwrap();
            assert!(
                shown().contains("master lab0") && shown().contains(",UP"),
                "{}",
                shown()
            );
            host.detach(&tap, index, &network.bridge).await.unwrap();
            assert!(
                !shown().contains("master") && !shown().contains("UP"),
                "{}",
                shown()
            );
            // And back.
            host.attach(&tap, &network.bridge).await.unwrap();
            assert!(
                shown().contains("master lab0") && shown().contains(",UP"),
                "{}",
                shown()
            );

            drop(held);
            host.detach(&tap, index, &network.bridge).await.unwrap();
        },
    );
}
