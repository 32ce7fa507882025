//! `seedbed image promote`: which generation new clones are made of.

use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, Request};

/// Choose the generation that new clones of an image are made of
///
/// Clones that there are stay on the generation they were made of; `seedbed rebase` moves them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image promote debian-12@2")]
pub(in crate::cli) struct Args {
    /// Which, as NAME@NUMBER
    image: String,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = ImageRequest::Promote { image: args.image };
    context.done(&Request::Image(request), &[], terminal)
}
