//! `seedbed key`: the key ring.

use std::process::Command;
use std::time::Duration;

use super::context::{Context, unexpected};
use super::failure::Failure;
use super::keys;
use super::terminal::Terminal;
use crate::control::{AddKey, Answer, Request, RingRequest};
use crate::fetch::Url;
use crate::fetch::client::{Client, Patience, TextError};
use crate::model::SshKey;

/// Look after the key ring: SSH public keys under a name
#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    Add(AddArgs),
    #[command(visible_alias = "ls")]
    List(ListArgs),
    #[command(visible_alias = "rm")]
    Delete(DeleteArgs),
}

/// Add keys to the key ring
///
/// They may log in to the VMs that name them (`--key NAME`) and, with an owner, to every VM of that owner. VMs are served
/// them from the next request on; cloud-init reads them when it boots.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed key add ann --owner ann --file ~ann/.ssh/id_ed25519.pub\n  \
    seedbed key add ann gh:ann --owner ann --replace\n  seedbed key add laptop --agent"
)]
#[command(group = clap::ArgGroup::new("from").required(true).args(["source", "file", "agent"]))]
pub(super) struct AddArgs {
    /// What the keys are called
    name: String,
    /// The keys of a GitHub account; or a key line
    #[arg(value_name = "gh:USER|KEY")]
    source: Option<String>,
    /// A file of public keys; - for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// All keys of your ssh-agent
    #[arg(long)]
    agent: bool,
    /// Whose they are
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// Take the place of the keys of that name
    #[arg(long)]
    replace: bool,
}

/// List the keys, and the VMs they may log in to
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed key list\n  seedbed key list ann --format json")]
pub(super) struct ListArgs {
    /// Which; all when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Delete keys from the key ring
///
/// No VM is served them from then on, and VMs that name them forget them. A guest that booted with a key has it in its
/// own files until it is launched anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed key delete ann")]
pub(super) struct DeleteArgs {
    /// Which
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

pub(super) fn run(verb: Verb, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    match verb {
        Verb::Add(args) => {
            let (keys, source) = fetched(&args, context)?;
            let request = AddKey {
                name: args.name,
                owner: args.owner,
                keys,
                source,
                replace: args.replace,
            };
            context.done(&Request::Ring(RingRequest::Add(request)), &[], terminal)
        }
        Verb::List(args) => match context.ask(&Request::Ring(RingRequest::List { names: args.names }))? {
            Answer::Keys(keys) => terminal.keys(&keys),
            other => Err(unexpected(&other)),
        },
        Verb::Delete(args) => {
            let names = args.names;
            context.done(&Request::Ring(RingRequest::Remove { names }), &[], terminal)
        }
    }
}

/// The key lines, and where they came from.
fn fetched(args: &AddArgs, context: &Context) -> Result<(Vec<String>, String), Failure> {
    if let Some(file) = &args.file {
        return Ok((keys::of_file(&keys::expand_home(file))?, format!("file {file}")));
    }
    if args.agent {
        return Ok((of_agent()?, "agent".to_owned()));
    }
    let source = args.source.as_deref().unwrap_or_default();
    match source.strip_prefix("gh:") {
        Some(user) => Ok((of_github(user, context)?, source.to_owned())),
        None => Ok((vec![keys::parse(source, "the key")?], "command line".to_owned())),
    }
}

/// What `ssh-add -L` lists.
fn of_agent() -> Result<Vec<String>, Failure> {
    let output = Command::new("ssh-add")
        .arg("-L")
        .output()
        .map_err(|error| missing("ssh-add", "openssh-client", &error))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => of_lines(&said, "the agent"),
        // ssh-add(1): "2 if ssh-add is unable to contact the authentication agent."
        Some(2) => Err(Failure::refused("no ssh-agent answers").hint(
            "start one, or let sudo pass it on: sudo --preserve-env=SSH_AUTH_SOCK seedbed key add NAME --agent",
        )),
        _ => Err(Failure::refused("the ssh-agent has no keys").hint("give it one: ssh-add")),
    }
}

/// The longest list of keys that is read, in bytes.
const LONGEST_LIST: u64 = 64 << 10;
/// Somebody waits for a few lines.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(10),
    ..Patience::USUAL
};

/// What GitHub tells of an account.
fn of_github(user: &str, context: &Context) -> Result<Vec<String>, Failure> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if user.is_empty() || user.len() > 39 || !user.bytes().all(plain) {
        return Err(Failure::usage(format!(
            "`{}` is no name of a GitHub account",
            user.escape_debug()
        )));
    }
    let text = format!("https://github.com/{user}.keys");
    let refused = |why: String| {
        Failure::refused(format!("can not fetch {text}: {why}"))
            .hint("where this host has no way out, fetch it elsewhere and give it as --file")
    };
    let url: Url = text.parse().map_err(|error| refused(format!("{error}")))?;
    let client = Client::new(false, PATIENCE).map_err(|error| refused(error.to_string()))?;
    match context.block_on(client.text(&url, LONGEST_LIST)) {
        Ok(lines) => of_lines(&lines, &text),
        Err(TextError::Status(404)) => Err(Failure::not_found(format!("GitHub knows no account {user}"))),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn of_lines(text: &str, place: &str) -> Result<Vec<String>, Failure> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    // An agent may hold keys of a kind that no guest takes (certificates): those are left out.
    let keys: Vec<_> = lines
        .filter_map(|line| line.parse::<SshKey>().ok())
        .map(|key| key.to_string())
        .collect();
    if keys.is_empty() {
        return Err(Failure::not_found(format!(
            "{place} has no SSH key that a guest takes"
        )));
    }
    Ok(keys)
}

fn missing(program: &str, package: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::refused(format!("{program} is not installed"))
            .hint(format!("install it: sudo apt install {package}")),
        _ => Failure::io(format!("can not run {program}"), error),
    }
}
