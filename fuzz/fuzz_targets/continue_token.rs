//! A token that a list goes on with, and a resourceVersion.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| plinth_apiserver::fuzzing::continue_token(text));
