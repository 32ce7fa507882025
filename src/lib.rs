//! Seedbed turns one Linux host with a bridge into a small cloud: register a VM once, and identical clones of one base
//! image configure themselves at first boot.
//!
//! # Map, in reading order
//!
//! | module | what it is |
//! |---|---|
//! | [`model`] | the nouns: names, addresses, VMs, images, the [`model::Directory`]; no I/O |
//! | [`config`] | what the operator wrote, and what the daemon runs with |
//! | [`registry`] | the only writer of truth: every change is committed to disk, then published as a new directory |
//! | [`dhcp`], [`dns`], [`metadata`] | what guests talk to: each answers from the directory and reports events |
//! | [`net`] | many datagrams by one system call, for those three |
//! | [`seed`] | the documents of one VM, rendered from `seed-templates/` |
//! | [`export`] | the directory as files: hosts, `known_hosts` |
//! | [`ssh`] | asks an SSH server who it is |
//! | [`ladder`] | events in, boot rungs out |
//! | [`image`] | base images: inspected, hashed, cloned, built |
//! | [`offline`] | a disk that no guest runs on: looked into and changed without being booted |
//! | [`machine`] | one QEMU: its command line, its monitor, its life |
//! | [`console`] | its serial console: the broker, and what it speaks with those who look on |
//! | [`host`] | this machine: bridges, taps, firewall tables, neighbours |
//! | [`control`] | the admin API: the vocabulary that command line and daemon share |
//! | [`daemon`] | the composition root |
//! | [`cli`] | one verb a file |
//! | [`telemetry`] | where logs go |
//!
//! # Invariants
//!
//! 1. A pure file never reads a clock, a file, a socket or an environment variable; I/O stands only in files named
//!    for it and under `host/`, `daemon/`, `cli/`, `registry/`, `net/` (`tests/layering.rs` enforces it, and who imports whom).
//! 2. The registry has one writer; readers hold an `Arc` of the directory and never wait.
//! 3. A reply to a guest never waits for a disk: a registered VM's address was committed when it was registered.
//! 4. A guest is known by network and address it speaks from, checked by the tap's filter and the kernel's neighbour
//!    table, and never by anything it says.
//! 5. Stored forms, control forms and file forms are three types; `model` derives no serde for any of them.
//! 6. A tap belongs to the QEMU process that uses it and goes with it; whoever is killed, no tap stays.
//! 7. Clearing away never stops at the first error; start-up always does.
//! 8. Restarting the daemon never disturbs a running guest.
//! 9. An error is logged once, where it is handled, and names the thing and the path.
//!
//! # Three walks
//!
//! **A DHCPDISCOVER.** `dhcp::socket` receives it on the bridge's socket; `dhcp::wire` turns the bytes into a request or
//! drops them; `dhcp::answer` decides, from the directory alone; the socket sends the frame and passes the event on.
//!
//! **A GET of `/nocloud/meta-data`.** `metadata::serve` accepts it on the gateway address and asks the kernel which
//! hardware address the caller has; `metadata::answer` finds the VM that owns both, and `seed` renders its documents.
//!
//! **`seedbed launch web1`.** `cli::launch` sends one `control::Request`; `daemon::launch` commits the record, has
//! `image::store` clone the disks, and `daemon::machines` makes tap, rules and neighbour entry before `machine::supervise`
//! starts QEMU. A failure undoes it newest first; a kill is undone by `daemon::recover` at the next start.

pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod daemon;
pub mod dhcp;
pub mod dns;
pub mod export;
pub mod fetch;
pub mod host;
pub mod image;
pub mod ladder;
pub mod machine;
pub mod metadata;
pub mod model;
pub mod net;
pub mod offline;
pub mod registry;
pub mod seed;
pub mod ssh;
pub mod telemetry;
