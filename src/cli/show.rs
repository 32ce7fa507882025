//! `seedbed show`: all that is known of VMs, or of networks.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::Request;

/// Show all that is known of VMs, or of networks
///
/// `seedbed show network` shows the networks: how full each is, and how this host finds the names of its VMs. (A VM that
/// is called network is shown by `seedbed list network`.)
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed show web1\n  seedbed show web1 --format yaml\n  seedbed show network lab"
)]
pub(super) struct Args {
    /// Names and ranges; or the word network, and the names of networks (all when none is given)
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut names = args.names;
    if names.first().is_some_and(|first| first == "network") {
        names.remove(0);
        let networks = context.networks(names)?;
        return terminal.network_sheets(&networks);
    }
    let vms = context.vms(&Request::List { names })?;
    terminal.vm_sheets(&vms)
}
