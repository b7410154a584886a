//! Quantities: read, rounded, added, written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plinth_api::Quantity;

fuzz_target!(|text: &str| {
    let Ok(quantity) = text.parse::<Quantity>() else {
        return;
    };
    let _ = (
        quantity.ceil(),
        quantity.millis_ceil(),
        quantity.approximate(),
    );
    let _ = quantity.plus(quantity).minus(quantity);
    let written = quantity.to_string();
    let again: Quantity = written.parse().expect("what is written can be read");
    // The amount, not the text: 1.953125Ki is written 2000, and that is 2k.
    assert_eq!(again, quantity, "{text}");
});
