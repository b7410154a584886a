//! A JSON path, as columns of custom kinds have it, and what it finds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| plinth_api::fuzzing::json_path(text));
