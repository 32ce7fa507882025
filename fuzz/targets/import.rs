//! Any text, as each kind of file that is imported: it is read, or refused with the line that is wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| seedbed::cli::fuzzing::read(text));
