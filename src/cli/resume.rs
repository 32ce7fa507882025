//! `seedbed resume`: has paused VMs go on.

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{Power, PowerVms, Request, Select as Selected};

/// Resume paused VMs
///
/// Those that were paused by hand, and those that were paused because the host had no room for what they wrote: what
/// they were writing is tried again, and nothing of it is lost.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed resume web1\n  seedbed resume --all")]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let select = Selected::from(args.select);
    let names = select.names.clone();
    let what = Power::Resume;
    let vms = context.watch_vms(&Request::Power(PowerVms { select, what }), &names, terminal)?;
    terminal.vm_sentences(&vms)
}
