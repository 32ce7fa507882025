//! `seedbed hosts`: the generated hosts file.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::Request;

/// Show the generated hosts file
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed hosts | grep web1")]
pub(super) struct Args {}

pub(super) fn run(_args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    terminal.answer(&context.text(&Request::Hosts)?)
}
