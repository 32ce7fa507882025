//! The rules of the limiter.

use super::*;
use proptest::prelude::*;

fn address(last: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a4d_0000 | last).into()
}

fn answered(limiter: &mut Limiter, source: IpAddr, count: u32, now: Duration) -> u32 {
    let answers = (0..count).filter(|_| limiter.take(source, now) == Verdict::Answer);
    u32::try_from(answers.count()).unwrap()
}

#[test]
fn n06_a_burst_is_answered_and_then_so_many_a_second() {
    let mut limiter = Limiter::default();
    let second = Duration::from_secs(1);
    assert_eq!(answered(&mut limiter, address(9), 1_000, second), BURST);
    assert_eq!(answered(&mut limiter, address(9), 1_000, 2 * second), RATE);
    assert_eq!(
        answered(&mut limiter, address(9), 1_000, second / 2 + 2 * second),
        RATE / 2
    );
    assert_eq!(
        answered(&mut limiter, address(9), 10_000, 100 * second),
        BURST,
        "a pause saves no more"
    );
}

#[test]
fn n06_every_other_refusal_is_told_and_other_askers_notice_nothing() {
    let mut limiter = Limiter::default();
    let now = Duration::from_secs(1);
    answered(&mut limiter, address(9), BURST, now);
    let refusals: Vec<_> = (0..4).map(|_| limiter.take(address(9), now)).collect();
    assert_eq!(
        refusals,
        [
            Verdict::ByStream,
            Verdict::Silence,
            Verdict::ByStream,
            Verdict::Silence
        ]
    );
    for other in (10..250).chain([9 + 256, 9 + 512]) {
        assert_eq!(limiter.take(address(other), now), Verdict::Answer, "{other}");
    }
    assert_ne!(limiter.take(address(9), now), Verdict::Answer);
}

#[test]
fn a_steady_asker_below_the_rate_is_always_answered() {
    let mut limiter = Limiter::default();
    // Odd steps: no part of a millisecond is lost.
    let step = Duration::from_nanos(1_000_000_000 / u64::from(RATE) + 1);
    for turn in 0..10_000 {
        assert_eq!(limiter.take(address(9), step * turn), Verdict::Answer, "{turn}");
    }
}

proptest! {
    #[test]
    fn nobody_gets_more_than_burst_and_rate(gaps in proptest::collection::vec(0_u64..20_000, 1..2_000)) {
        let mut limiter = Limiter::default();
        let (mut now, mut answers) = (Duration::ZERO, 0_u64);
        for gap in gaps {
            now += Duration::from_micros(gap);
            answers += u64::from(limiter.take(address(9), now) == Verdict::Answer);
        }
        let most = u64::from(BURST) + now.as_secs() * u64::from(RATE) + u64::from(RATE);
        prop_assert!(answers <= most);
    }
}
