//! `seedbed delete`: forgets VMs and their disks.

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{DeleteVms, Request};

/// Delete VMs and their disks
///
/// Asks nothing: the disks are gone, and the addresses are free at once. A VM that runs is refused, unless --force
/// powers it off first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed delete web1\n  seedbed delete --force web[1-20]")]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
    /// Also VMs that run: power them off first
    #[arg(long, short)]
    force: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let delete = DeleteVms {
        select: args.select.into(),
        force: args.force,
    };
    let names = delete.select.names.clone();
    context.done(&Request::Delete(delete), &names, terminal)
}
