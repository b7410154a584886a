//! A strategic merge patch over an object of any kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plinth_api::patch::PatchKind;

fuzz_target!(|input: &[u8]| plinth_fuzz::patched(input, PatchKind::Strategic));
