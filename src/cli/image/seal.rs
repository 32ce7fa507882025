//! `seedbed image seal`: the next generation of an image, without what would hurt its clones.

use super::{Context, Failure, Terminal};
use crate::control::{Answer, ImageRequest, Request};

/// Make the next generation of an image, without what would hurt its clones
///
/// Does what `image lint` says on a copy; the generation that there is stays as it is. Nothing is made when there is nothing to
/// do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image seal debian-12")]
pub(in crate::cli) struct Args {
    /// Which, as NAME for the current generation or NAME@NUMBER
    #[arg(value_name = "NAME")]
    image: String,
    /// Go on making new clones of the generation that is current now
    #[arg(long)]
    no_promote: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = Request::Image(ImageRequest::Seal {
        image: args.image,
        no_promote: args.no_promote,
    });
    match context.watch(&request, &[], terminal)? {
        Answer::Lints(lints) => terminal.seals(&lints),
        other => Err(super::super::context::unexpected(&other)),
    }
}
