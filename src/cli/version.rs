//! `seedbed version`: ours, and the daemon's.

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::terminal::Terminal;
use crate::control::{Answer, Request};

/// Show the versions of this command and of the daemon
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed version")]
pub(super) struct Args {}

pub(super) fn run(_args: Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    terminal.answer(concat!("seedbed ", env!("CARGO_PKG_VERSION")))?;
    match context.ask(&Request::Hello) {
        Ok(Answer::Hello { version, pid }) => terminal.answer(&format!("daemon {version} (process {pid})")),
        Ok(other) => Err(unexpected(&other)),
        // One half of the answer is known, whatever the daemon does.
        Err(failure) => {
            terminal.say(&failure.message);
            Ok(())
        }
    }
}
