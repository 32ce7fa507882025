//! `seedbed image delete`: forgets a base image.

use super::{Context, Failure, Terminal};
use crate::control::Request;

/// Delete a base image
///
/// An image that VMs are clones of is refused: their disks would be lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image delete debian-12")]
pub(in crate::cli) struct Args {
    /// Its name
    name: String,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    context.done(&Request::ImageDelete { name: args.name }, &[], terminal)
}
