//! `seedbed discovered`: hardware addresses that asked for an address and have no record.

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Answer, Request};

/// List machines that asked for an address and have none
///
/// They are remembered on networks with `unregistered: discover`, the last 1024 of each; `seedbed adopt` registers one.
/// What a machine calls itself is its own word.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed discovered\n  seedbed adopt 52:54:00:aa:bb:cc nas")]
pub(super) struct Args {}

pub(super) fn run(_args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match context.ask(&Request::Discovered)? {
        Answer::Discovered(discovered) => terminal.discovered(&discovered),
        other => Err(unexpected(&other)),
    }
}
