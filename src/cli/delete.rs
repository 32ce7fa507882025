//! `seedbed delete`: VMs go, and can come back for some time.

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{DeleteVms, Request};

/// Delete VMs
///
/// Names and addresses are free at once. Records and disks are kept for `undo_window` (24h, if the configuration says nothing
/// else), within which `seedbed undelete` brings the VM back; with --now, nothing is kept. A VM that runs is refused, unless
/// --force powers it off first.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed delete web1\n  seedbed delete --force web[1-20]\n  seedbed delete --now web1\n  \
    seedbed delete --deleted web1"
)]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
    /// Also VMs that run: power them off first
    #[arg(long, short)]
    force: bool,
    /// Keep nothing of them; also of VMs of these names that were deleted before
    #[arg(long)]
    now: bool,
    /// Give up only what is kept of VMs that were deleted before
    #[arg(long, conflicts_with = "now")]
    deleted: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let delete = DeleteVms {
        select: args.select.into(),
        force: args.force,
        now: args.now,
        deleted: args.deleted,
    };
    let names = delete.select.names.clone();
    context.done(&Request::Delete(delete), &names, terminal)
}
