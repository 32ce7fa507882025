//! The `seedbed` binary: hands the command line what it may not import itself, the daemon.

use std::path::Path;
use std::process::ExitCode;

use seedbed::cli::failure::Failure;
use seedbed::{config, daemon};

fn main() -> ExitCode {
    seedbed::cli::run(std::env::args_os(), serve)
}

/// The most threads that answer guests: a packet takes microseconds, so four are more than a bridge brings, and each
/// more has a stack and a heap of its own.
const WORKERS: usize = 4;

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cpus| cpus.get().min(WORKERS))
}

/// Runs the daemon until it is told to stop. Logging is already set up.
fn serve(path: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::io(format!("can not read {}", path.display()), &error)
            .hint("`seedbed init` writes a first configuration")
    })?;
    let mut config = config::Config::parse(&text, path).map_err(|problems| {
        let lines = problems.iter().map(ToString::to_string);
        Failure::refused(format!("{} has {} problem(s)", path.display(), problems.len())).causes(lines)
    })?;
    config.socket = config::paths::socket(|name| std::env::var_os(name), Some(&text));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .map_err(|error| Failure::io("can not start the event loop", &error))?;
    let ended = runtime.block_on(daemon::run(config));
    // An image that is being copied does not hold up the end: what it left is swept at the next start.
    runtime.shutdown_background();
    Ok(ended?)
}
