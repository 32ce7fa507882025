//! `seedbed completions`: what a shell needs to complete our commands.

use super::failure::Failure;
use super::terminal::Terminal;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed completions bash > /etc/bash_completion.d/seedbed")]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub(super) fn run(args: &Args, command: &mut clap::Command, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "seedbed", &mut script);
    terminal.raw(&script)
}
