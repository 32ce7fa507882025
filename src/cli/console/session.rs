//! One session: what the VM says goes to this terminal, what is typed here goes to the VM.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};

use super::raw::{Asked, RawMode, Signals, size, typed};
use super::record::Recorder;
use super::replay::Replay;
use super::{End, Failure, Options, Terminal};
use crate::console::client::{AttachError, Line};
use crate::console::frame::{self, Attach, FromViewer, Size, ToViewer, VERSION};

/// `^]`, which ends the session, as in telnet and virsh.
const DETACH: u8 = 0x1d;
/// `^C`, which ends one that has no other use for it.
const INTERRUPT: u8 = 0x03;
/// How much typed text may be on its way to a VM that does not listen.
const UNSENT: usize = 64 << 10;
/// How long a console may be without a broker: the daemon starts another one.
const ANEW: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(100);
/// How long what was typed before `^]` may take.
const FLUSH: Duration = Duration::from_secs(1);

/// A session at a console.
pub(super) struct Session<'a> {
    name: &'a str,
    path: PathBuf,
    attach: Attach,
    line: Line,
    replay: Option<Replay>,
    recorder: Option<Recorder>,
    terminal: &'a mut Terminal,
    keys: Option<Receiver<Vec<u8>>>,
    signals: Signals,
    raw: Option<RawMode>,
}

/// What became of one line to the broker.
enum Sat {
    /// The session is over.
    Ended(End),
    /// The line is, but not the VM.
    Lost,
}

impl<'a> Session<'a> {
    /// Attaches, and says so.
    pub(super) async fn open(
        name: &'a str,
        path: &Path,
        options: &Options,
        terminal: &'a mut Terminal,
    ) -> Result<Self, Failure> {
        let attach = Attach {
            version: VERSION,
            read_only: options.read_only,
            past: !options.no_scrollback,
            size: size(),
        };
        let line = Line::attach(path, attach)
            .await
            .map_err(|error| refused(name, path, error))?;
        let signals = Signals::new()?;
        // Only now: a console that can not be had leaves no recording of nothing.
        let recorder = options
            .record
            .as_deref()
            .map(|file| Recorder::create(file, name, line.welcome.size.or(attach.size)))
            .transpose()?;
        greet(name, (attach, line.welcome), terminal);
        Ok(Self {
            name,
            path: path.to_owned(),
            attach,
            line,
            replay: attach.size.map(|_| Replay::default()),
            recorder,
            terminal,
            signals,
            raw: RawMode::enter()?,
            keys: Some(typed()),
        })
    }

