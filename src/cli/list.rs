//! `seedbed list`: VMs, one a line.

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Answer, Request};

/// List VMs
///
/// STATE is what the VM was seen to do: `running (dhcp)` has its address but did not fetch its seed yet, `ready` is
/// through its first boot.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed list\n  seedbed list web[1-20] --format json\n  seedbed list --deleted"
)]
pub(super) struct Args {
    /// Names and ranges; all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Deleted VMs that `seedbed undelete` can bring back, instead
    #[arg(long)]
    deleted: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    if args.deleted {
        return match context.ask(&Request::Deleted { names: args.names })? {
            Answer::Deleted(deleted) => terminal.deleted(&deleted),
            other => Err(unexpected(&other)),
        };
    }
    let vms = context.vms(&Request::List { names: args.names })?;
    terminal.vms(&vms)
}
