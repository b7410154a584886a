//! Messages of a client that speaks WebSocket, in every protocol of channels.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| plinth_kubelet::fuzzing::channels(input));
