//! Requests about networks: what each is and how full, and its names in other programs' formats.

use std::sync::Arc;

use super::{Daemon, records};
use crate::control::{Answer, ExportForm, NetworkInfo, Refusal};
use crate::export;
use crate::model::{Directory, Network, Timestamp};

/// The networks of these names, or all.
pub(super) fn shown(daemon: &Daemon, names: &[String]) -> Result<Answer, Refusal> {
    let directory = daemon.directory();
    let named = names
        .iter()
        .map(|name| records::network(&directory, Some(name)))
        .collect::<Result<Vec<_>, _>>()?;
    let networks: Vec<Arc<Network>> = if names.is_empty() {
        directory.networks().cloned().collect()
    } else {
        named
    };
    let now = daemon.clock.now();
    let shown = networks.iter().map(|network| NetworkInfo {
        host_names: daemon.host_names.told(&network.name),
        ..info(&directory, network, now)
    });
    Ok(Answer::Networks(shown.collect()))
}

fn info(directory: &Directory, network: &Network, now: Timestamp) -> NetworkInfo {
    let (pool, policy) = (network.pool, &network.dhcp);
    let (mut count, mut taken) = (0, 0);
    for (_, nic) in directory.vms_on(&network.name) {
        count += 1;
        taken += u32::from(pool.contains(nic.address));
    }
    let active = directory
        .leases()
        .iter()
        .filter(|lease| lease.network == network.name && lease.expires > now);
    let mut leases = 0;
    for lease in active {
        leases += 1;
        taken += u32::from(pool.contains(lease.address) && directory.vm_at(lease.address).is_none());
    }
    let size = pool.last().to_bits() - pool.first().to_bits() + 1;
    NetworkInfo {
        name: network.name.to_string(),
        bridge: network.bridge.to_string(),
        subnet: network.subnet.to_string(),
        gateway: network.subnet.gateway(),
        pool: pool.to_string(),
        pool_size: size - u32::from(pool.contains(network.subnet.gateway())),
        pool_taken: taken,
        domain: network.domain.to_string(),
        nat: network.nat,
        dhcp: policy.mode.as_str().to_owned(),
        unregistered: policy.unregistered.as_str().to_owned(),
        lease_seconds: policy.lease.as_secs(),
        upstreams: network.dns.upstreams.iter().map(ToString::to_string).collect(),
        transfer: network.dns.transfer.iter().map(ToString::to_string).collect(),
        reverse_zones: export::reverse_zones(network.subnet)
            .map(export::ReverseZone::name)
            .collect(),
        vms: count,
        leases,
        host_names: String::new(),
    }
}

/// The generated hosts file.
pub(super) fn hosts(daemon: &Daemon) -> Answer {
    let directory = daemon.directory();
    Answer::Text(export::text(|out| export::hosts(&directory, out)))
}

/// The registry in another program's format.
pub(super) fn export(daemon: &Daemon, form: ExportForm, name: Option<&String>) -> Result<String, Refusal> {
    let directory = daemon.directory();
    if form == ExportForm::Hosts && name.is_none() {
        return Ok(export::text(|out| export::hosts(&directory, out)));
    }
    let places = &daemon.config.places;
    match form {
        ExportForm::KnownHosts => return Ok(export::text(|out| export::known_hosts(&directory, out))),
        ExportForm::SshConfig => {
            let known_hosts = places.known_hosts();
            return Ok(export::text(|out| {
                export::ssh_config(&directory, &known_hosts, out)
            }));
        }
        _ => {}
    }
    let network = &*records::network(&directory, name)?;
    Ok(export::text(|out| match form {
        // The file is the same: a network's hosts.
        ExportForm::Hosts | ExportForm::DnsmasqHosts => export::dnsmasq_hosts(&directory, network, out),
        ExportForm::Zone => export::zone(&directory, network, out),
        ExportForm::ReverseZone => export::reverse_zones(network.subnet)
            .try_for_each(|zone| export::reverse_zone(&directory, network, zone, out)),
        // Those of all networks in one: answered above.
        ExportForm::KnownHosts | ExportForm::SshConfig => Ok(()),
        ExportForm::DnsmasqDhcp => export::dnsmasq_dhcp_hosts(&directory, network, out),
        ExportForm::Kea => export::kea_reservations(&directory, network, out),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lease, LeaseState, examples, mac};

    #[test]
    fn a_pool_is_as_full_as_vms_and_active_leases_make_it() {
        let mut directory = Directory::of([examples::network("lab", "10.77.0.1/29")]);
        directory.put_vm(Arc::new(examples::vm("web1", "10.77.0.2")));
        for (last, expires) in [(3, 100), (4, 10)] {
            directory.leases_mut().put(Arc::new(Lease {
                network: "lab".parse().unwrap(),
                mac: mac::parse(&format!("52:54:00:00:00:0{last}")).unwrap(),
                address: std::net::Ipv4Addr::new(10, 77, 0, last),
                state: LeaseState::Bound,
                since: Timestamp(1),
                expires: Timestamp(expires),
                hostname: None,
            }));
        }
        let network = directory.networks().next().unwrap();
        let shown = info(&directory, network, Timestamp(50));
        assert_eq!(
            (shown.pool_taken, shown.pool_size),
            (2, 5),
            "the bridge's own is not given"
        );
        assert_eq!((shown.vms, shown.leases), (1, 1));
        assert_eq!(shown.reverse_zones, ["0.77.10.in-addr.arpa"]);
    }
}
