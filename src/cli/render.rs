//! `seedbed render`: what a VM would be told, before anything boots.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{self, Request};

/// Show exactly what VMs are told
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed render web1 --as nocloud\n  seedbed render web1 --as qemu")]
pub(super) struct Args {
    /// Names and ranges: web1, web[1-20], db[1-3,7]
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Which view of it
    #[arg(long = "as", value_enum, value_name = "VIEW")]
    view: View,
    /// Show private host keys and password hashes as they are served
    #[arg(long)]
    show_secrets: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum View {
    /// The four cloud-init documents it fetches over HTTP
    Nocloud,
    /// The DHCP answer
    Dhcp,
    /// Its lines of the hosts file
    Hosts,
    /// The iPXE script it boots from the network by
    Ipxe,
    /// The QEMU command line
    Qemu,
}

impl From<View> for control::View {
    fn from(view: View) -> Self {
        match view {
            View::Nocloud => Self::Nocloud,
            View::Dhcp => Self::Dhcp,
            View::Hosts => Self::Hosts,
            View::Ipxe => Self::Ipxe,
            View::Qemu => Self::Qemu,
        }
    }
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let text = context.text(&Request::Render {
        names: args.names,
        view: args.view.into(),
        secrets: args.show_secrets,
    })?;
    terminal.answer(&text)
}
