//! `seedbed kill`: ends VMs at once.

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{Power, PowerVms, Request, Select as Selected};

/// Power VMs off at once
///
/// As when their plug is pulled: nobody is asked, what was not written is lost, and their restart policy is not
/// applied. To let the guest shut down, use `seedbed stop`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed kill web1")]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let select = Selected::from(args.select);
    let names = select.names.clone();
    let what = Power::Kill;
    let vms = context.watch_vms(&Request::Power(PowerVms { select, what }), &names, terminal)?;
    terminal.vm_sentences(&vms)
}
