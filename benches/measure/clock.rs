//! The machine's monotonic clock and this program's own use of CPU, in nanoseconds.

/// Now, since some fixed point in the past.
pub(crate) fn now() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// The CPU time that all threads of this process have used.
pub(crate) fn cpu() -> u64 {
    nanoseconds(libc::CLOCK_PROCESS_CPUTIME_ID)
}

#[expect(
    unsafe_code,
    reason = "rustix has it behind a feature that nothing else here needs"
)]
fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of ours; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
