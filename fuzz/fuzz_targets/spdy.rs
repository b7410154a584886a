//! The frames of a client that speaks SPDY.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| plinth_kubelet::fuzzing::spdy(input));
