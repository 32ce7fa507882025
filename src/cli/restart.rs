//! `seedbed restart`: powers VMs off and on.

use super::context::Context;
use super::failure::Failure;
use super::stop::How;
use super::terminal::Terminal;
use crate::control::{Request, StopVms};

/// Restart VMs
///
/// Stops them as `seedbed stop` does, and starts them again. Disk, address and host keys stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed restart web1")]
pub(super) struct Args {
    #[command(flatten)]
    how: How,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let stop = StopVms::from(args.how);
    let names = stop.select.names.clone();
    let vms = context.watch_vms(&Request::Restart(stop), &names, terminal)?;
    terminal.vm_sentences(&vms)
}
