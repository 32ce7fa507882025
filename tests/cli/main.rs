//! The command line, run as a user runs it: the real binary against a daemon that answers by script.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::assigning_clones,
    reason = "a test that can not go on panics, and says where"
)]

mod accounts;
mod answers;
mod check;
mod clone;
mod console;
mod download;
mod failures;
mod fake;
mod hostile;
mod launch;
mod life;
mod login;
mod networks;
mod render;
mod roster;
mod snapshots;
mod templates;
mod texts;
mod undo;
mod user_data;
