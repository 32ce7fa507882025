//! `seedbed offline-worker`: what the daemon starts to work on a disk; nothing for people.

use super::failure::Failure;
use crate::offline::worker;

/// Work on a disk for the daemon
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed offline-worker < job.json")]
pub(super) struct Args {
    /// Be the half that mounts the file system
    #[arg(long)]
    inside: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    worker::run(args.inside).map_err(|error| Failure::io("the worker for disks", &error))
}
