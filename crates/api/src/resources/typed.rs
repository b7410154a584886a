//! Values as upstream's typed objects print them: every field in the order and under the name of its Go type. Some
//! refusals show such a text. Knows no kinds: they bring the shapes.

use std::fmt::Write as _;

use serde_json::Value;

/// The shape of a value.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// Text; empty when absent.
    Text,
    /// A number; 0 when absent.
    Number,
    /// Any JSON; null when absent.
    Plain,
    /// A list; null when absent.
    List(&'static Shape),
    /// An object whose fields are always there: Go name, JSON name, shape.
    Struct(&'static [Field]),
    /// An object that may be absent: null then.
    Optional(&'static [Field]),
}

/// A field: its Go name, its JSON name and its shape.
pub(crate) type Field = (&'static str, &'static str, Shape);

/// The text of a value of a shape.
pub(crate) fn printed(value: &Value, shape: Shape) -> String {
    match shape {
        Shape::Text => Value::from(value.as_str().unwrap_or_default()).to_string(),
        Shape::Number => value.as_i64().unwrap_or(0).to_string(),
        Shape::Plain => value.to_string(),
        Shape::List(item) => match value.as_array() {
            Some(items) => {
                let items: Vec<_> = items.iter().map(|entry| printed(entry, *item)).collect();
                format!("[{}]", items.join(","))
            }
            None => "null".to_owned(),
        },
        Shape::Optional(_) if !value.is_object() => "null".to_owned(),
        Shape::Struct(fields) | Shape::Optional(fields) => {
            let mut text = String::from("{");
            for (go, name, shape) in fields {
                let comma = if text.len() > 1 { "," } else { "" };
                // Writing to a String cannot fail.
                let _ = write!(text, "{comma}\"{go}\":{}", printed(&value[*name], *shape));
            }
            text.push('}');
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_fields_have_the_zero_of_their_type() {
        const SHAPE: Shape = Shape::Struct(&[
            ("Name", "name", Shape::Text),
            ("Count", "count", Shape::Number),
            ("Items", "items", Shape::List(&Shape::Text)),
            (
                "Inner",
                "inner",
                Shape::Optional(&[("A", "a", Shape::Plain)]),
            ),
        ]);
        assert_eq!(
            printed(&json!({}), SHAPE),
            r#"{"Name":"","Count":0,"Items":null,"Inner":null}"#
        );
        assert_eq!(
            printed(
                &json!({"name": "x", "items": ["a", "b"], "inner": {}}),
                SHAPE
            ),
            r#"{"Name":"x","Count":0,"Items":["a","b"],"Inner":{"A":null}}"#
        );
    }
}
