//! `seedbed reset`: VMs back to their images.

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{ReplaceDisks, Request};

/// Take VMs back to their image
///
/// Asks nothing: what is on their disks, swap too, is gone, and they are what their image is. Name, address and settings stay, and
/// the next start is a first boot: cloud-init sets the guest up anew. A VM that runs is refused, unless --force powers it off
/// first. (A reset button is `seedbed restart --force`.)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed reset web1\n  seedbed reset --force --start student[01-20]")]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
    #[command(flatten)]
    how: How,
}

/// What becomes of VMs whose disks are replaced, before and after.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Also VMs that run: power them off first
    #[arg(long, short)]
    pub(super) force: bool,
    /// Start them then
    #[arg(long)]
    pub(super) start: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let replace = ReplaceDisks {
        select: args.select.into(),
        rebase: None,
        force: args.how.force,
        start: args.how.start,
    };
    let names = replace.select.names.clone();
    context.done(&Request::ReplaceDisks(replace), &names, terminal)
}
