//! Starting a confined process.
//!
//! What confines is inherited from the thread that starts a process. That thread is made for it and ends with it, because it is
//! confined as well; the daemon itself is not.

use std::io;
use std::sync::Once;

use landlock::RulesetStatus;
use rustix::thread::UnshareFlags;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::Confinement;

/// Starts a process in a session of its own, confined. Cancelled, it leaves none behind.
pub(in crate::machine) async fn spawn(mut command: Command, confinement: Confinement) -> io::Result<Child> {
    let runtime = Handle::current();
    #[expect(
        unsafe_code,
        reason = "the standard library has no stable way to begin a session"
    )]
    // SAFETY: between fork and exec, setsid(2) touches no memory and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?));
    }
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("confined".to_owned())
        .spawn(move || {
            let _entered = runtime.enter();
            let child = enter(&confinement).and_then(|()| command.spawn());
            if let Err(Ok(child)) = sender.send(child) {
                give_up(child);
            }
        })?;
    let mut started = Started(receiver);
    (&mut started.0)
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the thread that starts it ended early")))
}

/// A process that is being started; nobody waits for it any more when this is dropped.
struct Started(oneshot::Receiver<io::Result<Child>>);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.close();
        if let Ok(Ok(child)) = self.0.try_recv() {
            give_up(child);
        }
    }
}

fn give_up(mut child: Child) {
    if let Err(error) = child.start_kill() {
        tracing::warn!(%error, "a process that nobody waits for could not be killed");
    }
}

/// Confines this thread, as far as the kernel can, and says once where it can not.
fn enter(confinement: &Confinement) -> io::Result<()> {
    static NAMESPACES: Once = Once::new();
    static LANDLOCK: Once = Once::new();
    #[expect(
        deprecated,
        reason = "sound for the namespaces of a thread of its own, and the replacement is unsafe"
    )]
    let unshared = rustix::thread::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWIPC);
    if let Err(error) = unshared {
        NAMESPACES.call_once(|| {
            tracing::warn!(
                "QEMU runs without a network namespace of its own, which this host does not allow: {error}."
            );
        });
    }
    let applied = confinement.enter().map_err(io::Error::other)?;
    if applied == RulesetStatus::NotEnforced {
        LANDLOCK.call_once(|| {
            tracing::warn!("QEMU runs without Landlock, which this kernel does not have: its user alone keeps it from other files.");
        });
    }
    Ok(())
}
