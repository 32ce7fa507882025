//! `seedbed image commit`: a VM's disk becomes a base image.

use super::{Context, Failure, Terminal};
use crate::control::{CommitVm, ImageRequest, Request};

/// Make the next generation of an image out of a VM's disk
///
/// The VM has to be stopped; it stays as it is, a clone of what it was made of. An image that does not exist yet begins with
/// this generation.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed stop web1 && seedbed image commit web1 web-base")]
pub(in crate::cli) struct Args {
    /// Whose disk
    vm: String,
    /// The image's name
    #[arg(value_name = "NAME")]
    image: String,
    /// Go on making new clones of the generation that is current now
    #[arg(long)]
    no_promote: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = ImageRequest::Commit(CommitVm {
        vm: args.vm,
        image: args.image,
        no_promote: args.no_promote,
    });
    let images = context.images(&Request::Image(request), terminal)?;
    terminal.images(&images)
}
