//! Selectors of labels and fields as queries have them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plinth_api::{FieldSelector, Selector};
use serde_json::json;

fuzz_target!(|text: &str| {
    if let Ok(selector) = Selector::parse(text) {
        selector.matches(&json!({"a": "b", "c": "1"}));
        let again = Selector::parse(&selector.to_string()).expect("what is written can be read");
        assert_eq!(again.to_string(), selector.to_string());
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        selector.matches(|_| Some("a"));
    }
});
