//! JSON in the one form that revisions are hashed in: compact, keys sorted by bytes, escaped as Go's
//! encoder does (A-33). Knows no kind.

use std::fmt::Write;

use serde_json::Value;

/// The canonical text of a value.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Object(fields) => {
            // Sorted here and not by the map: another crate's features can make serde_json keep
            // insertion order.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write_value(out, value);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::String(text) => write_string(out, text),
        Value::Number(_) | Value::Bool(_) | Value::Null => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{value}");
        }
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Go escapes these for HTML's and JavaScript's sake.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escape(out, letter),
            control if control < ' ' => escape(out, control),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

fn escape(out: &mut String, letter: char) {
    let _ = write!(out, "\\u{:04x}", u32::from(letter));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A-33
    #[test]
    fn keys_are_sorted_and_strings_escaped_as_go_does() {
        let value =
            json!({"b": [1, true, null], "a": {"z": "<&>\u{2028}\u{1}\n\"", "B": 2, "é": "é"}});
        assert_eq!(
            canonical(&value),
            "{\"a\":{\"B\":2,\"z\":\"\\u003c\\u0026\\u003e\\u2028\\u0001\\n\\\"\",\"é\":\"é\"},\"b\":[1,true,null]}"
        );
    }
}
