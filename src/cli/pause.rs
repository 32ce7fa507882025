//! `seedbed pause`: has VMs stand still.

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{Power, PowerVms, Request, Select as Selected};

/// Pause VMs
///
/// Their guests stand still where they are, and keep their memory, until `seedbed resume`. Time passes for the world
/// around them: connections may break meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed pause web1 db[1-3]")]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let select = Selected::from(args.select);
    let names = select.names.clone();
    let what = Power::Pause;
    let vms = context.watch_vms(&Request::Power(PowerVms { select, what }), &names, terminal)?;
    terminal.vm_sentences(&vms)
}
