//! Network boot (PXE 2.1, RFC 4578, UEFI HTTP boot): which firmware asks, and what brings it to the VM's own script.
//!
//! ```text
//!   PXE firmware  -- TFTP --> iPXE --.
//!   UEFI HTTP     -- HTTP --> iPXE --+--> the script or URL of this VM
//! ```

use std::fmt;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::message::{Options, Request};
use super::value::{DhcpOption, Value};
use crate::model::dhcp::BootLoaders;
use crate::model::{NetBoot, Network, Vm};

/// What iPXE fetches to start an image: the metadata service knows by the address who asks.
const SCRIPT: &str = "/boot/script.ipxe";
/// iPXE itself, for firmware that loads it by HTTP.
const LOADER: &str = "/boot/ipxe.efi";
/// What firmware calls itself in option 60, and expects to hear back.
const PXE: &str = "PXEClient";
const HTTP: &str = "HTTPClient";
/// PXE 2.1 §2.2.3: `PXE_DISCOVERY_CONTROL` with bit 3, "do not prompt and do not discover: take the boot file".
const TAKE_THE_FILE: [u8; 4] = [6, 1, 8, 255];
/// iPXE's `no-pxedhcp`: it does not wait two seconds for a proxy's offer.
const NO_PROXY: [u8; 3] = [176, 1, 1];

/// A client that loads what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Firmware {
    /// iPXE: takes a script by its URL.
    Ipxe,
    /// UEFI that boots by HTTP.
    Http,
    /// A boot ROM that loads by TFTP.
    Pxe,
}

impl Firmware {
    /// Which firmware sent this; `None` for an operating system.
    ///
    /// iPXE says `PXEClient` as the ROM that it is, so that its own marks are looked for first; else it would load itself
    /// for ever. The Debian installer is told by its class: a boot file with `://` would be its preseed file.
    pub(super) fn of(options: &Options<'_>) -> Option<Self> {
        let vendor = options.vendor.as_deref().unwrap_or_default();
        // RFC 3004 §4 has each class after its length; iPXE sends its own bare.
        let class = options.user_class.as_deref().unwrap_or_default();
        if vendor == b"d-i" {
            None
        } else if options.ipxe.is_some() || matches!(class, b"iPXE" | b"\x04iPXE") {
            Some(Self::Ipxe)
        } else if vendor.starts_with(HTTP.as_bytes()) {
            Some(Self::Http)
        } else if vendor.starts_with(PXE.as_bytes()) {
            Some(Self::Pxe)
        } else {
            None
        }
    }
}

/// What firmware is told to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot<'a> {
    firmware: Firmware,
    /// The server to load from (`siaddr`), or zero.
    pub(super) server: Ipv4Addr,
    file: Location<'a>,
    /// Whether another server gives the address.
    proxy: bool,
}

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location<'a> {
    /// As the operator wrote it.
    Given(&'a str),
    /// A server, by its address.
    Host(Ipv4Addr),
    /// With us.
    Ours {
        /// Our address.
        host: Ipv4Addr,
        /// The path of the URL.
        path: &'static str,
    },
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(text) => f.write_str(text),
            Self::Host(host) => host.fmt(f),
            Self::Ours { host, path } => write!(f, "http://{host}{path}"),
        }
    }
}

impl Location<'_> {
    /// Writes it as text, without an end mark.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        struct Text<'a>(&'a mut Vec<u8>);
        impl fmt::Write for Text<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
        // Writing to a Vec can not fail.
        let _: fmt::Result = write!(Text(out), "{self}");
    }
}

