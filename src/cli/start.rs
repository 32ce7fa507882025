//! `seedbed start`: powers VMs on.

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{self, Request};

/// Start VMs
///
/// A VM that runs already is left alone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed start web1 db[1-3]\n  seedbed start --all")]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let select = control::Select::from(args.select);
    let names = select.names.clone();
    let vms = context.watch_vms(&Request::Start(select), &names, terminal)?;
    terminal.vm_sentences(&vms)
}
