//! The query of a request, read as options of lists and of writes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| plinth_apiserver::fuzzing::query(text));
