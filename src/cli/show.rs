//! `seedbed show`: all that is known of VMs.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::Request;

/// Show all that is known of VMs
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed show web1\n  seedbed show web1 --format yaml")]
pub(super) struct Args {
    /// Names and ranges
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let vms = context.vms(&Request::List { names: args.names })?;
    terminal.vm_sheets(&vms)
}
