//! Work on a disk that no guest runs on, by a process of its own: what all such work of the daemon has in common.

use super::Daemon;
use crate::control::Refusal;
use crate::offline::door::{self, DoorError};
use crate::offline::job::{Disk, Job, Outcome, Task};

/// How long a worker may have a disk, in seconds: what it does takes a few, and a host that is busy may need minutes.
const SECONDS: u64 = 300;

/// Has a worker do something with a disk, whose base is named where it has one.
pub(super) async fn work(
    daemon: &Daemon,
    disk: Disk,
    backing: Option<Disk>,
    task: Task,
) -> Result<Result<Outcome, DoorError>, Refusal> {
    // Each worker mounts over it, in a namespace of its own.
    let scratch = daemon.config.places.offline();
    std::fs::create_dir_all(&scratch)
        .map_err(|error| Refusal::host(format!("{} could not be made: {error}", scratch.display())))?;
    let job = Job {
        disk,
        backing,
        task,
        scratch,
        seconds: SECONDS,
    };
    Ok(tokio::task::spawn_blocking(move || door::work(&job)).await?)
}
