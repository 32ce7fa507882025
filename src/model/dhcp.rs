//! What DHCP tells beside an address: per network, and per VM where that is to be told something else.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use super::name::{Domain, ImageName};
use super::subnet::Pool;

/// How a network's DHCP server behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpPolicy {
    /// Whether others answer on the wire too.
    pub mode: DhcpMode,
    /// What happens to hardware addresses that no VM has.
    pub unregistered: Unregistered,
    /// The addresses that dynamic leases are made of; reservations take them first.
    pub dynamic: Pool,
    /// How long a lease holds (option 51).
    pub lease: Duration,
    /// What every client is told.
    pub settings: DhcpSettings,
    /// How firmware that can not fetch by HTTP is brought to iPXE.
    pub loaders: BootLoaders,
    /// `Some` when the network is not on this host: its requests come through relay agents.
    pub relay: Option<Relay>,
}

/// Whether a server is the only one on its wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DhcpMode {
    /// The only one: whoever it has a record of, and who asks for another address, is told so at once.
    #[default]
    Authoritative,
    /// Beside others: only clients that chose this server are ever refused.
    Polite,
    /// Beside a server that gives the addresses: only network boot is answered (PXE 2.1 §2.2.3, "proxyDHCP").
    Proxy,
}

/// What happens to hardware addresses that no VM has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unregistered {
    /// They get no answer.
    #[default]
    Ignore,
    /// They get a dynamic lease.
    Pool,
    /// They get no answer, and are remembered to be adopted.
    Discover,
}

impl DhcpMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Authoritative, Self::Polite, Self::Proxy];

    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authoritative => "authoritative",
            Self::Polite => "polite",
            Self::Proxy => "proxy",
        }
    }
}

impl Unregistered {
    /// All policies.
    pub const ALL: [Self; 3] = [Self::Ignore, Self::Pool, Self::Discover];

    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Pool => "pool",
            Self::Discover => "discover",
        }
    }
}

/// Requests that come through relay agents (RFC 2131 §4.1, RFC 3046).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Our own address as the agents reach it: the server identifier of this network.
    pub server: Ipv4Addr,
    /// The agents that are believed, by the address they send from.
    pub agents: Vec<Ipv4Addr>,
}

/// What a client is told beside its address. What is empty or `None` in a VM's own is as its network says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DhcpSettings {
    /// Name servers (option 6); empty on a network means its gateway.
    pub dns: Vec<Ipv4Addr>,
    /// Time servers (option 42).
    pub ntp: Vec<Ipv4Addr>,
    /// The search list (option 119); empty on a network means its domain.
    pub search: Vec<Domain>,
    /// Interface MTU (option 26) in octets.
    pub mtu: Option<u16>,
    /// Routes beside the default route (option 121).
    pub routes: Vec<Route>,
    /// Any other options, each code once, in the order of their codes.
    pub options: Vec<CustomOption>,
}

impl DhcpSettings {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A classless static route (RFC 3442).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The destination network.
    pub destination: Ipv4Addr,
    /// Its prefix length, 0 to 32.
    pub prefix: u8,
    /// The router that leads there.
    pub router: Ipv4Addr,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} via {}", self.destination, self.prefix, self.router)
    }
}

/// A text that is not a route, or not one that means anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Not a destination with a prefix length.
    #[error("`{0}` is not a destination such as 192.168.0.0/16")]
    Destination(String),
    /// The destination is an address, not a network.
    #[error("{destination}/{prefix} has host bits set: write {network}/{prefix}")]
    HostBits {
        /// What was written.
        destination: Ipv4Addr,
        /// Its prefix length.
        prefix: u8,
        /// What was meant.
        network: Ipv4Addr,
    },
    /// The router is no address.
    #[error("`{0}` is not a router's IPv4 address")]
    Router(String),
}

impl Route {
    /// The route to a destination such as `192.168.0.0/16` by a router.
    pub fn parse(to: &str, via: &str) -> Result<Self, RouteError> {
        let malformed = || RouteError::Destination(shown(to));
        let (destination, prefix) = to.split_once('/').ok_or_else(malformed)?;
        let destination: Ipv4Addr = destination.parse().map_err(|_| malformed())?;
        let prefix: u8 = prefix.parse().map_err(|_| malformed())?;
        let host_bits = match prefix {
            0..=31 => u32::MAX >> prefix,
            32 => 0,
            _ => return Err(malformed()),
        };
        if destination.to_bits() & host_bits != 0 {
            return Err(RouteError::HostBits {
                destination,
                prefix,
                network: Ipv4Addr::from_bits(destination.to_bits() & !host_bits),
            });
        }
        let router = via.parse().map_err(|_| RouteError::Router(shown(via)))?;
        Ok(Self {
            destination,
            prefix,
            router,
        })
    }
}

