//! Any bytes as a user-data: refused, or looked at; each finding is one line, and none are told without end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use seedbed::seed::{check_user_data, findings};

fuzz_target!(|bytes: &[u8]| {
    for first in ["", "#cloud-config\n", "#cloud-config-archive\n"] {
        let whole = [first.as_bytes(), bytes].concat();
        if check_user_data(&whole).is_err() {
            continue;
        }
        let found = findings(&whole, "22.4".parse().ok());
        for told in [found.problems(), found.warnings()] {
            assert!(told.len() <= 21);
            assert!(told.iter().all(|line| !line.is_empty() && !line.contains('\n')), "{told:?}");
        }
    }
});
