//! The stored forms since schema 2: what is set for one VM alone, dynamic leases, and DNS records.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::nic::NicV3;
use super::site::{AccessV3, SecretsV3};
use super::{RecordError, error, field};
use crate::model::dhcp::{CustomOption, DhcpSettings, Route};
use crate::model::{
    Access, Custom, DnsRecord, HostName, Instance, InstancePolicy, Lease, LeaseState, MoreNic, RecordData,
    Secrets, Timestamp, mac,
};
use crate::registry::change::RecordSet;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::registry) struct CustomV2 {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ntp: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    search: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u16>,
    /// Destination and router of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<(String, String)>,
    /// As they are written: `150: ip 10.77.0.5`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    options: Vec<String>,
    /// Since schema 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<AccessV3>,
    /// Since schema 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<SecretsV3>,
    /// Since schema 3; none where its instance-id stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_policy: Option<String>,
    /// Since schema 3; when its instance became another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_renewed: Option<u64>,
    /// Since schema 3; whether it is written to before it starts, whatever its image says.
    #[serde(skip_serializing_if = "is_false")]
    offline: bool,
    /// Since schema 3.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nics: Vec<NicV3>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct LeaseV2 {
    network: String,
    mac: String,
    address: String,
    #[serde(default, skip_serializing_if = "is_false")]
    declined: bool,
    since: u64,
    expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::registry) struct RecordSetV2 {
    network: String,
    owner: String,
    records: Vec<RecordV2>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", deny_unknown_fields)]
enum RecordV2 {
    A(String),
    Aaaa(String),
    Cname(String),
    Mx(u16, String),
    Srv(u16, u16, u16, String),
    Txt(String),
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
pub(super) const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The key of a name's records: no network's name has a slash in it.
pub(in crate::registry) fn key(set: &RecordSet) -> String {
    format!("{}/{}", set.network, set.owner)
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn fields<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &'static str,
    stored: &[String],
) -> Result<Vec<T>, RecordError> {
    stored.iter().map(|text| field(name, text)).collect()
}

impl From<&Custom> for CustomV2 {
    fn from(custom: &Custom) -> Self {
        let Custom {
            aliases,
            dhcp,
            boot,
            access,
            secrets,
            instance,
            offline,
            nics,
        } = custom;
        let route = |route: &Route| {
            (
                format!("{}/{}", route.destination, route.prefix),
                route.router.to_string(),
            )
        };
        Self {
            aliases: texts(aliases),
            boot: boot.as_ref().map(ToString::to_string),
            dns: texts(&dhcp.dns),
            ntp: texts(&dhcp.ntp),
            search: texts(&dhcp.search),
            mtu: dhcp.mtu,
            routes: dhcp.routes.iter().map(route).collect(),
            options: texts(&dhcp.options),
            access: (*access != Access::default()).then(|| AccessV3::from(access)),
            secrets: (!secrets.is_empty()).then(|| SecretsV3::from(secrets)),
            instance_policy: (instance.policy != InstancePolicy::default())
                .then(|| instance.policy.as_str().to_owned()),
            instance_renewed: instance.renewed.map(|at| at.0),
            offline: *offline,
            nics: nics.iter().map(NicV3::from).collect(),
        }
    }
}

impl TryFrom<CustomV2> for Custom {
    type Error = RecordError;

    fn try_from(stored: CustomV2) -> Result<Self, RecordError> {
        let routes = stored
            .routes
            .iter()
            .map(|(to, via)| Route::parse(to, via).map_err(|why| error("custom.routes", &why)));
        Ok(Self {
            aliases: fields("custom.aliases", &stored.aliases)?,
            boot: stored.boot.map(|text| field("custom.boot", &text)).transpose()?,
            dhcp: DhcpSettings {
                dns: fields("custom.dns", &stored.dns)?,
                ntp: fields("custom.ntp", &stored.ntp)?,
                search: fields("custom.search", &stored.search)?,
                mtu: stored.mtu,
                routes: routes.collect::<Result<_, _>>()?,
                options: fields::<CustomOption>("custom.options", &stored.options)?,
            },
            access: stored
                .access
                .map(Access::try_from)
                .transpose()?
                .unwrap_or_default(),
            secrets: stored
                .secrets
                .map(Secrets::try_from)
                .transpose()?
                .unwrap_or_default(),
            instance: Instance {
                policy: stored
                    .instance_policy
                    .map_or(Ok(InstancePolicy::default()), |text| {
                        field("custom.instance_policy", &text)
                    })?,
                renewed: stored.instance_renewed.map(Timestamp),
            },
            offline: stored.offline,
            nics: stored
                .nics
                .into_iter()
                .map(MoreNic::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Lease> for LeaseV2 {
    fn from(lease: &Lease) -> Self {
        Self {
            network: lease.network.to_string(),
            mac: mac::text(lease.mac),
            address: lease.address.to_string(),
            declined: lease.state == LeaseState::Declined,
            since: lease.since.0,
            expires: lease.expires.0,
            hostname: lease.hostname.as_deref().map(ToOwned::to_owned),
        }
    }
}

impl TryFrom<LeaseV2> for Lease {
    type Error = RecordError;

    fn try_from(stored: LeaseV2) -> Result<Self, RecordError> {
        Ok(Self {
            network: field("network", &stored.network)?,
            mac: mac::parse(&stored.mac).map_err(|why| error("mac", &why))?,
            address: field("address", &stored.address)?,
            state: if stored.declined {
                LeaseState::Declined
            } else {
                LeaseState::Bound
            },
            since: Timestamp(stored.since),
            expires: Timestamp(stored.expires),
            hostname: stored.hostname.map(Into::into),
        })
    }
}

impl From<&RecordSet> for RecordSetV2 {
    fn from(set: &RecordSet) -> Self {
        Self {
            network: set.network.to_string(),
            owner: set.owner.to_string(),
            records: set
                .records
                .iter()
                .map(|record| RecordV2::from(&record.data))
                .collect(),
        }
    }
}

impl TryFrom<RecordSetV2> for RecordSet {
    type Error = RecordError;

    fn try_from(stored: RecordSetV2) -> Result<Self, RecordError> {
        let network: crate::model::NetworkName = field("network", &stored.network)?;
        let owner: crate::model::RecordName = field("owner", &stored.owner)?;
        let record = |stored: RecordV2| {
            Ok(Arc::new(DnsRecord {
                network: network.clone(),
                owner: owner.clone(),
                data: stored.data()?,
            }))
        };
        let records = stored
            .records
            .into_iter()
            .map(record)
            .collect::<Result<_, RecordError>>()?;
        Ok(Self {
            network,
            owner,
            records,
        })
    }
}

impl From<&RecordData> for RecordV2 {
    fn from(data: &RecordData) -> Self {
        match data {
            RecordData::A(address) => Self::A(address.to_string()),
            RecordData::Aaaa(address) => Self::Aaaa(address.to_string()),
            RecordData::Cname(target) => Self::Cname(target.to_string()),
            RecordData::Mx { preference, exchange } => Self::Mx(*preference, exchange.to_string()),
            RecordData::Srv {
                priority,
                weight,
                port,
                target,
            } => Self::Srv(*priority, *weight, *port, target.to_string()),
            RecordData::Txt(text) => Self::Txt(text.to_string()),
        }
    }
}

impl RecordV2 {
    fn data(self) -> Result<RecordData, RecordError> {
        let host = |text: String| field::<HostName>("records", &text);
        Ok(match self {
            Self::A(address) => RecordData::A(field("records", &address)?),
            Self::Aaaa(address) => RecordData::Aaaa(field("records", &address)?),
            Self::Cname(target) => RecordData::Cname(host(target)?),
            Self::Mx(preference, exchange) => RecordData::Mx {
                preference,
                exchange: host(exchange)?,
            },
            Self::Srv(priority, weight, port, target) => RecordData::Srv {
                priority,
                weight,
                port,
                target: host(target)?,
            },
            Self::Txt(text) => RecordData::Txt(text.into()),
        })
    }
}