/// A DHCP option that Seedbed has no word for, as the operator wrote it: `150: ip 10.77.0.5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomOption {
    code: u8,
    value: OptionValue,
}

/// The forms a custom option's value is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum OptionValue {
    Addresses(Box<[u8]>),
    Text(Box<str>),
    Hex(Box<[u8]>),
}

/// A text that is not a custom option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Not `code: form value`.
    #[error(
        "`{0}` is not a DHCP option such as `150: ip 10.77.0.5`, `66: text boot.lab` or `224: hex 0a0b0c`"
    )]
    Malformed(String),
    /// The code is not one an option can have.
    #[error("DHCP options have codes from 1 to 254, and not {0}")]
    Code(String),
    /// The server itself says what is in it.
    #[error("DHCP option {0} is the server's own: {1}")]
    Own(u8, &'static str),
    /// The value is not of the form it says.
    #[error("option {code}: `{value}` is not {form}")]
    Value {
        /// The option.
        code: u8,
        /// What was written.
        value: String,
        /// What was expected.
        form: &'static str,
    },
    /// Nothing, or more than a reply can hold.
    #[error("option {code} has {len} octets: use 1 to 1000")]
    Length {
        /// The option.
        code: u8,
        /// Its length.
        len: usize,
    },
}

/// Options that an operator can not set, and what to use instead.
const OWN: [(u8, &str); 14] = [
    (1, "the netmask is the subnet's"),
    (50, "only clients send it"),
    (51, "set `lease`"),
    (52, "it says how the message is laid out"),
    (53, "it is the message type"),
    (54, "it is the server's address"),
    (55, "only clients send it"),
    (57, "only clients send it"),
    (58, "it follows from `lease`"),
    (59, "it follows from `lease`"),
    (61, "it is the client's, sent back"),
    (80, "rapid commit is not offered"),
    (82, "it is the relay agent's, sent back"),
    (121, "set `routes`"),
];

impl CustomOption {
    /// The option of that code with a value such as `ip 10.77.0.5`, `text boot.lab` or `hex 0a0b0c`.
    pub fn new(code: &str, value: &str) -> Result<Self, OptionError> {
        let number: u8 = code
            .trim()
            .parse()
            .ok()
            .filter(|code| (1..=254).contains(code))
            .ok_or_else(|| OptionError::Code(shown(code)))?;
        if let Some((code, why)) = OWN.into_iter().find(|(own, _)| *own == number) {
            return Err(OptionError::Own(code, why));
        }
        let (form, rest) = value
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| OptionError::Malformed(shown(&format!("{code}: {value}"))))?;
        let option = Self {
            code: number,
            value: OptionValue::parse(number, form, rest.trim())?,
        };
        let len = option.octets().len();
        if (1..=1000).contains(&len) {
            Ok(option)
        } else {
            Err(OptionError::Length { code: number, len })
        }
    }

    /// The option's number.
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// The value as it is sent.
    pub fn octets(&self) -> &[u8] {
        match &self.value {
            OptionValue::Addresses(octets) | OptionValue::Hex(octets) => octets,
            OptionValue::Text(text) => text.as_bytes(),
        }
    }

    /// The value as it is written: `ip 10.77.0.5`.
    pub fn value(&self) -> String {
        match &self.value {
            OptionValue::Addresses(octets) => {
                let words: Vec<String> = octets
                    .chunks_exact(4)
                    .filter_map(|four| <[u8; 4]>::try_from(four).ok())
                    .map(|four| Ipv4Addr::from(four).to_string())
                    .collect();
                format!("ip {}", words.join(" "))
            }
            OptionValue::Text(text) => format!("text {text}"),
            OptionValue::Hex(octets) => {
                let digits: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
                format!("hex {}", digits.concat())
            }
        }
    }
}

impl OptionValue {
    fn parse(code: u8, form: &str, value: &str) -> Result<Self, OptionError> {
        let wrong = |form| OptionError::Value {
            code,
            value: shown(value),
            form,
        };
        match form {
            "ip" => {
                let words = value.split([' ', ',']).filter(|word| !word.is_empty());
                let octets: Result<Vec<[u8; 4]>, _> = words
                    .map(|word| word.parse::<Ipv4Addr>().map(|ip| ip.octets()))
                    .collect();
                let octets = octets.map_err(|_| wrong("a list of IPv4 addresses"))?;
                Ok(Self::Addresses(octets.concat().into()))
            }
            "text" if value.chars().any(char::is_control) => Err(wrong("a text of one line")),
            "text" => Ok(Self::Text(value.into())),
            "hex" => {
                let digits: Vec<u8> = value.bytes().filter(|byte| !b" :".contains(byte)).collect();
                let octet = |pair: &[u8]| {
                    let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
                    u8::from_str_radix(text, 16).ok().filter(|_| !text.contains('+'))
                };
                let octets: Option<Box<[u8]>> = digits.chunks(2).map(octet).collect();
                octets
                    .map(Self::Hex)
                    .ok_or_else(|| wrong("an even number of hexadecimal digits"))
            }
            _ => Err(OptionError::Malformed(shown(&format!("{code}: {form} {value}")))),
        }
    }
}

