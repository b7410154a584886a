//! A JSON body of any kind: decoded, given its defaults, judged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plinth_api::BodyFormat;

fuzz_target!(|input: &[u8]| {
    if let Some((number, body)) = input.split_first() {
        plinth_fuzz::taken(*number, body, BodyFormat::Json);
    }
});
