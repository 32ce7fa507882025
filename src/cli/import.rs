//! `seedbed import`: many VMs from one file, all or none.

use std::path::PathBuf;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use super::{input, roster};
use crate::control::Request;

/// The most problems shown at once; a wrong file has one in every line.
const SHOWN: usize = 100;

/// Register many VMs from one file, all or none
///
/// A CSV file has the columns name,mac,ip, in this order when there is no header line. MAC and IP may be empty: they are
/// derived from the name and chosen from the pool. The VMs are run by someone else, as with `seedbed add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed import --from csv students.csv\n  \
    printf 'name,mac,ip\\nnas,52:54:00:aa:bb:cc,10.77.0.20\\n' | seedbed import --from csv -")]
pub(super) struct Args {
    /// What the file is
    #[arg(long, value_enum, value_name = "FORM")]
    from: Form,
    /// The network of all of them; the only one when not given
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The file; - for standard input
    file: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Form {
    /// name,mac,ip
    Csv,
}

pub(super) fn run(args: &Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let text = input::text(&args.file)?;
    let rows = match args.from {
        Form::Csv => roster::parse(&text),
    };
    let rows = rows.map_err(|problems| {
        let count = problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        let more = count.saturating_sub(SHOWN);
        let file = args.file.display();
        Failure::refused(format!("{file} has {count} {noun}; nothing was registered"))
            .causes(problems.iter().take(SHOWN).map(ToString::to_string))
            .causes((more > 0).then(|| format!("... and {more} more")))
    })?;
    if rows.is_empty() {
        return terminal.answer("nothing to register: the file has no rows");
    }
    let network = args.network.clone();
    context.done(&Request::Import { rows, network }, &[], terminal)
}
