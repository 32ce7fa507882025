//! The address that metadata services have on every cloud: this host's own for guests, and for nobody else.
//!
//! A guest may have a route for all of 169.254.0.0/16 on its interface, and then asks on the wire who has the address. Only a
//! host that has it answers, but one that is a cloud VM itself must not have it: its own agents would ask themselves. So it
//! is local in a routing table of its own, which packets that arrive by a guests' bridge are looked up in.

use std::net::Ipv4Addr;

use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::packet_route::rule::RuleAction;
use rustix::io::Errno;

use super::{Host, HostError, answered, netlink};
use crate::model::Network;

/// The number of the routing table, and of the rules that lead to it: before the main table, which has 32766.
const TABLE: u32 = 24_301;

impl Host {
    /// Makes [`Network::METADATA_ADDRESS`] this host's own for whatever arrives by the network's bridge.
    pub async fn own_metadata_address(&self, network: &Network) -> Result<(), HostError> {
        let (address, bridge) = (Network::METADATA_ADDRESS, &network.bridge);
        // By the loopback interface: it stays when one of several bridges goes.
        let loopback = self.index_of("lo").await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .output_interface(loopback)
            .table_id(TABLE)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .build();
        let rule = self
            .netlink
            .rule()
            .add()
            .v4()
            .input_interface(bridge.as_str())
            .destination_prefix(address, 32)
            .table_id(TABLE)
            .priority(TABLE)
            .action(RuleAction::ToTable);
        for made in [
            self.netlink.route().add(route).execute().await,
            rule.execute().await,
        ] {
            match made {
                Err(error) if answered(&error, &[Errno::EXIST]) => {}
                other => other.map_err(netlink(format!(
                    "lead {address} to this host on bridge `{bridge}`"
                )))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::host::namespace::{self, ip, lab};

    #[test]
    fn the_address_is_the_hosts_on_a_bridge_and_nowhere_else() {
        namespace::inside(
            "host::metadata_address::tests::the_address_is_the_hosts_on_a_bridge_and_nowhere_else",
            async |host| {
                let network = lab();
                host.ensure_bridge(&network).await.unwrap();
                // A second start finds what the first one made.
                for _ in 0..2 {
                    host.own_metadata_address(&network).await.unwrap();
                }
                let rules = ip(&["rule", "show"]);
                let rule = "from all to 169.254.169.254 iif lab0 lookup 24301";
                assert_eq!(rules.matches(rule).count(), 1, "{rules}");
                let routes = ip(&["route", "show", "table", "24301"]);
                assert_eq!(
                    routes.matches("local 169.254.169.254 dev lo").count(),
                    1,
                    "{routes}"
                );
                let local = ip(&["route", "show", "table", "local"]);
                assert!(!local.contains("169.254"), "{local}");
            },
        );
    }
}
