//! `seedbed image`: base images.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;

mod add;
mod build;
mod delete;
mod list;
mod meter;
mod refusals;
mod show;
mod source;

/// Manage base images
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  seedbed image list")]
pub(super) enum Verb {
    Add(add::Args),
    Build(build::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    #[command(visible_alias = "info")]
    Show(show::Args),
    #[command(visible_alias = "rm")]
    Delete(delete::Args),
}

pub(super) fn run(verb: Verb, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match verb {
        Verb::Add(args) => add::run(args, context, terminal),
        Verb::Build(args) => build::run(&args, context, terminal),
        Verb::List(args) => list::run(args, context, terminal),
        Verb::Show(args) => show::run(args, context, terminal),
        Verb::Delete(args) => delete::run(args, context, terminal),
    }
}

/// The path as the daemon, which runs elsewhere, can open it.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|error| Failure::io(format!("can not find {}", path.display()), &error))
}
