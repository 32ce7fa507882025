//! `seedbed log`: what a VM wrote to its serial port since power-on.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Show a VM's serial log since power-on
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed log web1 | tail -20\n  seedbed log -f web1")]
pub(super) struct Args {
    /// The VM
    name: String,
    /// Go on as it grows, until ^C
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn run(args: &Args, context: &Context, terminal: &mut Terminal) -> Result<(), Failure> {
    let vm = context.vm(&args.name)?;
    let Some(path) = vm.console_log else {
        return Err(Failure::refused(format!(
            "{} is run by someone else: its serial log is not here",
            vm.name
        )));
    };
    let mut log = match open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !args.follow => {
            let hint = format!("start it: seedbed start {}", vm.name);
            return Err(
                Failure::refused(format!("{} has no serial log: it was never started", vm.name)).hint(hint),
            );
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        opened => Some(opened.map_err(|error| unreadable(&path, &error))?),
    };
    loop {
        if let Some(log) = &mut log {
            log.print_rest(&path, terminal)?;
        }
        if !args.follow {
            return Ok(());
        }
        context.block_on(async { tokio::time::sleep(POLL).await });
        // The next power-on starts a new log, in the same file or in another one of that name.
        match open(&path) {
            Ok(now) if log.as_ref().is_none_or(|log| log.is_older_than(&now)) => log = Some(now),
            Ok(_) => (),
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(format!("can not read the serial log {}", path.display()), error)
}

/// A log file, printed up to some place.
struct Log {
    file: File,
    inode: u64,
    size: u64,
}

fn open(path: &Path) -> std::io::Result<Log> {
    let file = File::open(path)?;
    let facts = file.metadata()?;
    Ok(Log {
        file,
        inode: facts.ino(),
        size: facts.len(),
    })
}

impl Log {
    fn print_rest(&mut self, path: &Path, terminal: &mut Terminal) -> Result<(), Failure> {
        let mut part = vec![0; 64 << 10];
        loop {
            let count = self
                .file
                .read(&mut part)
                .map_err(|error| unreadable(path, &error))?;
            match part.get(..count) {
                Some(bytes) if !bytes.is_empty() => terminal.raw(bytes)?,
                _ => break,
            }
        }
        self.size = self
            .file
            .stream_position()
            .map_err(|error| unreadable(path, &error))?;
        Ok(())
    }

    /// Whether `now` is another file, or this one begun anew.
    const fn is_older_than(&self, now: &Self) -> bool {
        self.inode != now.inode || now.size < self.size
    }
}
