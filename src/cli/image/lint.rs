//! `seedbed image lint`: what in an image would hurt its clones.

use super::{Context, Failure, Terminal};
use crate::control::{Answer, ImageRequest, Request};

/// Look into an image for what would hurt its clones
///
/// The disk is looked at without being booted or changed. Ends with 5 when there are findings. What it says of cloud-init and
/// views is what `image add --cloud-init` and `--view` take.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image lint debian-12")]
pub(in crate::cli) struct Args {
    /// Names, as NAME for the current generation or NAME@NUMBER
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = Request::Image(ImageRequest::Lint { names: args.names });
    let lints = match context.ask(&request)? {
        Answer::Lints(lints) => lints,
        other => return Err(super::super::context::unexpected(&other)),
    };
    terminal.lints(&lints)?;
    if lints.iter().all(|lint| lint.findings.is_empty()) {
        return Ok(());
    }
    Err(Failure::findings())
}
