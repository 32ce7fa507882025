//! `seedbed rebase`: VMs onto another generation of their image.

use super::context::Context;
use super::failure::Failure;
use super::reset::How;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{Rebase, ReplaceDisks, Request};

/// Move VMs to another generation of their image
///
/// Asks nothing: they become fresh clones of it, as by `seedbed reset`, because what a clone holds is what differs from its own
/// generation, and is noise on any other. With --keep-data the disk reads as before, and only the file it is based on is another:
/// the old generation is not needed any more, and what the new one brings is not in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    seedbed rebase web1\n  \
    seedbed rebase web[1-20] --to debian-12@4 --force --start\n  \
    seedbed rebase db1 --keep-data && seedbed image gc debian-12")]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
    /// The generation; the current one of each VM's image when not given
    #[arg(long, value_name = "IMAGE@N")]
    to: Option<String>,
    /// Keep all that is on their disks; takes as long as a copy
    #[arg(long)]
    keep_data: bool,
    #[command(flatten)]
    how: How,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let replace = ReplaceDisks {
        select: args.select.into(),
        rebase: Some(Rebase {
            to: args.to,
            keep_data: args.keep_data,
        }),
        force: args.how.force,
        start: args.how.start,
    };
    let names = replace.select.names.clone();
    context.done(&Request::ReplaceDisks(replace), &names, terminal)
}
