//! `seedbed console`: a VM's serial console on this terminal.

use std::path::PathBuf;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;

mod raw;
mod record;
mod replay;
mod session;

use session::Session;

/// Attach to a VM's serial console
///
/// It begins with what the VM said last. Several may attach at once, and all see the same; detach with ^]. Where standard input
/// is no terminal, what it holds is sent, and what the VM says is printed until it is powered off.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  seedbed console web1\n  seedbed console web1 --read-only --record web1.cast"
)]
pub(super) struct Args {
    /// The VM
    name: String,
    #[command(flatten)]
    options: Options,
}

/// How to look on.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Watch only: nothing that is typed here reaches the VM
    #[arg(long)]
    read_only: bool,
    /// Also write what is shown to FILE, for `asciinema play` (asciicast v2); FILE must not be there yet
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Begin with what the VM says from now on
    #[arg(long)]
    no_scrollback: bool,
}

/// How a session at a console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The VM was powered off.
    Vm,
    /// Whoever sat there went away.
    Detached,
}

pub(super) fn run(args: &Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    session(&args.name, &args.options, context, terminal).map(|_| ())
}

/// Puts a VM's console on this terminal until one of them ends.
pub(super) fn session(
    name: &str,
    options: &Options,
    context: &Context,
    terminal: &mut Terminal,
) -> Result<End, Failure> {
    let vm = context.vm(name)?;
    let Some(path) = vm.serial else {
        let why = match vm.state.as_str() {
            "external" => Failure::refused(format!(
                "{} is run by someone else: its console is not here",
                vm.name
            )),
            state => Failure::refused(format!("{} is {state}: it has no console now", vm.name))
                .hint(format!("start it: seedbed start {}", vm.name)),
        };
        return Err(why);
    };
    context.block_on(async {
        let mut session = Session::open(&vm.name, &path, options, terminal).await?;
        let ended = session.sit().await;
        drop(session);
        // The VM left the cursor anywhere.
        terminal.say(&format!("\nDetached from {}", vm.name));
        ended
    })
}
