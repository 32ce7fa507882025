//! How many VMs are made and started at once: no more than is set, and fewer while the host has trouble to keep up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::sleep;

use crate::config::Starts;
use crate::host::pressure::{FOLDER, Pressure};

/// How often pressure on memory is looked at again, and how many times before a start goes on all the same: what presses may be
/// there for good.
const AGAIN: Duration = Duration::from_secs(1);
const TIMES: u32 = 60;

/// Who decides when a VM may be started.
#[derive(Debug)]
pub(super) struct Admission {
    slots: Arc<Semaphore>,
    disks: Semaphore,
    alone: Arc<Mutex<()>>,
    limits: Starts,
    folder: PathBuf,
    again: Duration,
}

/// The right to start a VM; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _slot: Option<OwnedSemaphorePermit>,
    _alone: Option<OwnedMutexGuard<()>>,
}

/// What pressure means for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    AtOnce,
    OneByOne,
    Later,
}

fn verdict(pressure: Pressure, limits: &Starts) -> Verdict {
    let over = |share: f32, limit: u16| share > f32::from(limit);
    if over(pressure.memory, limits.memory_pressure) {
        Verdict::Later
    } else if over(pressure.cpu, limits.cpu_pressure) || over(pressure.io, limits.io_pressure) {
        Verdict::OneByOne
    } else {
        Verdict::AtOnce
    }
}

impl Admission {
    /// By these limits, on this host.
    pub(super) fn new(limits: Starts) -> Self {
        Self::by(limits, PathBuf::from(FOLDER))
    }

    fn by(limits: Starts, folder: PathBuf) -> Self {
        let usual = std::thread::available_parallelism().map_or(2, usize::from) * 2;
        let at_once = limits.at_once.map_or(usual, usize::from);
        Self {
            slots: Arc::new(Semaphore::new(at_once)),
            disks: Semaphore::new(at_once),
            alone: Arc::default(),
            limits,
            folder,
            again: AGAIN,
        }
    }

    /// Waits until another VM may be started.
    pub(super) async fn start(&self) -> Admitted {
        // The semaphore is never closed.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        let mut alone = None;
        for look in 0..=TIMES {
            match verdict(Pressure::read(&self.folder), &self.limits) {
                Verdict::AtOnce => break,
                Verdict::Later if look < TIMES => {
                    if look == 0 {
                        tracing::info!("a start waits: the host is short of memory.");
                    }
                    sleep(self.again).await;
                }
                Verdict::OneByOne | Verdict::Later => {
                    alone = Some(Arc::clone(&self.alone).lock_owned().await);
                    break;
                }
            }
        }
        Admitted {
            _slot: slot,
            _alone: alone,
        }
    }

    /// Waits until the disks of another VM may be made.
    pub(super) async fn disks(&self) -> Option<SemaphorePermit<'_>> {
        self.disks.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    /// A kernel that tells of such pressure, and who decides by it.
    fn host(at_once: u16) -> (tempfile::TempDir, Admission) {
        let folder = tempfile::tempdir().unwrap();
        let limits = Starts {
            at_once: Some(at_once),
            ..Starts::default()
        };
        let admission = Admission::by(limits, folder.path().to_owned());
        (folder, admission)
    }

    fn press(folder: &tempfile::TempDir, what: &str, share: &str) {
        let rest = "avg60=0.00 avg300=0.00 total=1";
        let all = if what == "memory" { share } else { "0.00" };
        let text = format!("some avg10={share} {rest}\nfull avg10={all} {rest}\n");
        std::fs::write(folder.path().join(what), text).unwrap();
    }

    #[tokio::test]
    async fn no_more_start_at_once_than_is_set() {
        let (_folder, admission) = host(2);
        let first = admission.start().await;
        let _second = admission.start().await;
        timeout(SOON, admission.start()).await.unwrap_err();
        drop(first);
        timeout(SOON, admission.start()).await.unwrap();
    }

    #[tokio::test]
    async fn under_pressure_they_start_one_by_one() {
        let (folder, admission) = host(4);
        let _before = admission.start().await;
        for what in ["cpu", "io"] {
            press(&folder, what, "90.00");
            let first = admission.start().await;
            assert!(timeout(SOON, admission.start()).await.is_err(), "{what}");
            press(&folder, what, "10.00");
            timeout(SOON, admission.start()).await.unwrap();
            drop(first);
        }
    }

    #[tokio::test]
    async fn short_of_memory_they_wait_but_not_for_good() {
        let (folder, mut admission) = host(4);
        press(&folder, "memory", "50.00");
        timeout(SOON, admission.start()).await.unwrap_err();
        admission.again = Duration::from_millis(1);
        admission.start().await;
        press(&folder, "memory", "0.00");
        admission.again = Duration::from_secs(3600);
        timeout(SOON, admission.start()).await.unwrap();
    }

    #[test]
    fn memory_counts_more_than_the_rest() {
        let limits = Starts::default();
        let of = |cpu, memory, io| verdict(Pressure { cpu, memory, io }, &limits);
        assert_eq!(of(0.0, 0.0, 0.0), Verdict::AtOnce);
        assert_eq!(of(80.0, 10.0, 60.0), Verdict::AtOnce);
        assert_eq!(of(80.1, 0.0, 0.0), Verdict::OneByOne);
        assert_eq!(of(0.0, 0.0, 61.0), Verdict::OneByOne);
        assert_eq!(of(99.0, 11.0, 99.0), Verdict::Later);
        let never = Starts {
            memory_pressure: 100,
            cpu_pressure: 100,
            io_pressure: 100,
            ..limits
        };
        let most = Pressure {
            cpu: 100.0,
            memory: 100.0,
            io: 100.0,
        };
        assert_eq!(verdict(most, &never), Verdict::AtOnce);
    }
}
