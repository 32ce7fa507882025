//! `seedbed image customize`: what a VM without cloud-init is to be, written into its disk now.

use super::{Context, Failure, Terminal};
use crate::control::{ImageRequest, Request};

/// Write into the disks of VMs without cloud-init what they are to be
///
/// Host name, network, accounts, keys, host key and swap, as the record has them. Each start of such a VM (launched with
/// --offline, or of an image with --view offline) does that by itself where the record was changed; the VM has to be stopped. The
/// image is never touched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed image customize old[1-3] --dry-run")]
pub(in crate::cli) struct Args {
    /// Names and ranges of VMs
    #[arg(value_name = "VM", required = true)]
    names: Vec<String>,
    /// Only show which files would be written
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let request = Request::Image(ImageRequest::Customize {
        names: args.names,
        dry_run: args.dry_run,
    });
    let text = context.text(&request)?;
    terminal.answer(&text)
}
