//! `seedbed image list`: base images, one a line.

use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, Request};

/// List base images, a line for each generation
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image list --format json")]
pub(in crate::cli) struct Args {
    /// Names, as NAME or NAME@NUMBER; all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let images = context.images(
        &Request::Image(ImageRequest::List { names: args.names }),
        terminal,
    )?;
    terminal.images(&images)
}
