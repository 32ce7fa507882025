//! How much of its time the host spends waiting for processors, memory and disks (PSI, `Documentation/accounting/psi.rst`).

use std::path::Path;

/// Where the kernel tells of it.
pub const FOLDER: &str = "/proc/pressure";

/// The share of the last ten seconds in which somebody waited, in per cent; zero where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// For a processor: some task could have run, and did not.
    pub cpu: f32,
    /// For memory: all tasks that had something to do waited for pages. (That some do is usual on a host with room: whoever asks for
    /// huge pages, as QEMU does, waits while the kernel moves others together.)
    pub memory: f32,
    /// For disks: some task waited for them.
    pub io: f32,
}

impl Pressure {
    /// Reads what the kernel tells in a folder now. A kernel without PSI, or one that was started with `psi=0`, tells nothing.
    pub fn read(folder: &Path) -> Self {
        let share = |name: &str, of: &str| {
            let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            share(&text, of).unwrap_or_default()
        };
        Self {
            cpu: share("cpu", SOME),
            memory: share("memory", FULL),
            io: share("io", SOME),
        }
    }
}

/// The line about some task, and that about all.
const SOME: &str = "some ";
const FULL: &str = "full ";

/// The `avg10` of one of a file's lines.
fn share(text: &str, line: &str) -> Option<f32> {
    let line = text.lines().find_map(|told| told.strip_prefix(line))?;
    let value = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?;
    let share: f32 = value.parse().ok()?;
    (0.0..=100.0).contains(&share).then_some(share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_ten_seconds_are_read() {
        let text = "some avg10=12.34 avg60=0.50 avg300=0.10 total=33\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(share(text, SOME), Some(12.34));
        assert_eq!(share(text, FULL), Some(1.0));
        for bad in [
            "",
            "full avg10=1.00",
            "some avg10=",
            "some avg10=nan",
            "some avg10=101",
            "some avg60=1.0",
        ] {
            assert_eq!(share(bad, SOME), None, "{bad}");
        }
    }

    #[test]
    fn a_kernel_that_tells_nothing_has_no_pressure() {
        assert_eq!(Pressure::read(Path::new("/nonexistent")), Pressure::default());
        let real = Pressure::read(Path::new(FOLDER));
        assert!(
            (0.0..=100.0).contains(&real.cpu) && (0.0..=100.0).contains(&real.io),
            "{real:?}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_share_or_nothing(text in "(some |full )?(avg10=)?.{0,40}") {
            if let Some(share) = share(&text, SOME) {
                prop_assert!((0.0..=100.0).contains(&share));
            }
        }
    }
}
