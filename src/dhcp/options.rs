//! What goes into a reply: the options of a client on its network, in the order the client asked for them.

use std::net::Ipv4Addr;
use std::slice;
use std::time::Duration;

use super::message::{ReplyKind, Request};
use super::netboot::{self, Boot, Firmware};
use super::value::{DhcpOption, Value};
use crate::model::{DhcpSettings, Network, Vm};

/// What is sent back to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Which message it is; option 53 is written from this.
    pub kind: ReplyKind,
    /// What it is about; the options follow from this.
    pub content: Content,
    /// The address the client said it uses, or zero.
    pub ciaddr: Ipv4Addr,
    /// The address it is given, or zero.
    pub yiaddr: Ipv4Addr,
    /// The network it is on.
    pub network: &'a Network,
    /// The VM it is; `None` for a client of the pool.
    pub vm: Option<&'a Vm>,
    /// What it sent.
    pub request: &'a Request<'a>,
    /// What its firmware is told to load.
    pub boot: Option<Boot<'a>>,
}

/// What a reply tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// An address, and everything else.
    Lease {
        /// For how long; [`u32::MAX`] for ever.
        seconds: u32,
    },
    /// Everything but an address.
    Parameters,
    /// Why not.
    Refusal(&'static str),
    /// What to boot.
    Boot,
}

/// The codes that a client gets without a parameter request list.
const UNASKED: [u8; 5] = [3, 6, 12, 15, 28];
/// Every code that [`Reply::standard`] has a value for.
pub(super) const ON_REQUEST: [u8; 12] = [3, 6, 12, 15, 26, 28, 42, 58, 59, 119, 121, 249];
/// The codes that have their place in every reply, or none: they are not looked for in what a client asks.
const PLACED: [u8; 12] = [0, 1, 50, 51, 52, 53, 54, 55, 57, 61, 82, 255];
/// The operator's options about network boot: sent to firmware unasked, which leaves them out of its list and needs them.
const OF_BOOT: [u8; 6] = [43, 60, 66, 67, 150, 175];

/// A set of option codes.
#[derive(Debug, Clone, Copy, Default)]
struct Codes([u64; 4]);

