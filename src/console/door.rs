//! Starting a broker: what it gets is opened here, by root, and handed over; it can open nothing itself.

use std::fs::{self, DirBuilder};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::process::{Child, Command};

use super::files::Files;
use super::serve::{Broker, Parts};
use crate::image::FileError;
use crate::image::files::at;
use crate::model::{Places, VmName};

/// The hidden subcommand that is a broker. The path of the socket for viewers follows it, by which it is found.
pub const VERB: &str = "console-broker";

/// How many open files it is handed.
const HANDED: usize = 4;

/// Makes a new log and an empty folder of sockets for a VM that is about to start, and returns the socket that its QEMU is to
/// listen on.
///
/// The folder is root's alone: a guest that took its QEMU over can not put another socket into the place of these.
pub fn prepare(places: &Places, name: &VmName) -> Result<OwnedFd, FileError> {
    clear(places, name)?;
    let folder = places.console_sockets(name);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(at("creating", &folder))?;
    Files::create(places, name)?;
    let serial = places.serial(name);
    let listener = UnixListener::bind(&serial).map_err(at("listening at", &serial))?;
    Ok(listener.into())
}

/// Removes a VM's sockets; that there are none is no error.
pub fn clear(places: &Places, name: &VmName) -> Result<(), FileError> {
    let folder = places.console_sockets(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(at("removing", &folder)),
    }
}

/// Starts a broker as this user, connected to a VM's serial port. A QEMU that does not run yet takes the connection when it does.
pub fn start(places: &Places, name: &VmName, uid: u32) -> Result<Child, FileError> {
    let (serial, console) = (places.serial(name), places.console(name));
    let guest = connect(&serial).map_err(at("connecting to", &serial))?;
    match fs::remove_file(&console) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(at("removing", &console))?,
    }
    let door = UnixListener::bind(&console).map_err(at("listening at", &console))?;
    let log = Files::open(places, name)?;
    let failed = "starting the console's broker for";
    let (ours, theirs) = UnixStream::pair().map_err(at(failed, &console))?;
    let child = execute(&console, theirs.into(), uid).map_err(at(failed, &console))?;
    let handed = [guest, door.into(), log.current.into(), log.before.into()];
    hand_over(&ours, &handed).map_err(at(failed, &console))?;
    Ok(child)
}

/// Connects without waiting for room in the queue of a QEMU that does not accept.
fn connect(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn execute(console: &Path, stdin: OwnedFd, uid: u32) -> io::Result<Child> {
    // This very program, even where its file was replaced meanwhile.
    Command::new("/proc/self/exe")
        .arg0("seedbed")
        .arg(VERB)
        .arg(console)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .uid(uid)
        .gid(uid)
        .spawn()
}

fn hand_over(to: &UnixStream, handed: &[OwnedFd; HANDED]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    let files = handed.each_ref().map(|file| file.as_fd());
    if !message.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(to, &[IoSlice::new(b"!")], &mut message, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Is a broker, with what is handed over on standard input, until the guest's QEMU ends.
pub fn run() -> io::Result<()> {
    // Nor can a guest that took its QEMU over look into it, or change what it does: they have one user.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0];
    let mut words = [IoSliceMut::new(&mut word)];
    rustix::net::recvmsg(io::stdin(), &mut words, &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let files = message.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect(),
        _ => Vec::new(),
    });
    let handed: Result<[OwnedFd; HANDED], _> = files.collect::<Vec<_>>().try_into();
    let [guest, door, current, before] = handed.map_err(|_| io::ErrorKind::InvalidInput)?;
    let log = Files {
        current: current.into(),
        before: before.into(),
    };
    let parts = Parts {
        guest: guest.into(),
        door: door.into(),
        log,
    };
    Broker::new(parts)?.run()
}
