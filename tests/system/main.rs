//! The real thing in namespaces: real daemon, real clients, real QEMU guests.
//!
//! Needs root, and the packages that `contrib/test` installs. Without root every test says so and passes, because Rust's
//! test runner has no way to skip.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that can not go on fails, and says what it measured"
)]

mod accounts;
mod agents;
mod check;
mod clones;
mod cloud_init;
mod console;
mod dhcp;
mod disks;
mod dns;
mod downloads;
mod first_boot;
mod foreign_clients;
mod generations;
mod guests;
mod honest_images;
mod hostile_http;
mod hostile_images;
mod install;
mod lab;
mod launcher;
mod legacy;
mod lifecycle;
mod merging;
mod names;
mod nat;
mod netboot;
mod nics;
mod offline;
mod offline_view;
mod others;
mod policies;
mod power;
mod quickstart;
mod recovery;
mod refusals;
mod releases;
mod replacing;
mod restart;
mod scale;
mod secrets;
mod seed_devices;
mod shape;
mod site_vendor_data;
mod snapshots;
mod template_scripts;
mod templates;
mod turn;
mod twenty;
mod undo;
mod user_data;
mod workshop;

/// Whether namespaces can be made here; says why a test is skipped when they can not, or fails where they have to be.
fn root() -> bool {
    let root = std::process::Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    let required = std::env::var_os("SEEDBED_REQUIRE_ROOT").is_some();
    assert!(
        root || !required,
        "this test needs root for namespaces, and contrib/test runs it as root"
    );
    if !root {
        lab::say("skipped: needs root for namespaces; run sudo contrib/test");
    }
    root
}
