//! The command line: one verb per file, each with its arguments (whose docs are the help) and what it does with them.
//!
//! A verb turns its arguments into one [`crate::control::Request`], and the answer into what is printed. It never
//! looks at the daemon's files, except for those whose paths the daemon hands out (serial log and socket, known hosts).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

mod accounts;
mod add;
mod adopt;
mod check;
mod clone;
mod completions;
mod confidence;
mod console;
mod console_broker;
mod context;
mod delete;
mod discovered;
mod dns;
mod export;
pub mod failure;
mod hardware;
mod host_cloud_init;
mod hosts;
mod image;
mod import;
mod init;
mod input;
mod key;
mod keys;
mod kill;
mod launch;
mod leases;
mod list;
mod log;
mod network;
mod nics;
mod offline_worker;
mod password;
mod pause;
mod policy;
mod port;
mod progress;
mod qemu_argv;
mod rebase;
mod registration;
mod render;
mod reset;
mod restart;
mod resume;
mod roster;
mod select;
mod serve;
mod set;
mod show;
mod snapshot;
mod ssh;
mod start;
mod stop;
mod table;
mod tally;
mod template;
pub mod terminal;
mod undelete;
mod user_data;
mod version;
mod wait;

#[cfg(fuzzing)]
pub use roster::fuzzing;

use crate::config::paths;
use context::Context;
use failure::{EXIT_CODES, Failure};
use terminal::{Format, Terminal};

/// Runs the daemon with the given configuration file until it is told to stop; `main` passes it in.
pub type Daemon = fn(&Path) -> Result<(), Failure>;

/// Turn this host and its bridge into a small cloud
///
/// Register a VM once: its name is enough. Its MAC, address, DNS name, cloud-init seed and QEMU command line follow
/// from that, so that identical clones of one image become different machines at their first boot.
#[derive(Debug, Parser)]
#[command(
    name = "seedbed",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(after_help = top_help(), disable_help_subcommand = true)]
struct Cli {
    /// Form of the answer
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "table",
        value_name = "table|json|yaml"
    )]
    #[arg(hide_possible_values = true, display_order = 900)]
    format: Format,
    /// Say nothing but the answer and errors
    #[arg(long, short, global = true, display_order = 901)]
    quiet: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Args),
    Init(init::Args),
    #[command(subcommand)]
    Image(image::Verb),
    Launch(launch::Args),
    Clone(clone::Args),
    Add(add::Args),
    Import(import::Args),
    Set(set::Args),
    #[command(visible_alias = "ls")]
    List(list::Args),
    #[command(visible_alias = "info")]
    Show(show::Args),
    Start(start::Args),
    Stop(stop::Args),
    Restart(restart::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Kill(kill::Args),
    Reset(reset::Args),
    Rebase(rebase::Args),
    #[command(subcommand)]
    Snapshot(snapshot::Verb),
    #[command(visible_alias = "rm")]
    Delete(delete::Args),
    Undelete(undelete::Args),
    Console(console::Args),
    Log(log::Args),
    Wait(wait::Args),
    Check(check::Args),
    Ssh(ssh::Args),
    Render(render::Args),
    Hosts(hosts::Args),
    Export(export::Args),
    #[command(subcommand)]
    Network(network::Verb),
    #[command(subcommand)]
    Port(port::Verb),
    Leases(leases::Args),
    Discovered(discovered::Args),
    Adopt(adopt::Args),
    #[command(subcommand)]
    Dns(dns::Verb),
    #[command(subcommand)]
    Key(key::Verb),
    #[command(subcommand)]
    Template(template::Verb),
    Completions(completions::Args),
    Version(version::Args),
    #[command(hide = true)]
    OfflineWorker(offline_worker::Args),
}

fn top_help() -> String {
    format!(
        "Example:\n  \
         sudo seedbed init --bridge br0 --subnet 10.77.0.1/24\n  \
         sudo systemctl start seedbed\n  \
         sudo seedbed image build debian-12 --suite bookworm\n  \
         sudo seedbed launch web[1-2] --image debian-12 --wait\n\n\
         Environment:\n  \
         SEEDBED_CONFIG  the configuration file [default: {}]\n  \
         SEEDBED_SOCKET  the admin socket [default: `socket` of the configuration]\n  \
         SEEDBED_LOG     what `serve` logs, such as debug or seedbed::dhcp=trace\n\n\
         Exit codes:\n{EXIT_CODES}\n  \
         `ssh` ends with the exit code of ssh",
        paths::CONFIG
    )
}