impl Codes {
    /// Adds a code; whether it is new.
    fn insert(&mut self, code: u8) -> bool {
        let bit = 1 << (code % 64);
        let Some(word) = self.0.get_mut(usize::from(code / 64)) else {
            return false;
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

impl<'a> Reply<'a> {
    /// Calls `visit` with each option but the message type (53) and the relay's own (82), each code once, those that
    /// matter most first: a small client loses the last ones.
    pub fn options(&self, visit: &mut dyn FnMut(DhcpOption<'_>)) {
        let mut put = |code, value| visit(DhcpOption { code, value });
        // Clients ignore a reply without the server's identifier, a NAK too.
        put(54, Value::Address(self.network.dhcp_server()));
        if let Content::Lease { seconds } = self.content {
            put(51, Value::Seconds(seconds));
        }
        if matches!(self.content, Content::Lease { .. } | Content::Parameters) {
            put(1, Value::Address(self.network.subnet.netmask()));
        }
        // RFC 6842 §3: "If the 'client identifier' option is present in a message received from a DHCP client, the
        // server MUST return the 'client identifier' option, unaltered, in its response message."
        if let Some(identifier) = self.request.options.client_id.as_deref() {
            put(61, Value::Octets(identifier));
        }
        match self.content {
            // RFC 2131 table 3: a message SHOULD be in a NAK, and nearly all else MUST NOT.
            Content::Refusal(why) => put(56, Value::Text(why)),
            Content::Boot => {
                if let Some(boot) = &self.boot {
                    netboot::proxied(boot, self.request, visit);
                }
            }
            Content::Lease { .. } | Content::Parameters => self.parameters(visit),
        }
    }

    /// What the client needs unasked, then what it asked for.
    ///
    /// RFC 2132 §9.8: the server "MUST try to insert the requested options in the order requested by the client".
    fn parameters(&self, visit: &mut dyn FnMut(DhcpOption<'_>)) {
        let mut seen = Codes::default();
        for code in PLACED {
            seen.insert(code);
        }
        let mut put = |code: u8, value: Option<Value<'_>>| {
            if let Some(value) = value
                && seen.insert(code)
            {
                visit(DhcpOption { code, value });
            }
        };
        if let Some(boot) = &self.boot {
            for code in netboot::CODES {
                put(
                    code,
                    self.custom(code).or_else(|| boot.option(code, self.request)),
                );
            }
        }
        if Firmware::of(&self.request.options).is_some() {
            for code in OF_BOOT {
                put(code, self.custom(code));
            }
        }
        // RFC 4702 §4: a server that was sent the option SHOULD answer it, and one that was not MUST NOT.
        put(81, self.custom(81).or_else(|| self.full_name()));
        for code in self.request.options.asked.as_deref().unwrap_or(&UNASKED) {
            put(*code, self.custom(*code).or_else(|| self.standard(*code)));
        }
        if self.request.options.asked.is_none() {
            for option in self
                .own()
                .chain([&self.network.dhcp.settings])
                .flat_map(|set| &set.options)
            {
                put(option.code(), Some(Value::Octets(option.octets())));
            }
        }
    }

    /// The VM's own settings, if it has any: they are for its first NIC.
    fn own(&self) -> impl Iterator<Item = &'a DhcpSettings> {
        self.vm
            .and_then(Vm::dhcp)
            .filter(|_| self.leads_out())
            .into_iter()
    }

    /// Whether the client is to have its way out and its names by this network: a VM of several NICs by its first one's. Two
    /// default routes would send answers out by the wrong NIC, and two resolvers know different zones.
    fn leads_out(&self) -> bool {
        self.vm.is_none_or(|vm| vm.network == self.network.name)
    }

    /// What the operator wrote for this code: the VM's own word is before its network's, and both before ours.
    fn custom(&self, code: u8) -> Option<Value<'a>> {
        let lists = self.own().chain([&self.network.dhcp.settings]);
        lists
            .flat_map(|settings| &settings.options)
            .find(|option| option.code() == code)
            .map(|option| Value::Octets(option.octets()))
    }

    /// One part of the settings: the VM's own, or its network's where the VM's has nothing.
    fn setting<T: ?Sized>(&self, of: impl Fn(&'a DhcpSettings) -> Option<&'a T>) -> Option<&'a T> {
        self.own().chain([&self.network.dhcp.settings]).find_map(of)
    }

    /// What a client can be told.
    ///
    /// RFC 3442: a client that knows option 121 "MUST ignore the Router option", so the default route is in both.
    /// RFC 2131 §4.3.5: "The server MUST NOT send a lease expiration time to the client" that has its address by other
    /// means; so no renewal times either.
    /// RFC 2131 §4.4.5: "T1 defaults to (0.5 * `duration_of_lease`). T2 defaults to (0.875 *
    /// `duration_of_lease`)."
    fn standard(&self, code: u8) -> Option<Value<'a>> {
        if matches!(code, 3 | 6 | 15 | 119) && !self.leads_out() {
            return None;
        }
        let (network, subnet) = (self.network, self.network.subnet);
        let renewal = |eighths| match self.content {
            Content::Lease { seconds } => Some(Value::Seconds(part(seconds, eighths))),
            Content::Parameters | Content::Refusal(_) | Content::Boot => None,
        };
        match code {
            3 => Some(Value::Address(subnet.gateway())),
            // The gateway answers DNS where it is ours; a relayed network's is somebody's router.
            6 => self
                .setting(|settings| list(&settings.dns))
                .map(Value::Addresses)
                .or_else(|| network.is_local().then(|| Value::Address(subnet.gateway()))),
            12 => self.vm.map(|vm| Value::Text(vm.name.as_str())),
            15 => Some(Value::Text(network.domain.as_str())),
            26 => self
                .setting(|settings| settings.mtu.as_ref())
                .map(|mtu| Value::Number(*mtu)),
            28 => Some(Value::Address(subnet.broadcast())),
            42 => self.setting(|settings| list(&settings.ntp)).map(Value::Addresses),
            58 => renewal(4),
            59 => renewal(7),
            119 => Some(Value::Domains(
                self.setting(|settings| list(&settings.search))
                    .unwrap_or(slice::from_ref(&network.domain)),
            )),
            // Windows asks for the number that Microsoft used before RFC 3442.
            121 | 249 => {
                let router = self.leads_out().then(|| subnet.gateway());
                self.setting(|settings| list(&settings.routes))
                    .filter(|routes| router.is_some() || routes.iter().any(|route| route.prefix > 0))
                    .map(|routes| Value::Routes(routes, router))
            }
            _ => None,
        }
    }

    /// The VM's full name, to a client that announced one: ours, whatever it called itself.
    fn full_name(&self) -> Option<Value<'a>> {
        let flags = *self.request.options.fqdn.as_deref()?.first()?;
        let vm = self.vm?;
        Some(Value::FullName(flags, &vm.name, &self.network.domain))
    }
}

/// A list that says something.
fn list<T>(items: &[T]) -> Option<&[T]> {
    Some(items).filter(|items| !items.is_empty())
}

/// RFC 2131 §3.3 takes 0xffffffff for "infinity"; a longer lease than fits is that too.
pub(super) fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// So many eighths of a lease; an infinite one is never renewed.
fn part(lease: u32, eighths: u64) -> u32 {
    if lease == u32::MAX {
        return lease;
    }
    u32::try_from(u64::from(lease) * eighths / 8).unwrap_or(lease)
}

#[cfg(test)]
mod tests;
