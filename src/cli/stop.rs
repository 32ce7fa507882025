//! `seedbed stop`: powers VMs off.

use std::time::Duration;

use super::context::Context;
use super::failure::Failure;
use super::select::Select;
use super::terminal::Terminal;
use crate::control::{Request, StopVms};
use crate::model::time::parse_span;

/// Stop VMs
///
/// Asks the guest to shut down (ACPI), and powers it off when it has not done so by the deadline.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed stop web1 --deadline 2m\n  seedbed stop --all --force")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) how: How,
}

/// How VMs are powered off; `restart` does it the same way.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    #[command(flatten)]
    select: Select,
    /// Power off at once instead of asking the guest
    #[arg(long, short)]
    force: bool,
    /// How long the guest may take before it is powered off
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    deadline: Duration,
}

impl From<How> for StopVms {
    fn from(how: How) -> Self {
        Self {
            select: how.select.into(),
            force: how.force,
            deadline_seconds: how.deadline.as_secs(),
        }
    }
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let stop = StopVms::from(args.how);
    let names = stop.select.names.clone();
    let vms = context.watch_vms(&Request::Stop(stop), &names, terminal)?;
    terminal.vm_sentences(&vms)
}
