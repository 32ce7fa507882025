//! `seedbed console`: a VM's serial port on this terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::context::Context;
use super::failure::Failure;
use super::terminal::Terminal;

/// `^]`, which ends the session, as in telnet and virsh.
const DETACH: u8 = 0x1d;

/// Attach to a VM's serial console
///
/// Detach with ^]. Where standard input is no terminal, what it holds is sent, and what the VM says is printed until it
/// is powered off.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  seedbed console web1")]
pub(super) struct Args {
    /// The VM
    name: String,
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
    session(&args.name, context, terminal).map(|_| ())
}

/// Puts a VM's console on this terminal until one of them ends.
pub(super) fn session(name: &str, context: &Context, terminal: &mut Terminal) -> Result<End, Failure> {
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
    let _only_one = attach(&vm.name, &path)?;
    context.block_on(async {
        let serial = UnixStream::connect(&path)
            .await
            .map_err(|error| Failure::io(format!("can not open the console {}", path.display()), &error))?;
        terminal.say(&format!("Connected to {}. Detach with ^]", vm.name));
        let ended = attached(serial, &path, terminal).await;
        // The VM left the cursor anywhere.
        terminal.say(&format!("\nDetached from {}", vm.name));
        ended
    })
}

/// Keeps a second console out: QEMU hands the serial port to one at a time, and lets the next wait without a word.
fn attach(name: &str, serial: &Path) -> Result<File, Failure> {
    let path = serial.with_extension("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .map_err(|error| Failure::io(format!("can not open {}", path.display()), &error))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(_) => Err(
            Failure::refused(format!("another console is attached to {name}")).hint(format!(
                "detach it with ^], or follow what {name} says: seedbed log -f {name}"
            )),
        ),
    }
}

/// Copies both ways until the VM's end closes, the user detaches, or a signal asks us to end.
async fn attached(serial: UnixStream, path: &Path, terminal: &mut Terminal) -> Result<End, Failure> {
    let broken = |error: &io::Error| Failure::io(format!("the console {} broke off", path.display()), error);
    let mut signals = Signals::new().map_err(|error| Failure::io("can not watch for signals", &error))?;
    let raw = RawMode::enter()?;
    let (mut from_vm, mut to_vm) = serial.into_split();
    let mut keys = typed();
    let mut typing = true;
    let mut part = vec![0; 16 << 10];
    loop {
        tokio::select! {
            read = from_vm.read(&mut part) => match part.get(..read.map_err(|error| broken(&error))?) {
                Some(bytes) if !bytes.is_empty() => terminal.raw(bytes)?,
                _ => return Ok(End::Vm),
            },
            bytes = keys.recv(), if typing => match bytes {
                // Nothing more to send; what the VM says still counts.
                None => typing = false,
                Some(bytes) => {
                    let (send, detach) = until_detach(&bytes, raw.is_some());
                    to_vm.write_all(send).await.map_err(|error| broken(&error))?;
                    if detach {
                        return Ok(End::Detached);
                    }
                }
            },
            () = signals.any() => return Ok(End::Detached),
        }
    }
}

/// What of it goes to the VM, and whether the session ends there. Only a terminal can detach; a file is only data.
fn until_detach(bytes: &[u8], terminal: bool) -> (&[u8], bool) {
    match bytes.iter().position(|byte| *byte == DETACH) {
        Some(end) if terminal => (bytes.get(..end).unwrap_or_default(), true),
        _ => (bytes, false),
    }
}

/// What is typed, read by a thread of its own: a read from a terminal can not be taken back, so nobody waits for it.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut part = vec![0; 4 << 10];
        while let Ok(count @ 1..) = io::stdin().read(&mut part) {
            let bytes = part.get(..count).unwrap_or_default().to_vec();
            if sender.blocking_send(bytes).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The signals that would otherwise end us with the terminal still raw.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.hang_up.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

/// A terminal on standard input that passes every key on, until this is dropped.
struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Enters raw mode, where standard input is a terminal.
    fn enter() -> Result<Option<Self>, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let failed = |errno: rustix::io::Errno| Failure::io("can not set up the terminal", &errno.into());
        let before = tcgetattr(io::stdin().as_fd()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detach_key_ends_the_session_on_a_terminal_only() {
        assert_eq!(until_detach(b"ls\n", true), (&b"ls\n"[..], false));
        assert_eq!(until_detach(b"ls\x1dmore", true), (&b"ls"[..], true));
        assert_eq!(until_detach(b"ls\x1dmore", false), (&b"ls\x1dmore"[..], false));
    }
}
