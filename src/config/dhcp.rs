//! The DHCP part of a network's configuration.

use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use super::check::{ChoiceError, Problems, choice, number};
use super::file::{DhcpFile, LoadersFile, NetworkFile, RelayFile, RouteFile, Text};
use super::networks::each;
use crate::model::dhcp::{
    BootLoaders, CustomOption, DhcpMode, DhcpPolicy, DhcpSettings, Relay, Route, Unregistered,
};
use crate::model::{HostKeyPolicy, Pool, Subnet};

/// How long a lease holds when nothing else is said.
const LEASE: Duration = Duration::from_secs(12 * 3_600);
/// RFC 2132 §9.2: a lease is 32 bits of seconds, and RFC 2131 §3.3 keeps the highest value for "for ever".
const LEASE_BOUNDS: (Duration, Duration) =
    (Duration::from_secs(60), Duration::from_secs(u32::MAX as u64 - 1));
/// RFC 2132 §5.1 allows 68; RFC 791 makes every host take 576, and less than that is a typing error.
const MTU_BOUNDS: (u16, u16) = (576, u16::MAX);
/// Four octets each in one option of at most 255 (RFC 2132 §8.3).
const MOST_ADDRESSES: usize = 63;
/// The `file` field of a message holds 127 octets and a final zero (RFC 2131 §2).
const LONGEST_FILE: usize = 127;

/// What is written under a network about DHCP; `pool` is what dynamic leases come from when nothing else is said. Without
/// a subnet there is no policy, but what does not depend on it is judged all the same.
pub(super) fn policy(
    problems: &mut Problems,
    place: &str,
    file: &NetworkFile,
    wire: Option<(Subnet, Pool)>,
) -> Option<DhcpPolicy> {
    let subnet = wire.map(|(subnet, _)| subnet);
    let DhcpFile {
        mode,
        unregistered,
        dynamic,
        options,
        loaders,
        relay,
    } = file.dhcp.clone().unwrap_or_default();
    let at = |key: &str| format!("{place}.{key}");
    let dynamic = dynamic
        .zip(subnet)
        .and_then(|(Text(text), subnet)| problems.keep(&at("dhcp.dynamic"), Pool::parse(&text, subnet)));
    let options = options.unwrap_or_default().into_iter();
    let options = options
        .filter_map(|(code, Text(value))| {
            let written = CustomOption::new(&code.to_string(), &value);
            problems.keep(&at(&format!("dhcp.options.{code}")), written)
        })
        .collect();
    let settings = DhcpSettings {
        options,
        ..settings(problems, place, file, subnet)
    };
    let mode = problems.parsed(&at("dhcp.mode"), mode.as_ref(), DhcpMode::Authoritative);
    let unregistered = problems.parsed(
        &at("dhcp.unregistered"),
        unregistered.as_ref(),
        Unregistered::Ignore,
    );
    if mode == DhcpMode::Proxy && unregistered == Unregistered::Pool {
        problems.note(
            at("dhcp.unregistered"),
            "`pool` gives addresses, and `mode: proxy` leaves that to another server: choose one of the two",
        );
    }
    let lease = problems.span(&at("lease"), file.lease.as_ref(), LEASE, LEASE_BOUNDS);
    let (subnet, pool) = wire?;
    Some(DhcpPolicy {
        mode,
        unregistered,
        dynamic: dynamic.unwrap_or(pool),
        lease,
        settings,
        loaders: loaders.map_or_else(BootLoaders::default, |written| {
            boot_loaders(problems, &at("dhcp.loaders"), &written)
        }),
        relay: relay.and_then(|written| self::relay(problems, &at("dhcp.relay"), &written, subnet)),
    })
}

