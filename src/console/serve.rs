//! The broker: one thread that waits for a guest and its viewers at once, and for none of them alone.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

use super::files::{Files, LONGEST, Log};
use super::frame::{Attach, End, FromViewer, Size, ToViewer, VERSION, Welcome};
use super::report::is_report;
use super::scrollback::Scrollback;
use super::viewer::Viewer;

/// How much of what the guest said a viewer gets at first, and may be behind.
const PAST: usize = 128 << 10;
/// How much may wait for a guest that does not listen, before viewers have to.
const KEYS: usize = 16 << 10;
/// How many viewers there may be.
const VIEWERS: usize = 16;
/// How long viewers may take to hear the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// All that a broker has.
#[derive(Debug)]
pub struct Parts {
    /// The guest's serial port.
    pub guest: UnixStream,
    /// Where viewers come.
    pub door: UnixListener,
    /// Where all is written that the guest says.
    pub log: Files,
}

/// The broker of one VM.
#[derive(Debug)]
pub struct Broker {
    guest: UnixStream,
    door: UnixListener,
    log: Log,
    past: Scrollback,
    keys: VecDeque<u8>,
    viewers: Vec<Viewer<UnixStream>>,
    /// Which viewer typed or came last, of those that type: its terminal answers the guest.
    keyboard: Option<usize>,
    size: Option<Size>,
}

impl Broker {
    /// A broker that begins with what the log has.
    pub fn new(parts: Parts) -> io::Result<Self> {
        parts.guest.set_nonblocking(true)?;
        parts.door.set_nonblocking(true)?;
        let log = Log::new(parts.log, LONGEST)?;
        let mut past = Scrollback::new(PAST);
        past.push(&log.tail(PAST));
        Ok(Self {
            guest: parts.guest,
            door: parts.door,
            log,
            past,
            keys: VecDeque::new(),
            viewers: Vec::new(),
            keyboard: None,
            size: None,
        })
    }

