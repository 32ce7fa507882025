//! `seedbed export`: the registry in another program's format.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{ExportForm, Request};

/// Show the registry in another program's format
///
/// The same texts lie in the state directory, in exports/NETWORK/, and are written there after every change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed export zone --network lab > db.lab\n  \
    seedbed export hosts | ssh web1 'cat >> /etc/hosts'")]
pub(super) struct Args {
    /// Which format
    #[arg(value_enum)]
    form: Form,
    /// The network; the only one when not given (hosts: all; known-hosts and ssh-config: always all)
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// A hosts file
    Hosts,
    /// The zone file of the network's domain (RFC 1035)
    Zone,
    /// The zone files of its reverse zones, one after the other
    ReverseZone,
    /// dnsmasq's reservations, for dhcp-hostsfile
    DnsmasqDhcp,
    /// dnsmasq's names, for addn-hosts
    DnsmasqHosts,
    /// The host keys of all VMs, for OpenSSH's `UserKnownHostsFile`
    #[value(alias = "known_hosts")]
    KnownHosts,
    /// A Host block for each VM, for OpenSSH's configuration: it checks strictly against the generated host keys
    #[value(alias = "ssh_config")]
    SshConfig,
    /// Kea's reservations of a subnet4, as a JSON array
    Kea,
}

impl From<Form> for ExportForm {
    fn from(form: Form) -> Self {
        match form {
            Form::Hosts => Self::Hosts,
            Form::Zone => Self::Zone,
            Form::ReverseZone => Self::ReverseZone,
            Form::DnsmasqDhcp => Self::DnsmasqDhcp,
            Form::DnsmasqHosts => Self::DnsmasqHosts,
            Form::KnownHosts => Self::KnownHosts,
            Form::SshConfig => Self::SshConfig,
            Form::Kea => Self::Kea,
        }
    }
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let text = context.text(&Request::Export {
        form: args.form.into(),
        network: args.network,
    })?;
    terminal.answer(&text)
}
