//! `seedbed leases`: addresses lent to hardware addresses that no VM has.

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Answer, Request};

/// List dynamic leases
///
/// There are some only on networks with `unregistered: pool`. An address that a client declined, because another host
/// answers for it, is listed too: it is not given away for a while.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed leases\n  seedbed leases --format json")]
pub(super) struct Args {}

pub(super) fn run(_args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match context.ask(&Request::Leases)? {
        Answer::Leases(leases) => terminal.leases(&leases),
        other => Err(unexpected(&other)),
    }
}
