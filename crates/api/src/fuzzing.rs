//! Doors for the fuzzer to decoders that the crate keeps to itself. Built for it alone.

use std::collections::HashMap;

use serde_json::json;

use crate::cel;
use crate::jsonpath::JsonPath;

/// Parses and checks an expression.
pub fn cel(text: &str) {
    let _ = cel::compile(text, &HashMap::new());
}

/// Reads a path and looks along it.
pub fn json_path(text: &str) {
    if let Some(path) = JsonPath::parse(text) {
        path.find(&json!({"a": [{"b": 1, "c": "x"}, {"b": null}, [1, 2.5]], "d": {"e": {}}}));
    }
}
