//! `seedbed check`: which VMs are live, now.

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Answer, CheckInfo, Request};

/// Check which VMs are live, now
///
/// Asks all at once, with no agent in them: who answers ARP for the address, ping, what DNS says of the name, and whether the SSH
/// server has the host key that the VM is known by. METADATA is how long ago it asked the metadata service last. A VM that was
/// stopped is not wrong, one that failed is.
///
/// Ends with 1 when something is wrong with a VM. With --quiet only those are printed, so that cron sends mail when there is
/// something to read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed check\n  seedbed check web[1-20] --format json\n  \
    */5 * * * * root seedbed check --quiet      # a line of /etc/crontab"
)]
pub(super) struct Args {
    /// Names and ranges; all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut checks = match context.ask(&Request::Check { names: args.names })? {
        Answer::Checks(checks) => checks,
        other => return Err(unexpected(&other)),
    };
    let is_wrong = checks.iter().any(CheckInfo::is_wrong);
    if terminal.is_quiet() {
        checks.retain(CheckInfo::is_wrong);
    }
    if is_wrong || !terminal.is_quiet() {
        terminal.checks(&checks)?;
    }
    if is_wrong { Err(Failure::wrong()) } else { Ok(()) }
}