impl<'a> Boot<'a> {
    /// What a VM's firmware is told; nothing when the VM boots from its disk, or when nothing here suits the firmware.
    pub(super) fn of(network: &'a Network, vm: &'a Vm, request: &Request<'_>, proxy: bool) -> Option<Self> {
        // It boots by its first NIC: the others come after its disk, or in no order at all.
        if vm.network != network.name {
            return None;
        }
        let (target, firmware) = (vm.boot()?, Firmware::of(&request.options)?);
        let loaders = &network.dhcp.loaders;
        let host = network.dhcp_server();
        let (server, file) = match firmware {
            Firmware::Ipxe => (host, script(target, host)),
            Firmware::Http => (Ipv4Addr::UNSPECIFIED, loader(loaders, host)),
            Firmware::Pxe => (loaders.tftp?, Location::Given(file(loaders, &request.options)?)),
        };
        Some(Self {
            firmware,
            server,
            file,
            proxy,
        })
    }

    /// The options that say so. They are sent unasked: boot ROMs leave them out of their list and need them.
    ///
    /// RFC 4578 §2.3: the machine's identifier (97) is in all packets between a PXE client and its server.
    pub(super) fn option(&self, code: u8, request: &'a Request<'_>) -> Option<Value<'_>> {
        let pxe = self.firmware == Firmware::Pxe;
        match code {
            43 if pxe => Some(Value::Octets(&TAKE_THE_FILE)),
            60 if self.firmware == Firmware::Http => Some(Value::Text(HTTP)),
            60 if pxe || self.proxy => Some(Value::Text(PXE)),
            66 if pxe => Some(Value::Location(Location::Host(self.server))),
            67 => Some(Value::Location(self.file)),
            97 if self.firmware != Firmware::Http => request.options.machine.as_deref().map(Value::Octets),
            175 if self.firmware == Firmware::Ipxe => Some(Value::Octets(&NO_PROXY)),
            _ => None,
        }
    }

    /// Writes the boot file's name into a header field, if it fits with its end mark.
    pub(super) fn fill(&self, out: &mut Vec<u8>, field: usize) {
        let start = out.len();
        self.file.encode(out);
        if out.len() >= start + field {
            out.truncate(start);
        }
        out.resize(start + field, 0);
    }
}

/// The codes that [`Boot::option`] has values for, most important first.
pub(super) const CODES: [u8; 6] = [60, 67, 66, 43, 175, 97];

fn script(target: &NetBoot, host: Ipv4Addr) -> Location<'_> {
    match target {
        NetBoot::Image(_) => Location::Ours { host, path: SCRIPT },
        NetBoot::Url(url) => Location::Given(url),
    }
}

fn loader(loaders: &BootLoaders, host: Ipv4Addr) -> Location<'_> {
    loaders
        .http
        .as_deref()
        .map_or(Location::Ours { host, path: LOADER }, Location::Given)
}

/// The first file for one of the firmware's architectures (RFC 4578 §2.1, and IANA's list that goes on from there).
///
/// Old ROMs send none; option 60 ends in the same number (PXE 2.1 §2.2.1), and a ROM without either is a BIOS.
fn file<'a>(loaders: &'a BootLoaders, options: &Options<'_>) -> Option<&'a str> {
    let by_number = |number: u16| match number {
        0 => loaders.bios.as_deref(),
        7 | 9 => loaders.efi_x64.as_deref(),
        11 => loaders.efi_arm64.as_deref(),
        _ => None,
    };
    match options.architectures.as_deref() {
        Some(list) => list
            .chunks_exact(2)
            .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
            .find_map(|pair| by_number(u16::from_be_bytes(pair))),
        None => by_number(options.vendor.as_deref().and_then(architecture).unwrap_or(0)),
    }
}

/// The number in `PXEClient:Arch:00007:UNDI:003016`.
fn architecture(vendor: &[u8]) -> Option<u16> {
    let rest = vendor.strip_prefix(b"PXEClient:Arch:")?;
    std::str::from_utf8(rest.get(..5)?).ok()?.parse().ok()
}

/// The options of a proxy's answer: who speaks, and what to load.
pub(super) fn proxied(boot: &Boot<'_>, request: &Request<'_>, visit: &mut dyn FnMut(DhcpOption<'_>)) {
    for code in CODES {
        if let Some(value) = boot.option(code, request) {
            visit(DhcpOption { code, value });
        }
    }
}

#[cfg(test)]
mod tests;
