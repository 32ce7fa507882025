//! `seedbed image show`: all that is known of base images.

use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, Request};

/// Show all that is known of base images
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image show debian-12")]
pub(in crate::cli) struct Args {
    /// Names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let images = context.images(
        &Request::Image(ImageRequest::List { names: args.names }),
        terminal,
    )?;
    terminal.image_sheets(&images)
}