    /// Goes on until the guest's QEMU ends.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            let happened = |index: usize| ready.get(index).is_some_and(|events| !events.is_empty());
            if happened(0) && !self.hear_guest() {
                break;
            }
            // By their numbers of before: newcomers are at the end, and who is gone is taken out last.
            let gone: Vec<bool> = (0..self.viewers.len())
                .map(|index| happened(index + 2) && !self.hear_viewer(index))
                .collect();
            self.type_keys();
            if happened(1) {
                self.welcome();
            }
            self.tell(&gone);
        }
        self.farewell();
        Ok(())
    }

    /// Waits until something happens: to the guest, at the door, to each viewer.
    fn wait(&self) -> io::Result<Vec<PollFlags>> {
        let mut guest = PollFlags::IN;
        guest.set(PollFlags::OUT, !self.keys.is_empty());
        let mut polled = vec![
            PollFd::from_borrowed_fd(self.guest.as_fd(), guest),
            PollFd::from_borrowed_fd(self.door.as_fd(), PollFlags::IN),
        ];
        let has_room = self.keys.len() < KEYS;
        for viewer in &self.viewers {
            let mut events = PollFlags::empty();
            events.set(PollFlags::IN, has_room || !viewer.types());
            events.set(PollFlags::OUT, viewer.is_owed(&self.past));
            polled.push(PollFd::from_borrowed_fd(viewer.stream().as_fd(), events));
        }
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(polled.iter().map(PollFd::revents).collect()),
        }
    }

    /// Takes what the guest says; whether it is still there.
    fn hear_guest(&mut self) -> bool {
        let mut part = [0; 16 << 10];
        match self.guest.read(&mut part) {
            Ok(0) => false,
            Ok(count) => {
                let bytes = part.get(..count).unwrap_or_default();
                self.log.write(bytes);
                self.past.push(bytes);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    /// Hands the guest what was typed, as far as it takes it.
    fn type_keys(&mut self) {
        while !self.keys.is_empty() {
            match self.guest.write(self.keys.as_slices().0) {
                Ok(count @ 1..) => drop(self.keys.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // That the guest is gone is seen where it is heard.
                _ => return,
            }
        }
    }

    fn welcome(&mut self) {
        // One that has gone away again is nothing to end for.
        let Ok((stream, _)) = self.door.accept() else {
            return;
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut viewer = Viewer::new(stream);
        if self.viewers.len() >= VIEWERS {
            viewer.end(End::Full);
            drop(viewer.pump(&self.past));
        } else {
            self.viewers.push(viewer);
        }
    }

    /// Takes what a viewer says; whether it is still there.
    fn hear_viewer(&mut self, index: usize) -> bool {
        let Some(heard) = self.viewers.get_mut(index).map(Viewer::hear) else {
            return false;
        };
        for said in heard.said {
            match said {
                FromViewer::Attach(attach) => self.attach(index, attach),
                FromViewer::Keys(bytes) => self.typed(index, &bytes),
                FromViewer::Resized(size) => {
                    if let Some(viewer) = self.viewers.get_mut(index) {
                        viewer.has_size(size);
                    }
                    if self.keyboard == Some(index) {
                        self.used_by(index);
                    }
                }
            }
        }
        heard.there
    }

    fn attach(&mut self, index: usize, attach: Attach) {
        let attached = self.viewers.iter().filter(|viewer| viewer.attached().is_some());
        let welcome = Welcome {
            version: VERSION,
            others: u16::try_from(attached.count()).unwrap_or(u16::MAX),
            size: self.size,
        };
        let Some(viewer) = self
            .viewers
            .get_mut(index)
            .filter(|viewer| viewer.attached().is_none())
        else {
            return;
        };
        viewer.let_in(attach, &self.past, &ToViewer::Welcome(welcome));
        if attach.size.is_some() && !attach.read_only {
            self.used_by(index);
        }
    }

    fn typed(&mut self, index: usize, bytes: &[u8]) {
        let types = self.viewers.get(index).is_some_and(Viewer::types);
        let answers = self.keyboard != Some(index) && is_report(bytes);
        if types && !answers {
            self.keys.extend(bytes);
            self.used_by(index);
        }
    }

    /// The guest is used from this viewer's terminal.
    fn used_by(&mut self, index: usize) {
        self.keyboard = Some(index);
        let attach = self.viewers.get(index).and_then(Viewer::attached);
        let size = attach.and_then(|attach| attach.size);
        if let Some(size) = size.filter(|size| self.size != Some(*size)) {
            self.size = Some(size);
            let others = self.viewers.iter_mut().enumerate();
            others
                .filter(|(other, _)| *other != index)
                .for_each(|(_, viewer)| viewer.tell_size(size));
        }
    }

    /// Sends to everybody what it is owed, and takes out who is gone.
    fn tell(&mut self, gone: &[bool]) {
        let keyboard = self.keyboard.take();
        let mut stay = Vec::with_capacity(self.viewers.len());
        for (index, mut viewer) in self.viewers.drain(..).enumerate() {
            let is_gone = gone.get(index).copied().unwrap_or_default();
            if !is_gone && viewer.pump(&self.past).is_ok() {
                if keyboard == Some(index) {
                    self.keyboard = Some(stay.len());
                }
                stay.push(viewer);
            }
        }
        self.viewers = stay;
    }

    /// Says what is left, and that it is the end; not for long.
    fn farewell(&mut self) {
        let until = Instant::now() + FAREWELL;
        self.viewers.iter_mut().for_each(|viewer| viewer.end(End::Vm));
        loop {
            self.viewers
                .retain_mut(|viewer| viewer.pump(&self.past).is_ok() && viewer.is_owed(&self.past));
            let rest = until.saturating_duration_since(Instant::now());
            let Some(rest) = Timespec::try_from(rest)
                .ok()
                .filter(|_| !rest.is_zero() && !self.viewers.is_empty())
            else {
                return;
            };
            let owed = self.viewers.iter();
            let mut polled: Vec<_> = owed
                .map(|viewer| PollFd::from_borrowed_fd(viewer.stream().as_fd(), PollFlags::OUT))
                .collect();
            if poll(&mut polled, Some(&rest)).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
