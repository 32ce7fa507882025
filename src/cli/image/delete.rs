//! `seedbed image delete`: forgets a base image.

use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, Request};

/// Delete a base image, or one generation of it
///
/// An image that VMs are clones of is refused: their disks would be lost. So is the current generation, while others stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image delete debian-12\n  seedbed image delete debian-12@2")]
pub(in crate::cli) struct Args {
    /// Its name, or NAME@NUMBER for one generation
    name: String,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    context.done(
        &Request::Image(ImageRequest::Delete { name: args.name }),
        &[],
        terminal,
    )
}
