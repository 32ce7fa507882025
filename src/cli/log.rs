//! `seedbed log`: what a VM wrote to its serial port since power-on, as far as that is kept.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::console::files::before;

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Show a VM's serial log since power-on
///
/// Of a VM that wrote more than 4 MiB, the last 4 to 8 MiB are kept.
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
    let mut log = Log {
        path,
        inode: 0,
        printed: 0,
    };
    if !log.print_new(terminal)? && !args.follow {
        let hint = format!("start it: seedbed start {}", vm.name);
        return Err(
            Failure::refused(format!("{} has no serial log: it was never started", vm.name)).hint(hint),
        );
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        context.block_on(async { tokio::time::sleep(POLL).await });
        log.print_new(terminal)?;
    }
}

/// A log, printed up to some place.
struct Log {
    path: PathBuf,
    /// The file that was printed of; none has the number 0.
    inode: u64,
    printed: u64,
}

impl Log {
    /// Prints what was not printed yet; whether there is a log.
    fn print_new(&mut self, terminal: &mut Terminal) -> Result<bool, Failure> {
        let (mut file, facts) = match opened(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(|error| self.unreadable(&error))?,
        };
        if self.inode != facts.ino() {
            // Another power-on.
            self.printed = 0;
            self.inode = facts.ino();
            self.print_before(terminal)?;
        } else if facts.len() < self.printed {
            // It began anew. What was not printed of it is in the file before.
            self.print_before(terminal)?;
            self.printed = 0;
        }
        self.printed = self.print_from(&mut file, self.printed, terminal)?;
        Ok(true)
    }

    /// Prints what the file before has behind what was printed.
    fn print_before(&self, terminal: &mut Terminal) -> Result<(), Failure> {
        match opened(&before(&self.path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            opened => {
                let (mut file, _) = opened.map_err(|error| self.unreadable(&error))?;
                self.print_from(&mut file, self.printed, terminal).map(drop)
            }
        }
    }

    /// Prints a file from a place on, and returns the place of its end.
    fn print_from(&self, file: &mut File, from: u64, terminal: &mut Terminal) -> Result<u64, Failure> {
        let unreadable = |error: std::io::Error| self.unreadable(&error);
        let mut at = file.seek(SeekFrom::Start(from)).map_err(unreadable)?;
        let mut part = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut part).map_err(unreadable)?;
            match part.get(..count) {
                Some(bytes) if !bytes.is_empty() => terminal.raw(bytes)?,
                _ => return Ok(at),
            }
            at += count as u64;
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::io(
            format!("can not read the serial log {}", self.path.display()),
            error,
        )
    }
}

fn opened(path: &std::path::Path) -> std::io::Result<(File, std::fs::Metadata)> {
    let file = File::open(path)?;
    let facts = file.metadata()?;
    Ok((file, facts))
}
