//! The serial console of a running VM: one broker process between its QEMU and whoever looks on.
//!
//! ```text
//!                    serial (root's folder)              console (root's folder)
//!   guest -- QEMU ------------------------> broker <------------------------ viewers (`seedbed console`)
//!            listens on a socket that         |  frames, see `frame`
//!            it was given opened              +--> console.log, console.log.1 (bounded)
//! ```
//!
//! The broker is connected before QEMU starts, so nothing of a boot is lost. It runs as the VM's user, with nothing but
//! four open files, and ends when QEMU does. The daemon has no part in what goes through it: its restart disturbs
//! nobody, and a guest's bytes are never looked at by it. QEMU goes on when a broker ends, and takes the next one.

pub mod client;
pub mod door;
pub mod files;
pub mod frame;
mod report;
mod scrollback;
pub mod serve;
mod viewer;
