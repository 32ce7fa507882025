//! `seedbed image`: base images.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;

mod add;
mod build;
mod commit;
mod customize;
mod delete;
mod edit;
mod gc;
mod install;
mod lint;
mod list;
mod meter;
mod netboot;
mod promote;
mod refusals;
mod seal;
mod show;
mod source;
mod workshop;

/// What a new image is to one of its name that is there.
#[derive(Debug, clap::Args)]
struct Next {
    /// Make it the next generation of an image that is there
    #[arg(long)]
    next: bool,
    /// Go on making new clones of the generation that is current now
    #[arg(long, requires = "next")]
    no_promote: bool,
}

/// Manage base images
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  seedbed image list")]
pub(super) enum Verb {
    Add(add::Args),
    Build(build::Args),
    Install(install::Args),
    Edit(edit::Args),
    Commit(commit::Args),
    Customize(customize::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    #[command(visible_alias = "info")]
    Show(show::Args),
    Lint(lint::Args),
    Seal(seal::Args),
    Promote(promote::Args),
    #[command(visible_alias = "prune")]
    Gc(gc::Args),
    #[command(visible_alias = "rm")]
    Delete(delete::Args),
}

pub(super) fn run(verb: Verb, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match verb {
        Verb::Add(args) => add::run(args, context, terminal),
        Verb::Build(args) => build::run(&args, context, terminal),
        Verb::List(args) => list::run(args, context, terminal),
        Verb::Show(args) => show::run(args, context, terminal),
        Verb::Install(args) => install::run(args, context, terminal),
        Verb::Edit(args) => edit::run(&args, context, terminal),
        Verb::Commit(args) => commit::run(args, context, terminal),
        Verb::Lint(args) => lint::run(args, context, terminal),
        Verb::Seal(args) => seal::run(args, context, terminal),
        Verb::Customize(args) => customize::run(args, context, terminal),
        Verb::Promote(args) => promote::run(args, context, terminal),
        Verb::Gc(args) => gc::run(args, context, terminal),
        Verb::Delete(args) => delete::run(args, context, terminal),
    }
}

/// The path as the daemon, which runs elsewhere, can open it.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|error| Failure::io(format!("can not find {}", path.display()), &error))
}
