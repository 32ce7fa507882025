//! `seedbed network`: the networks of the configuration.

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;

/// Look at networks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    #[command(visible_alias = "ls")]
    List(ListArgs),
}

/// List networks
///
/// All that is known of one is shown by `seedbed show network`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed network list\n  seedbed network list --format json")]
pub(super) struct ListArgs {
    /// Names; all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(verb: Verb, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let Verb::List(args) = verb;
    let networks = context.networks(args.names)?;
    terminal.networks(&networks)
}
