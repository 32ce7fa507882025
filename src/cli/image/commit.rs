//! `seedbed image commit`: a VM's disk becomes a base image.

use super::{Context, Failure, Terminal};
use crate::control::{CommitVm, ImageRequest, Request};

/// Make the next generation of an image out of a VM's disk
///
/// The VM has to be stopped; it stays as it is, a clone of what it was made of. The copy is sealed: what makes it this VM
/// (machine-id, host keys, what cloud-init remembers) is taken out, as by `image seal`. An image that does not exist yet begins
/// with this generation.
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
    /// Leave the disk as the VM left it
    #[arg(long)]
    no_seal: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = ImageRequest::Commit(CommitVm {
        vm: args.vm,
        image: args.image,
        no_promote: args.no_promote,
        no_seal: args.no_seal,
    });
    let images = context.images(&Request::Image(request), terminal)?;
    terminal.images(&images)
}
