//! `seedbed init`: a first configuration file, with comments.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::failure::Failure;
use super::terminal::Terminal;
use crate::config::Config;
use crate::config::init::{self, InitOptions};

/// Write a first configuration file, with comments
///
/// Goes to /etc/seedbed/config.yaml, unless the environment names another one. A file that is already there is never
/// changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sudo seedbed init --bridge br0 --subnet 10.77.0.1/24 --domain lab")]
pub(super) struct Args {
    /// The bridge the VMs are connected to; made by the daemon where it is missing [default: br0]
    #[arg(long)]
    bridge: Option<String>,
    /// The host's own address on the bridge, with the subnet's prefix [default: 10.77.0.1/24]
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    subnet: Option<String>,
    /// The DNS domain of the VMs [default: lab]
    #[arg(long)]
    domain: Option<String>,
    /// Where images, disks and the registry are kept [default: /var/lib/seedbed]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Where sockets are kept [default: /run/seedbed]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

impl Args {
    const fn asks_for_something(&self) -> bool {
        self.bridge.is_some()
            || self.subnet.is_some()
            || self.domain.is_some()
            || self.state_dir.is_some()
            || self.run_dir.is_some()
    }
}

pub(super) fn run(args: &Args, terminal: &mut Terminal) -> Result<(), Failure> {
    let path = super::config_path();
    let text = render(args)?;
    match std::fs::read_to_string(&path) {
        Ok(there) if there == text => terminal.answer(&format!("{} is already like this", path.display())),
        Ok(_) if args.asks_for_something() => Err(Failure::refused(format!(
            "{} is already there and says something else; it was not changed",
            path.display()
        ))
        .hint("edit it, or move it away and run `seedbed init` again")),
        Ok(_) => terminal.answer(&format!(
            "{} is already there; it was not changed",
            path.display()
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            write(&path, &text)
                .map_err(|error| Failure::io(format!("can not write {}", path.display()), &error))?;
            terminal.answer(&format!("wrote {}", path.display()))?;
            terminal.say("next: sudo systemctl start seedbed, or in a terminal: sudo seedbed serve");
            Ok(())
        }
        Err(error) => Err(Failure::io(format!("can not read {}", path.display()), &error)),
    }
}

/// Writes the file, unless another one appeared there meanwhile.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The configuration that is asked for; what is not stays as it is by default.
fn render(args: &Args) -> Result<String, Failure> {
    let mut options = InitOptions::default();
    set(&mut options.bridge, args.bridge.as_deref())?;
    set(&mut options.subnet, args.subnet.as_deref())?;
    set(&mut options.domain, args.domain.as_deref())?;
    set_path(&mut options.state_dir, args.state_dir.as_deref())?;
    set_path(&mut options.run_dir, args.run_dir.as_deref())?;
    let text = init::render(&options);
    // What the daemon would refuse is refused before it is written.
    Config::parse(&text, &super::config_path()).map_err(|problems| {
        let said = problems
            .iter()
            .map(|problem| format!("{} {}", problem.path, problem.message));
        Failure::usage("no daemon would start with this").causes(said)
    })?;
    Ok(text)
}

fn set<T: FromStr<Err: std::fmt::Display>>(option: &mut T, text: Option<&str>) -> Result<(), Failure> {
    if let Some(text) = text {
        *option = text
            .parse()
            .map_err(|error: T::Err| Failure::usage(error.to_string()))?;
    }
    Ok(())
}

/// The daemon starts elsewhere: a path that depends on where this command runs would mean another place there.
fn set_path(option: &mut PathBuf, path: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = path {
        *option = std::path::absolute(path)
            .map_err(|error| Failure::io(format!("can not use {}", path.display()), &error))?;
    }
    Ok(())
}
