//! A bearer token: nothing but what we signed is believed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| assert!(!plinth_apiserver::fuzzing::believed(text)));