fn settings(
    problems: &mut Problems,
    place: &str,
    file: &NetworkFile,
    subnet: Option<Subnet>,
) -> DhcpSettings {
    let at = |key: &str| format!("{place}.{key}");
    let dns = file.dns.clone().unwrap_or_default();
    let mut addresses = |key: &str, written: Option<&[Text]>| {
        let found = each(problems, &at(key), written, address);
        if found.len() > MOST_ADDRESSES {
            problems.note(
                at(key),
                format!("at most {MOST_ADDRESSES} addresses fit one DHCP option"),
            );
        }
        found
    };
    let ntp = addresses("ntp", file.ntp.as_deref());
    let servers = addresses("dns.servers", dns.servers.as_deref());
    let search = each(
        problems,
        &at("dns.search"),
        dns.search.as_deref(),
        |Text(text)| text.parse().map_err(|error| format!("{error}")),
    );
    DhcpSettings {
        dns: servers,
        ntp,
        search,
        mtu: number(problems, &at("mtu"), file.mtu.as_ref(), MTU_BOUNDS),
        routes: each(problems, &at("routes"), file.routes.as_deref(), |written| {
            route(written, subnet)
        }),
        options: Vec::new(),
    }
}

fn address(Text(text): &Text) -> Result<Ipv4Addr, String> {
    // Options 6 and 42 carry addresses, not names (RFC 2132 §3.8, §8.3).
    text.parse()
        .map_err(|_| format!("`{}` is not an IPv4 address", text.escape_debug()))
}

fn route(RouteFile { to, via }: &RouteFile, subnet: Option<Subnet>) -> Result<Route, String> {
    let route = Route::parse(&to.0, &via.0).map_err(|error| error.to_string())?;
    // The bridge itself may be the router; the subnet's other special addresses may not.
    if let Some(subnet) = subnet.filter(|subnet| route.router != subnet.gateway()) {
        subnet
            .check(route.router)
            .map_err(|problem| problem.to_string())?;
    }
    Ok(route)
}

fn boot_loaders(problems: &mut Problems, place: &str, written: &LoadersFile) -> BootLoaders {
    let mut file = |key: &str, written: Option<&Text>| {
        let Text(text) = written?;
        let fits =
            (1..=LONGEST_FILE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            problems.note(
                format!("{place}.{key}"),
                format!("a boot file's name has 1 to {LONGEST_FILE} printable characters and no spaces"),
            );
        }
        fits.then(|| text.as_str().into())
    };
    let bios = file("bios", written.bios.as_ref());
    let efi_x64 = file("efi_x64", written.efi_x64.as_ref());
    let efi_arm64 = file("efi_arm64", written.efi_arm64.as_ref());
    let http = file("http", written.http.as_ref());
    let tftp = written
        .tftp
        .as_ref()
        .and_then(|text| problems.keep(&format!("{place}.tftp"), address(text)));
    if tftp.is_none() && (bios.is_some() || efi_x64.is_some() || efi_arm64.is_some()) {
        problems.note(
            place,
            "boot files are fetched by TFTP: say from which server with `tftp`",
        );
    }
    BootLoaders {
        tftp,
        bios,
        efi_x64,
        efi_arm64,
        http,
    }
}

fn relay(problems: &mut Problems, place: &str, written: &RelayFile, subnet: Subnet) -> Option<Relay> {
    let server = problems.keep(&format!("{place}.server"), address(&written.server))?;
    let agents = each(
        problems,
        &format!("{place}.agents"),
        Some(&written.agents),
        address,
    );
    if agents.is_empty() {
        problems.note(
            format!("{place}.agents"),
            "name at least one relay agent, by the address it sends from",
        );
    }
    if subnet.contains(server) {
        problems.note(
            format!("{place}.server"),
            format!(
                "{server} is inside {subnet}: a relayed network is not on this host; write this host's address towards \
                 the relay agents"
            ),
        );
    }
    Some(Relay { server, agents })
}

impl FromStr for DhcpMode {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        choice(text, &Self::ALL.map(|mode| (mode.as_str(), mode)))
    }
}

impl FromStr for HostKeyPolicy {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        choice(text, &Self::ALL.map(|policy| (policy.as_str(), policy)))
    }
}

impl FromStr for Unregistered {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        choice(text, &Self::ALL.map(|policy| (policy.as_str(), policy)))
    }
}
