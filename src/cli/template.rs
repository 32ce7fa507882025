//! `seedbed template`: the templates that vendor-data is rendered from.

use std::path::{Path, PathBuf};

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::input;
use super::terminal::Terminal;
use crate::control::{AddTemplate, Answer, Request, TemplateRequest};
use crate::seed;

/// Look after the templates of seeds
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    #[command(visible_alias = "ls")]
    List(ListArgs),
    Show(ShowArgs),
    Add(AddArgs),
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
    Check(CheckArgs),
    Reload(ReloadArgs),
}

/// List the templates, where each is from, and how many VMs use it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed template list\n  seedbed template list --format json")]
pub(super) struct ListArgs {}

/// Show what a template says
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed template show default >site.yaml")]
pub(super) struct ShowArgs {
    /// Which
    name: String,
}

/// Add a template, or put another one in the place of one that is built in
///
/// It is checked first, and VMs are served it from their next request on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed template add site.yaml\n  \
    seedbed template add draft.yaml --name site --force")]
pub(super) struct AddArgs {
    /// The template; - for standard input
    file: PathBuf,
    /// What it is called; the file's name without its ending when not given
    #[arg(long)]
    name: Option<String>,
    /// Replace the one of yours that has this name
    #[arg(long)]
    force: bool,
}

/// Delete a template of yours
///
/// Refused while VMs use it. One that is built in under the same name is in force again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed template delete site")]
pub(super) struct DeleteArgs {
    /// Which
    name: String,
}

/// Check templates without a daemon: rendered with sample facts, beside the files around them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed template check site.yaml\n  seedbed template check /etc/seedbed/templates/*"
)]
pub(super) struct CheckArgs {
    /// Which; boot.ipxe is checked as the iPXE script
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Take the files of templates and site vendor-data anew
///
/// What is in force stays so when one of them is broken. SIGHUP does the same.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed template reload")]
pub(super) struct ReloadArgs {}

pub(super) fn run(
    verb: Verb,
    context: impl FnOnce() -> Result<Context, Failure>,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    let asked = match verb {
        Verb::Check(args) => return check(&args.files, terminal),
        Verb::List(ListArgs {}) => return list(&context()?, terminal),
        Verb::Show(args) => {
            let request = TemplateRequest::Show { name: args.name };
            // As it is: what is written to a file is the same template.
            let text = context()?.text(&Request::Template(request))?;
            return terminal.raw(text.as_bytes());
        }
        Verb::Add(args) => TemplateRequest::Add(written(args)?),
        Verb::Delete(args) => TemplateRequest::Remove { name: args.name },
        Verb::Reload(ReloadArgs {}) => TemplateRequest::Reload,
    };
    context()?.done(&Request::Template(asked), &[], terminal)
}

fn list(context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match context.ask(&Request::Template(TemplateRequest::List))? {
        Answer::Templates(templates) => terminal.templates(&templates),
        other => Err(unexpected(&other)),
    }
}

fn written(args: AddArgs) -> Result<AddTemplate, Failure> {
    let AddArgs { file, name, force } = args;
    let stem = || Some(file.file_stem()?.to_string_lossy().into_owned());
    let name = match name {
        Some(name) => name,
        None if file == Path::new("-") => {
            return Err(Failure::usage(
                "a template from standard input needs a name: --name NAME",
            ));
        }
        None => stem().unwrap_or_default(),
    };
    Ok(AddTemplate {
        name,
        source: input::text(&file)?,
        file,
        replace: force,
    })
}

fn check(files: &[PathBuf], terminal: &mut Terminal) -> Result<(), Failure> {
    let mut broken = Vec::new();
    for file in files {
        match seed::check_template(file) {
            Ok(()) => terminal.answer(&format!("{}: good", file.display()))?,
            Err(error) => broken.push(error.to_string()),
        }
    }
    match <[String; 1]>::try_from(broken) {
        Ok([only]) => Err(Failure::refused(only)),
        Err(broken) if broken.is_empty() => Ok(()),
        Err(broken) => Err(Failure::refused(format!(
            "{} of {} templates are broken",
            broken.len(),
            files.len()
        ))
        .causes(broken)),
    }
}
