//! Any text as a configuration: it is valid, or every problem has a sentence.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = seedbed::config::Config::parse(text, Path::new("config.yaml")) {
        assert!(!problems.is_empty());
        assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
    }
});
