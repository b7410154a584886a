//! An expression in CEL: parsed and checked.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| plinth_api::fuzzing::cel(text));