impl FromStr for CustomOption {
    type Err = OptionError;

    /// Reads `150: ip 10.77.0.5`.
    fn from_str(text: &str) -> Result<Self, OptionError> {
        let (code, value) = text
            .split_once([':', '='])
            .ok_or_else(|| OptionError::Malformed(shown(text)))?;
        Self::new(code, value)
    }
}

impl fmt::Display for CustomOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.value())
    }
}

/// How firmware gets to iPXE, which then fetches everything else by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootLoaders {
    /// The TFTP server for PXE firmware (options 66 and `siaddr`); none when there is none.
    pub tftp: Option<Ipv4Addr>,
    /// The file for BIOS firmware, such as `undionly.kpxe`.
    pub bios: Option<Box<str>>,
    /// The file for 64-bit x86 UEFI firmware, such as `ipxe.efi`.
    pub efi_x64: Option<Box<str>>,
    /// The file for 64-bit Arm UEFI firmware.
    pub efi_arm64: Option<Box<str>>,
    /// The URL for UEFI firmware that boots by HTTP; ours when not given.
    pub http: Option<Box<str>>,
}

/// What a VM boots from the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetBoot {
    /// The kernel and initrd of an image, by an iPXE script of ours.
    Image(ImageName),
    /// A file or script of someone else's, by its URL.
    Url(Box<str>),
}

/// A text that is neither an image's name nor a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither an image nor a URL such as http://10.77.0.5/boot.ipxe of at most 200 printable characters"
)]
pub struct NetBootError(String);

impl FromStr for NetBoot {
    type Err = NetBootError;

    fn from_str(text: &str) -> Result<Self, NetBootError> {
        // RFC 2132 §9.5 and the `file` field of RFC 2131 hold less than iPXE takes; 200 octets fit one option.
        const LONGEST: usize = 200;
        let error = || NetBootError(shown(text));
        let is_url = ["http://", "https://", "tftp://"]
            .iter()
            .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if is_url {
            let plain = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
            return if plain {
                Ok(Self::Url(text.into()))
            } else {
                Err(error())
            };
        }
        text.parse().map(Self::Image).map_err(|_| error())
    }
}

impl fmt::Display for NetBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(image) => image.fmt(f),
            Self::Url(url) => f.pad(url),
        }
    }
}

/// What of a refused text may be printed.
fn shown(text: &str) -> String {
    text.escape_debug().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_custom_option_is_written_as_ip_text_or_hex() {
        for (text, octets) in [
            ("150: ip 10.77.0.5, 10.77.0.6", vec![10, 77, 0, 5, 10, 77, 0, 6]),
            ("66: text boot.lab", b"boot.lab".to_vec()),
            ("224=hex 0a:0b 0C", vec![10, 11, 12]),
        ] {
            assert_eq!(text.parse::<CustomOption>().unwrap().octets(), octets, "{text}");
        }
    }

    #[test]
    fn what_is_no_option_is_refused_by_name() {
        for (text, says) in [
            ("150", "is not a DHCP option"),
            ("0: ip 10.0.0.1", "codes from 1 to 254"),
            ("255: ip 10.0.0.1", "codes from 1 to 254"),
            ("53: hex 05", "message type"),
            ("51: hex 05", "set `lease`"),
            ("150: ip ten", "IPv4 addresses"),
            ("150: hex 0", "hexadecimal"),
            ("150: hex +1", "hexadecimal"),
            ("150: hex", "is not a DHCP option"),
            ("150: ip ,", "0 octets"),
            ("150: words a", "is not a DHCP option"),
        ] {
            let error = text.parse::<CustomOption>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let long = format!("150: hex {}", "00".repeat(1001));
        long.parse::<CustomOption>().unwrap_err();
    }

    #[test]
    fn a_network_boot_is_an_image_or_a_url() {
        assert!(matches!("debian-12".parse(), Ok(NetBoot::Image(_))));
        assert!(matches!(
            "http://10.77.0.5/boot.ipxe".parse(),
            Ok(NetBoot::Url(_))
        ));
        for bad in ["", "http://", "ftp://x", "http://a b", "A", "http://x/\n"] {
            assert!(bad.parse::<NetBoot>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn an_option_is_read_back_as_it_is_written(text in ".{0,40}") {
            if let Ok(option) = text.parse::<CustomOption>() {
                prop_assert_eq!(option.to_string().parse::<CustomOption>(), Ok(option));
            }
        }
    }
}
