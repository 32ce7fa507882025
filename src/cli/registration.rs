//! What `add` and `launch` both ask for: how a VM is registered, beside its name.

use super::accounts::Accounts;
use super::confidence::Confidence;
use super::context::Context;
use super::failure::Failure;
use super::keys;
use super::nics::Nics;
use super::terminal::Terminal;
use super::user_data::UserData;
use crate::control::{AddVms, CustomSettings};

/// The options of a registration.
#[derive(Debug, clap::Args)]
pub(super) struct Registration {
    /// The address, for one VM; chosen from the pool when not given
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// The hardware address, for one VM; derived from its name when not given
    #[arg(long)]
    mac: Option<String>,
    /// SSH key that may log in, a file of such, or a name in the key ring; can be given several times
    #[arg(long, value_name = "FILE|KEY|NAME")]
    pub(super) key: Vec<String>,
    #[command(flatten)]
    user_data: UserData,
    /// The seed template
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// The network; the only one when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Give up the identity that VMs of this name had: a new UUID, and a new host key where seedbed makes it
    #[arg(long)]
    new_identity: bool,
    #[command(flatten)]
    pub(super) accounts: Accounts,
    #[command(flatten)]
    confidence: Confidence,
    #[command(flatten)]
    custom: Custom,
    #[command(flatten)]
    nics: Nics,
}

/// What may be set for a VM alone.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network options, where they are to differ from the network's")]
pub(super) struct Custom {
    /// Another DNS name, for one VM; can be given several times
    #[arg(long, value_name = "NAME", display_order = 100)]
    alias: Vec<String>,
    /// Name server; can be given several times
    #[arg(long, value_name = "ADDRESS", display_order = 101)]
    dns: Vec<String>,
    /// Time server; can be given several times
    #[arg(long, value_name = "ADDRESS", display_order = 102)]
    ntp: Vec<String>,
    /// Domain to look for short names in; can be given several times
    #[arg(long, value_name = "DOMAIN", display_order = 103)]
    search: Vec<String>,
    /// MTU of its network interface
    #[arg(long, value_name = "OCTETS", display_order = 104)]
    mtu: Option<String>,
    /// Route beside the default route; can be given several times
    #[arg(long, value_name = "NETWORK=ROUTER", display_order = 105)]
    route: Vec<String>,
    /// Any other DHCP option, as ip, text or hex: '150: ip 10.77.0.5'; can be given several times
    #[arg(long, value_name = "N: FORM VALUE", display_order = 106)]
    dhcp_option: Vec<String>,
    /// Boot from the network: an image with a kernel, or the URL of an iPXE script
    #[arg(long, value_name = "IMAGE|URL", display_order = 107)]
    netboot: Option<String>,
}

impl Custom {
    /// The names of these options, for a group of them.
    pub(super) const IDS: [&str; 8] = [
        "alias",
        "dns",
        "ntp",
        "search",
        "mtu",
        "route",
        "dhcp_option",
        "netboot",
    ];

    /// What they say; an option that was not given says nothing.
    pub(super) fn settings(self) -> CustomSettings {
        let given = |values: Vec<String>| (!values.is_empty()).then_some(values);
        CustomSettings {
            aliases: given(self.alias),
            dns: given(self.dns),
            ntp: given(self.ntp),
            search: given(self.search),
            mtu: self.mtu,
            routes: given(self.route),
            options: given(self.dhcp_option),
            boot: self.netboot,
            ..CustomSettings::default()
        }
    }
}

impl Registration {
    /// The registration of these names, as clones of an image where there is one, with the keys that were given.
    pub(super) fn of(
        self,
        names: Vec<String>,
        (context, terminal): (&Context, &mut Terminal),
        image: Option<&str>,
    ) -> Result<AddVms, Failure> {
        let keys = keys::given(&self.key)?;
        let mut custom = self.custom.settings();
        self.accounts.add_to(&mut custom)?;
        self.confidence.add_to(&mut custom)?;
        custom.ring = (!keys.names.is_empty()).then_some(keys.names);
        Ok(AddVms {
            names,
            ip: self.ip,
            mac: self.mac,
            keys: keys.lines,
            force: self.user_data.force,
            user_data: self.user_data.checked((context, terminal), image)?,
            template: self.template,
            network: self.network,
            new_identity: self.new_identity,
            custom,
            nics: self.nics.settings(),
        })
    }
}