/// Carries out a command line and returns the process's exit code.
pub fn run(argv: impl IntoIterator<Item = OsString>, daemon: Daemon) -> ExitCode {
    let argv: Vec<OsString> = argv.into_iter().collect();
    if argv.get(1).is_some_and(|verb| console_broker::is_meant(verb)) {
        return console_broker::run();
    }
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(error) => {
            // Help into a closed pipe: nobody is left to tell.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::Exit::Usage as u8));
        }
    };
    let mut terminal = Terminal::new(cli.format, cli.quiet);
    match carry_out(cli.verb, daemon, &mut terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit.into()
        }
    }
}

fn carry_out(verb: Verb, daemon: Daemon, terminal: &mut Terminal) -> Result<(), Failure> {
    let context = || Context::new(socket_path());
    match verb {
        Verb::Serve(args) => serve::run(&args, daemon),
        Verb::Init(args) => init::run(&args, terminal),
        Verb::Image(verb) => image::run(verb, &context()?, terminal),
        Verb::Launch(args) => launch::run(args, &context()?, terminal),
        Verb::Clone(args) => clone::run(args, &context()?, terminal),
        Verb::Add(args) => add::run(args, &context()?, terminal),
        Verb::Import(args) => import::run(&args, &context()?, terminal),
        Verb::Set(args) => set::run(args, &context()?, terminal),
        Verb::List(args) => list::run(args, &context()?, terminal),
        Verb::Show(args) => show::run(args, &context()?, terminal),
        Verb::Start(args) => start::run(args, &context()?, terminal),
        Verb::Stop(args) => stop::run(args, &context()?, terminal),
        Verb::Restart(args) => restart::run(args, &context()?, terminal),
        Verb::Pause(args) => pause::run(args, &context()?, terminal),
        Verb::Resume(args) => resume::run(args, &context()?, terminal),
        Verb::Kill(args) => kill::run(args, &context()?, terminal),
        Verb::Reset(args) => reset::run(args, &context()?, terminal),
        Verb::Rebase(args) => rebase::run(args, &context()?, terminal),
        Verb::Snapshot(verb) => snapshot::run(verb, &context()?, terminal),
        Verb::Delete(args) => delete::run(args, &context()?, terminal),
        Verb::Undelete(args) => undelete::run(args, &context()?, terminal),
        Verb::Console(args) => console::run(&args, &context()?, terminal),
        Verb::Log(args) => log::run(&args, &context()?, terminal),
        Verb::Wait(args) => wait::run(args, &context()?, terminal),
        Verb::Check(args) => check::run(args, &context()?, terminal),
        Verb::Ssh(args) => ssh::run(args, &context()?, terminal),
        Verb::Render(args) => render::run(args, &context()?, terminal),
        Verb::Hosts(args) => hosts::run(args, &context()?, terminal),
        Verb::Export(args) => export::run(args, &context()?, terminal),
        Verb::Network(verb) => network::run(verb, &context()?, terminal),
        Verb::Port(verb) => port::run(verb, &context()?, terminal),
        Verb::Leases(args) => leases::run(args, &context()?, terminal),
        Verb::Discovered(args) => discovered::run(args, &context()?, terminal),
        Verb::Adopt(args) => adopt::run(args, &context()?, terminal),
        Verb::Dns(verb) => dns::run(verb, &context()?, terminal),
        Verb::Key(verb) => key::run(verb, &context()?, terminal),
        Verb::Template(verb) => template::run(verb, context, terminal),
        Verb::Completions(args) => completions::run(&args, &mut Cli::command(), terminal),
        Verb::Version(args) => version::run(args, &context()?, terminal),
        Verb::OfflineWorker(args) => offline_worker::run(&args),
    }
}

/// The configuration file: `SEEDBED_CONFIG`, or the default.
fn config_path() -> PathBuf {
    paths::config(|name| std::env::var_os(name))
}

/// The admin socket: `SEEDBED_SOCKET`, or what the configuration says, or the default.
fn socket_path() -> PathBuf {
    let text = std::fs::read_to_string(config_path()).ok();
    paths::socket(|name| std::env::var_os(name), text.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn visit(command: &clap::Command, path: &str) {
            for verb in command.get_subcommands() {
                let path = format!("{path} {}", verb.get_name());
                if verb.has_subcommands() {
                    visit(verb, &path);
                } else {
                    let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.contains(&path), "`{path}` has no example");
                }
            }
        }
        visit(&Cli::command(), "seedbed");
    }
}
