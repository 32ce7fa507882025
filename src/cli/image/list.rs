//! `seedbed image list`: base images, one a line.

use super::{Context, Failure, Terminal};
use crate::control::Request;

/// List base images
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image list --format json")]
pub(in crate::cli) struct Args {
    /// Names; all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let images = context.images(&Request::ImageList { names: args.names }, terminal)?;
    terminal.images(&images)
}