    /// Goes on until the VM ends, the user detaches, or a signal asks us to end.
    pub(super) async fn sit(&mut self) -> Result<End, Failure> {
        loop {
            match self.sit_at_line().await? {
                Sat::Ended(end) => return Ok(end),
                Sat::Lost => {
                    if let Some(end) = self.again().await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    async fn sit_at_line(&mut self) -> Result<Sat, Failure> {
        loop {
            let has_room = self.line.unsent() < UNSENT;
            tokio::select! {
                told = self.line.next() => match told {
                    Ok(Some(ToViewer::End(_))) => return Ok(Sat::Ended(End::Vm)),
                    Ok(Some(told)) => self.show(&told)?,
                    Ok(None) | Err(_) => return Ok(Sat::Lost),
                },
                bytes = next_of(&mut self.keys), if has_room => match bytes {
                    // Nothing more to send; what the VM says still counts.
                    None => self.keys = None,
                    Some(bytes) if self.type_keys(&bytes) => {
                        // What a broker that hangs does not take is no reason to stay.
                        drop(timeout(FLUSH, self.line.flush()).await);
                        return Ok(Sat::Ended(End::Detached));
                    }
                    Some(_) => {}
                },
                asked = self.signals.next() => match asked {
                    Asked::End => return Ok(Sat::Ended(End::Detached)),
                    Asked::Size => self.resized(),
                },
            }
        }
    }

    fn show(&mut self, told: &ToViewer) -> Result<(), Failure> {
        match told {
            ToViewer::Past(bytes) => match &mut self.replay {
                // Questions that were asked before get no answer from this terminal.
                Some(replay) => {
                    let bytes = replay.clean(bytes);
                    self.print(&bytes)
                }
                None => self.print(bytes),
            },
            ToViewer::Output(bytes) => {
                if let Some(begun) = self.replay.take().map(Replay::rest) {
                    self.print(&begun)?;
                }
                self.print(bytes)
            }
            ToViewer::Skipped(count) => {
                self.terminal.say(&format!(
                    "\r\n[{count} bytes left out: this terminal is too slow]\r"
                ));
                Ok(())
            }
            ToViewer::Resized(size) => match &mut self.recorder {
                Some(recorder) => recorder.resized(*size),
                None => Ok(()),
            },
            ToViewer::Welcome(_) | ToViewer::End(_) => Ok(()),
        }
    }

    fn print(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(recorder) = &mut self.recorder {
            recorder.output(bytes)?;
        }
        self.terminal.raw(bytes)
    }

    /// Sends what was typed; whether the session ends there.
    fn type_keys(&mut self, bytes: &[u8]) -> bool {
        let (send, detach) = until_detach(bytes, self.raw.is_some(), self.attach.read_only);
        if !self.attach.read_only && !send.is_empty() {
            self.line.send(&FromViewer::Keys(send.to_vec()));
        }
        detach
    }

    fn resized(&mut self) {
        if let Some(size) = size().filter(|size| self.attach.size != Some(*size)) {
            self.attach.size = Some(size);
            self.line.send(&FromViewer::Resized(size));
        }
    }

    /// Attaches again after the broker was lost; the session's end where it can not be.
    async fn again(&mut self) -> Result<Option<End>, Failure> {
        let attach = Attach {
            past: false,
            ..self.attach
        };
        let late = Instant::now() + ANEW;
        loop {
            tokio::select! {
                () = sleep(AGAIN) => {}
                asked = self.signals.next() => if asked == Asked::End {
                    return Ok(Some(End::Detached));
                },
            }
            match Line::attach(&self.path, attach).await {
                Ok(line) => {
                    self.line = line;
                    self.terminal
                        .say("\r\n[the console was interrupted, and goes on]\r");
                    return Ok(None);
                }
                Err(AttachError::Ended) => return Ok(Some(End::Vm)),
                Err(_) if Instant::now() < late => {}
                // Its sockets are gone, and so is the VM.
                Err(AttachError::Line(error)) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Some(End::Vm));
                }
                Err(error) => return Err(refused(self.name, &self.path, error)),
            }
        }
    }
}

/// What is typed next; never, once nothing follows.
async fn next_of(keys: &mut Option<Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

fn refused(name: &str, path: &Path, error: AttachError) -> Failure {
    match error {
        AttachError::Line(error) if error.kind() == ErrorKind::PermissionDenied => {
            Failure::io(format!("can not open the console {}", path.display()), &error)
        }
        AttachError::Line(error) => {
            Failure::refused(format!("can not open the console {}: {error}", path.display()))
                .hint("the daemon starts a console's broker that is missing: is it running?")
        }
        AttachError::Full => Failure::refused(format!("{name}'s console has as many viewers as it takes"))
            .hint(format!("follow what it says: seedbed log -f {name}")),
        AttachError::Ended => Failure::refused(format!("{name} has just been powered off")),
    }
}

/// Says where one is and how to leave, and what there is to know about it.
fn greet(name: &str, (attach, welcome): (Attach, frame::Welcome), terminal: &mut Terminal) {
    terminal.say(&if attach.read_only {
        format!("Watching {name}: nothing typed here reaches it. Detach with ^]")
    } else {
        format!("Connected to {name}. Detach with ^]")
    });
    let Some(own) = attach.size else { return };
    if welcome.others > 0 {
        terminal.say(&format!("Others who look on: {}", welcome.others));
    }
    if let Some(hint) = hint(own, welcome.size, attach.read_only) {
        terminal.say(&hint);
    }
}

/// A serial port has no size of its own: what to do where that of this terminal is not what the VM takes it for.
fn hint(own: Size, used: Option<Size>, read_only: bool) -> Option<String> {
    const USUAL: Size = Size {
        rows: 24,
        columns: 80,
    };
    let of = |size: Size| format!("{} columns and {} rows", size.columns, size.rows);
    match used {
        Some(used) if read_only && (own.rows < used.rows || own.columns < used.columns) => Some(format!(
            "It is used on a terminal of {}; this one has {}",
            of(used),
            of(own)
        )),
        _ if read_only || own == USUAL => None,
        _ => Some(format!(
            "A shell there is told this terminal's size by `stty rows {} cols {}`",
            own.rows, own.columns
        )),
    }
}

/// What of it goes to the VM, and whether the session ends there. Only a terminal can detach; a file is only data.
fn until_detach(bytes: &[u8], terminal: bool, read_only: bool) -> (&[u8], bool) {
    let ends = |byte: &u8| *byte == DETACH || read_only && *byte == INTERRUPT;
    match bytes.iter().position(ends) {
        Some(end) if terminal => (bytes.get(..end).unwrap_or_default(), true),
        _ => (bytes, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detach_key_ends_the_session_on_a_terminal_only() {
        assert_eq!(until_detach(b"ls\n", true, false), (&b"ls\n"[..], false));
        assert_eq!(until_detach(b"ls\x1dmore", true, false), (&b"ls"[..], true));
        assert_eq!(
            until_detach(b"ls\x1dmore", false, false),
            (&b"ls\x1dmore"[..], false)
        );
        // ^C goes to the VM, where it can.
        assert_eq!(until_detach(b"a\x03b", true, false), (&b"a\x03b"[..], false));
        assert_eq!(until_detach(b"a\x03b", true, true), (&b"a"[..], true));
    }

    #[test]
    fn who_types_is_told_how_to_tell_the_size_and_who_watches_whether_all_is_seen() {
        let small = Size {
            rows: 24,
            columns: 80,
        };
        let large = Size {
            rows: 40,
            columns: 120,
        };
        assert_eq!(hint(small, None, false), None);
        assert!(
            hint(large, Some(small), false)
                .unwrap()
                .contains("`stty rows 40 cols 120`")
        );
        assert_eq!(hint(large, Some(small), true), None);
        assert_eq!(hint(small, None, true), None);
        assert!(
            hint(small, Some(large), true)
                .unwrap()
                .contains("120 columns and 40 rows")
        );
    }
}
