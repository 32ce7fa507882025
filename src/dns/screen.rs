//! What of an upstream server's answer is passed on: what was asked for, and nothing that points into our networks.
//! Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::HTTPS;
use hickory_proto::rr::rdata::svcb::SvcParamValue;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::answer::MAX_ALIASES;
use super::view::is_in_zone;
use super::wire::Forwarded;
use super::zone::QueryName;
use crate::model::{Directory, Network};

/// What upstream servers may say to a network.
#[derive(Clone, Copy)]
pub(super) struct Policy<'a> {
    /// Whose names upstream servers know nothing about.
    pub(super) directory: &'a Directory,
    /// Who asks.
    pub(super) network: &'a Network,
}

/// What an upstream server may not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Forbidden {
    /// A page from elsewhere could reach into the guest's own network with it (DNS rebinding).
    #[error("it has a private address; where that is meant to be, set `dns.private_answers: true`")]
    PrivateAddress,
    /// An alias that leads into one of our zones.
    #[error("it points at a name of one of our zones")]
    OurName,
}

/// The answer to a query out of the records that came, or what of them policy forbids.
///
/// Kept are the records of the type that was asked for at the name that was asked for, or at the end of the aliases
/// that lead from it, and those aliases. Whatever else a server added was not asked for.
pub(super) fn screened(
    query: &Query,
    records: &[Record],
    policy: Policy<'_>,
) -> Result<Forwarded, Forbidden> {
    let mut name = query.name();
    let mut kept = Vec::new();
    for _ in 0..=MAX_ALIASES {
        if policy.is_ours(name) {
            return Err(Forbidden::OurName);
        }
        let here = records.iter().filter(|record| record.name == *name);
        let wanted = here
            .clone()
            .filter(|record| record.record_type() == query.query_type());
        let before = kept.len();
        kept.extend(wanted.cloned());
        if kept.len() > before || query.query_type() == RecordType::CNAME {
            break;
        }
        let alias = here.into_iter().find_map(|record| match &record.data {
            RData::CNAME(target) => Some((record, &target.0)),
            _ => None,
        });
        let Some((record, target)) = alias else { break };
        kept.push(record.clone());
        name = target;
    }
    if kept.iter().any(|record| policy.forbids(&record.data)) {
        return Err(Forbidden::PrivateAddress);
    }
    let answered = kept
        .iter()
        .any(|record| record.record_type() == query.query_type());
    // An alias that leads to nothing here may lead on elsewhere: the asker goes on from it.
    Ok(if answered || (1..=MAX_ALIASES).contains(&kept.len()) {
        Forwarded::Found(kept)
    } else if kept.is_empty() {
        Forwarded::NoData(None)
    } else {
        Forwarded::Failed
    })
}

impl Policy<'_> {
    /// Whether a name is in a zone of any of our networks: nobody else has a say there.
    fn is_ours(self, name: &Name) -> bool {
        let name = QueryName::of(name.iter());
        self.directory
            .networks()
            .any(|network| is_in_zone(&name, network))
    }

    fn forbids(self, data: &RData) -> bool {
        match data {
            RData::A(address) => self.forbids_address(address.0.into()),
            RData::AAAA(address) => self.forbids_address(address.0.into()),
            // RFC 9460 §7.3: addresses to begin with, while those of the name are looked up.
            RData::HTTPS(HTTPS(service)) | RData::SVCB(service) => {
                service.svc_params.iter().any(|(_, value)| match value {
                    SvcParamValue::Ipv4Hint(hints) => {
                        hints.0.iter().any(|hint| self.forbids_address(hint.0.into()))
                    }
                    SvcParamValue::Ipv6Hint(hints) => {
                        hints.0.iter().any(|hint| self.forbids_address(hint.0.into()))
                    }
                    _ => false,
                })
            }
            _ => false,
        }
    }

    fn forbids_address(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => is_host_v4(v4) || self.is_subnet(v4) || (!self.private() && is_private_v4(v4)),
            IpAddr::V6(v6) => is_host_v6(v6) || (!self.private() && is_private_v6(v6)),
        }
    }

    const fn private(self) -> bool {
        self.network.dns.private_answers
    }

    /// Addresses of our networks are told by their own zones only.
    fn is_subnet(self, address: Ipv4Addr) -> bool {
        !self.private()
            && self
                .directory
                .networks()
                .any(|network| network.subnet.contains(address))
    }
}

/// Addresses of the asking host itself (RFC 6890): no name elsewhere means them.
const fn is_host_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_unspecified() || matches!(address.octets(), [0, ..])
}

/// Addresses that mean another host in each network: RFC 1918, RFC 3927 (link-local, where clouds serve metadata), RFC
/// 6598 (shared).
const fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_link_local() || matches!(address.octets(), [100, 64..=127, ..])
}

fn is_host_v6(address: Ipv6Addr) -> bool {
    let [prefix @ .., _, _] = address.segments();
    // RFC 4291 §2.5.5.1: an IPv4 address in the last 32 bits, of a form that nothing uses any more.
    address.is_loopback() || address.is_unspecified() || prefix == [0; 6]
}

/// Unique local (RFC 4193) and link-local (RFC 4291), and private IPv4 addresses behind the well-known prefix of NAT64.
fn is_private_v6(address: Ipv6Addr) -> bool {
    let embedded = match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    };
    address.is_unique_local()
        || address.is_unicast_link_local()
        || embedded.is_some_and(|v4| is_host_v4(v4) || is_private_v4(v4))
}

#[cfg(test)]
mod tests;
