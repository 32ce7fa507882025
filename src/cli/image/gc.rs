//! `seedbed image gc`: deletes generations that nobody needs.

use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, Request};

/// Delete generations that are neither current nor the base of a VM's disk
///
/// Prints those that it deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image gc --dry-run\n  seedbed image gc debian-12 --keep 2")]
pub(in crate::cli) struct Args {
    /// Of which images; of all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// How many of those of each image, the newest ones, to keep all the same
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    keep: usize,
    /// Only print what would be deleted
    #[arg(long, short = 'n')]
    dry_run: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = ImageRequest::Collect {
        names: args.names,
        keep: args.keep,
        dry_run: args.dry_run,
    };
    let images = context.images(&Request::Image(request), terminal)?;
    terminal.images(&images)
}
