//! One step on the way to a field, in the text that `FieldsV1` gives it: `f:name` for a field, `k:{…}` for the item
//! of a list with these keys, `v:…` for the item of a set, `i:0` for an index. It refuses to know schemas.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// Marks, inside a set, that the path that leads here belongs to it too.
pub(super) const SELF: &str = ".";

/// The element of a field or map entry.
pub(super) fn field(name: &str) -> String {
    ["f:", name].concat()
}

/// The element of an item of a set.
pub(super) fn value(item: &Value) -> String {
    let mut text = "v:".to_owned();
    write_json(item, &mut text);
    text
}

/// The element of a list item with these keys.
pub(super) fn keys<'v>(mut keys: Vec<(&'v str, &'v Value)>) -> String {
    keys.sort_unstable_by_key(|(name, _)| *name);
    let mut text = "k:{".to_owned();
    for (index, (name, value)) in keys.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(name, &mut text);
        text.push(':');
        write_json(value, &mut text);
    }
    text.push('}');
    text
}

/// The element in the one form this crate writes, `None` for a sort that only later versions know.
pub(super) fn canonical(text: &str) -> Result<Option<String>, String> {
    let Some((sort, rest)) = text.split_at_checked(2) else {
        return Err("key must be 2 characters long:".to_owned());
    };
    if !sort.ends_with(':') {
        return Err(format!("missing colon: {text}"));
    }
    let parsed = || serde_json::from_str::<Value>(rest).map_err(|error| error.to_string());
    Ok(match sort {
        "f:" => Some(text.to_owned()),
        "v:" => Some(value(&parsed()?)),
        "k:" => match parsed()? {
            Value::Object(map) => Some(keys(map.iter().map(|(k, v)| (k.as_str(), v)).collect())),
            other => return Err(format!("{other} are no keys")),
        },
        "i:" => {
            let index: u64 = rest
                .parse()
                .map_err(|_| format!("{rest:?} is no index of a list"))?;
            Some(format!("i:{index}"))
        }
        _ => None,
    })
}

/// Appends the element as people read it: `.name`, `[name="a"]`, `[=1]`, `[0]`.
pub(super) fn show(text: &str, out: &mut String) {
    let (sort, rest) = text.split_at_checked(2).unwrap_or((text, ""));
    match sort {
        "f:" => {
            out.push('.');
            out.push_str(rest);
        }
        "v:" => {
            out.push_str("[=");
            out.push_str(rest);
            out.push(']');
        }
        "k:" => {
            let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
            out.push('[');
            for (index, (name, value)) in keys.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(name);
                out.push('=');
                out.push_str(&value.to_string());
            }
            out.push(']');
        }
        _ => {
            out.push('[');
            out.push_str(rest);
            out.push(']');
        }
    }
}

/// The order in which upstream lists elements: fields, items by key, items by value, indices; numbers by size.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    const SORTS: [&str; 4] = ["f:", "k:", "v:", "i:"];
    let split = |text: &str| {
        let (sort, rest) = text.split_at_checked(2).unwrap_or((text, ""));
        let rank = SORTS.iter().position(|known| *known == sort);
        (rank.unwrap_or(SORTS.len()), rest.to_owned())
    };
    let ((sort, a), (other, b)) = (split(a), split(b));
    sort.cmp(&other).then_with(|| {
        if sort == 0 {
            return a.cmp(&b);
        }
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        order_values(&parsed(&a), &parsed(&b))
    })
}

fn order_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a
            .as_f64()
            .partial_cmp(&b.as_f64())
            .unwrap_or(Ordering::Equal),
        (Value::Object(a), Value::Object(b)) => a
            .iter()
            .zip(b)
            .map(|((name, value), (other, with))| {
                name.cmp(other).then_with(|| order_values(value, with))
            })
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (a, b) => a.to_string().cmp(&b.to_string()),
    }
}

/// A value as it stands in an element: whole numbers without a fraction, and the letters that Go's writer escapes.
fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => write_string(text, out),
        Value::Number(number) => match number.as_f64() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be whole and small"
            )]
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                out.push_str(&(float as i64).to_string());
            }
            _ => out.push_str(&number.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

fn write_string(text: &str, out: &mut String) {
    let plain =
        |byte: u8| byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&' | 0x7f..);
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    for letter in Value::from(text).to_string().chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("f:a.b", Some("f:a.b"))]
    #[case(
        r#"k:{"protocol":"TCP", "containerPort":80.0}"#,
        Some(r#"k:{"containerPort":80,"protocol":"TCP"}"#)
    )]
    #[case(r#"v: "x&y""#, Some("v:\"x\\u0026y\""))]
    #[case("i:007", Some("i:7"))]
    #[case("z:later", None)]
    fn elements_have_one_form(#[case] given: &str, #[case] expected: Option<&str>) {
        assert_eq!(canonical(given).unwrap().as_deref(), expected);
    }

    #[rstest]
    #[case("x")]
    #[case("name")]
    #[case("k:[1]")]
    #[case("v:{")]
    #[case("i:x")]
    fn other_texts_are_refused(#[case] given: &str) {
        canonical(given).unwrap_err();
    }

    #[test]
    fn elements_are_shown_as_paths() {
        let shown = |text: &str| {
            let mut out = String::new();
            show(text, &mut out);
            out
        };
        let port = json!(80);
        assert_eq!(shown(&field("spec")), ".spec");
        assert_eq!(
            shown(&keys(vec![("protocol", &json!("TCP")), ("port", &port)])),
            r#"[port=80,protocol="TCP"]"#
        );
        assert_eq!(shown(&value(&json!("a"))), r#"[="a"]"#);
        assert_eq!(shown("i:3"), "[3]");
    }

    #[test]
    fn numbers_are_ordered_by_size() {
        let mut elements = [
            r#"k:{"port":443}"#,
            r#"k:{"port":80}"#,
            "f:z",
            "f:a",
            "v:9",
            "i:1",
            "v:10",
        ];
        elements.sort_by(|a, b| order(a, b));
        assert_eq!(
            elements,
            [
                "f:a",
                "f:z",
                r#"k:{"port":80}"#,
                r#"k:{"port":443}"#,
                "v:9",
                "v:10",
                "i:1"
            ]
        );
    }
}
