//! Whether a VM that ended is started again, and how soon. Pure.
//!
//! A VM that ends again and again is started after pauses that double, as systemd's `RestartSteps=` does it, and after
//! [`MOST`] starts of which none held for [`STEADY`] it is left alone, as by `StartLimitBurst=`.

use std::time::Duration;

use crate::model::policy::Restart;

/// A VM that ran for so long has started well: what comes then is a new beginning.
pub const STEADY: Duration = Duration::from_secs(600);
/// How many times a VM is started again, one after the other, before it is left alone.
pub const MOST: u32 = 8;
/// The first pause, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How a VM came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Someone asked for it: by a command, or by a signal to its QEMU.
    Asked,
    /// Its guest powered itself off.
    ByGuest,
    /// Its QEMU ended with an error, or could not be started.
    Failed,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It stays as it is.
    Stay,
    /// It is started again after this pause.
    Start(Duration),
    /// It is left alone, after so many starts.
    GiveUp(u32),
}

/// What is done about a VM of this policy that ended so, after it was started again so many times of which none held.
pub fn next(policy: Restart, end: End, starts: u32) -> Next {
    let wanted = match end {
        End::Asked => false,
        End::ByGuest => policy == Restart::Always,
        End::Failed => policy != Restart::No,
    };
    if !wanted {
        Next::Stay
    } else if starts >= MOST {
        Next::GiveUp(starts)
    } else {
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(starts));
        Next::Start(pause.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_policy_says_which_ends_are_mended() {
        for (policy, end, again) in [
            (Restart::No, End::Failed, false),
            (Restart::No, End::ByGuest, false),
            (Restart::OnFailure, End::Failed, true),
            (Restart::OnFailure, End::ByGuest, false),
            (Restart::Always, End::Failed, true),
            (Restart::Always, End::ByGuest, true),
            (Restart::Always, End::Asked, false),
        ] {
            let is = matches!(next(policy, end, 0), Next::Start(_));
            assert_eq!(is, again, "{policy:?} {end:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_then_it_is_left_alone() {
        let pauses: Vec<_> = (0..MOST)
            .map(|starts| match next(Restart::Always, End::Failed, starts) {
                Next::Start(pause) => pause.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(next(Restart::Always, End::Failed, MOST), Next::GiveUp(MOST));
    }

    proptest! {
        #[test]
        fn a_pause_is_never_shorter_than_the_one_before_and_starts_end(starts in any::<u32>(), always in any::<bool>()) {
            let policy = if always { Restart::Always } else { Restart::OnFailure };
            match (next(policy, End::Failed, starts), next(policy, End::Failed, starts.saturating_add(1))) {
                (Next::Start(one), Next::Start(other)) => prop_assert!(one <= other && other <= LONGEST && one >= FIRST),
                (Next::Start(_), Next::GiveUp(_)) => prop_assert_eq!(starts + 1, MOST),
                (Next::GiveUp(_), Next::GiveUp(_)) => prop_assert!(starts >= MOST),
                other => prop_assert!(false, "{:?}", other),
            }
            prop_assert_eq!(next(policy, End::Asked, starts), Next::Stay);
        }
    }
}
