//! Gives memory back to the system that was needed only for a moment.
//!
//! A roster of 50,000 rows is a request, its rows, the records and their documents, and a list of them is as long: three
//! times what stays. The allocator of glibc keeps what is freed below what stays, for the next such request, which may
//! come next year.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often. A look at what is free takes a fraction of a millisecond.
const EVERY: Duration = Duration::from_secs(5);

/// Gives back what the start, changes and long answers left, until it is told to stop.
pub(super) async fn keep(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => give_back(),
        }
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    #[expect(unsafe_code, reason = "no safe crate offers malloc_trim")]
    // SAFETY: malloc_trim(3) takes the allocator's own locks and touches only what is free.
    let _released: i32 = unsafe { libc::malloc_trim(0) };
}

/// Other C libraries' allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
const fn give_back() {}
