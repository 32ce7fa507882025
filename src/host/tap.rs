//! Taps: the host's end of a VM's network card, made with `TUNSETIFF` because netlink can not make them.
//!
//! A tap is not persistent: it is as alive as its file descriptor, which first the daemon holds and then QEMU. When the
//! last of them dies the kernel removes the interface, so no crash leaves one behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, opcode};

use super::HostError;
use crate::model::TapName;

const DEVICE: &str = "/dev/net/tun";

/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);
const IFF_TAP: i16 = 0x0002;
/// Frames without the four bytes of `struct tun_pi` in front.
const IFF_NO_PI: i16 = 0x1000;
/// Frames with a `struct virtio_net_hdr` in front: the offloads of virtio-net need it.
const IFF_VNET_HDR: i16 = 0x4000;

/// `struct ifreq` of `linux/if.h` as `TUNSETIFF` reads it: a name, the flags, and the rest of the union.
#[repr(C, align(8))]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// A tap that exists as long as this value, or the file descriptor it is turned into.
#[derive(Debug)]
pub struct Tap(File);

impl Tap {
    /// Makes the tap, down and attached to nothing. Its frames carry a virtio-net header of 10 octets; QEMU, given the
    /// file descriptor, asks the kernel for that (`TUNGETIFF`) and takes no `vnet_hdr=` option beside `fd=`.
    pub fn create(name: &TapName) -> Result<Self, HostError> {
        let refused = |source: io::Error| HostError::Tap {
            tap: name.to_string(),
            why: reason(&source),
            source,
        };
        // std opens files with O_CLOEXEC: only the QEMU it is meant for inherits the tap.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEVICE)
            .map_err(refused)?;
        set_interface(&file, name).map_err(|errno| refused(errno.into()))?;
        Ok(Self(file))
    }

    /// The file descriptor, close-on-exec, to be given to QEMU.
    pub fn into_fd(self) -> OwnedFd {
        self.0.into()
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[expect(
    unsafe_code,
    reason = "TUNSETIFF is the only way to make a tap, and no crate wraps it safely"
)]
fn set_interface(file: &File, tap: &TapName) -> Result<(), Errno> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
        rest: [0; 22],
    };
    // A tap name has at most 15 octets, so the last one stays the terminating zero.
    for (to, from) in request.name.iter_mut().zip(tap.as_str().bytes().take(15)) {
        *to = from;
    }
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`. `InterfaceRequest` is at least as large on every Linux
    // (40 octets on 64 bit, 32 on 32 bit), has its layout, and lives until the call returns.
    unsafe { rustix::ioctl::ioctl(file, Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request)) }
}

fn reason(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::BUSY) => {
            "it exists and another process holds it; end that process (`ip -d link show` and `fuser /dev/net/tun` tell \
             which), or register the VM under another name"
        }
        Some(Errno::INVAL) => {
            "an interface of that name exists and is no tap of this kind; remove or rename it"
        }
        Some(Errno::PERM | Errno::ACCESS) => "root or CAP_NET_ADMIN is needed",
        Some(Errno::NOENT | Errno::NXIO | Errno::NODEV) => {
            "/dev/net/tun does not work here; load the kernel module with `modprobe tun`"
        }
        _ => "the kernel refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::namespace;

    #[test]
    fn a_tap_vanishes_with_its_last_descriptor() {
        namespace::inside(
            "host::tap::tests::a_tap_vanishes_with_its_last_descriptor",
            async |host| {
                let name: TapName = "tap-web1".parse().unwrap();
                let fd = Tap::create(&name).unwrap().into_fd();
                assert!(
                    rustix::io::fcntl_getfd(&fd)
                        .unwrap()
                        .contains(rustix::io::FdFlags::CLOEXEC)
                );
                host.index_of("tap-web1").await.unwrap();
                drop(fd);
                let gone = host.index_of("tap-web1").await.unwrap_err().to_string();
                assert!(gone.contains("no interface `tap-web1`"), "{gone}");
            },
        );
    }

    #[test]
    fn a_tap_that_someone_holds_is_refused_in_words() {
        namespace::inside(
            "host::tap::tests::a_tap_that_someone_holds_is_refused_in_words",
            async |_| {
                let name: TapName = "tap-web1".parse().unwrap();
                let _held = Tap::create(&name).unwrap();
                let error = Tap::create(&name).unwrap_err().to_string();
                assert!(
                    error.contains("`tap-web1`") && error.contains("another process holds it"),
                    "{error}"
                );
            },
        );
    }
}
